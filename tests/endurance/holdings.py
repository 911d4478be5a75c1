"""What the product holds in memory: the number of elements in every container that is reachable, by the place that holds it."""

from __future__ import annotations

import functools
import gc
import sys
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from types import FunctionType, MethodType
from typing import Any

import msgspec

CONTAINERS = (dict, list, set, frozenset, tuple, deque)
CACHE = type(functools.cache(len))  # of every cached function


def held(*roots: object) -> Counter[str]:
    """Count the elements below some objects, below the product's modules, and in its caches."""
    found: Counter[str] = Counter()
    waiting: list[object] = list(roots)
    seen: set[int] = set()
    for name, module in list(sys.modules.items()):
        if name.startswith("zoetrope"):
            for key, value in vars(module).items():
                if isinstance(value, CONTAINERS) and not key.startswith("__"):
                    _count(f"{name}.{key}", value, found, waiting, seen)
                elif _is_ours(value):
                    waiting.append(value)
    while waiting:
        owner = waiting.pop()
        if id(owner) in seen:
            continue
        seen.add(id(owner))
        for key, value in _fields(owner):
            _count(f"{type(owner).__name__}.{key}", value, found, waiting, seen)
    for each in gc.get_objects():
        if isinstance(each, CACHE):
            module = getattr(each, "__module__", "") or ""
            if module.startswith("zoetrope"):
                found[f"the cache of {module}.{each.__qualname__}"] += each.cache_info().currsize
    return found


def grown(before: Mapping[str, int], after: Mapping[str, int], least: int) -> dict[str, int]:
    """Name the places that hold so many more than before."""
    more = {name: number - before.get(name, 0) for name, number in after.items()}
    return {name: number for name, number in more.items() if number >= least}


def _count(
    name: str, value: object, found: Counter[str], waiting: list[object], seen: set[int]
) -> None:
    """Count the elements of a container and of those in it; what else it holds is looked at later."""
    if isinstance(value, CONTAINERS):
        if id(value) in seen:
            return
        seen.add(id(value))
        found[name] += len(value)
        parts: Iterable[object] = value
        if isinstance(value, dict):
            parts = (*value.keys(), *value.values())
        for part in parts:
            _count(name, part, found, waiting, seen)
    elif isinstance(value, FunctionType):
        for cell in value.__closure__ or ():
            try:
                content = cell.cell_contents
            except ValueError:  # not set yet
                continue
            _count(f"{name}()", content, found, waiting, seen)
    elif isinstance(value, MethodType) and _is_ours(value.__self__):
        waiting.append(value.__self__)
    elif _is_ours(value):
        waiting.append(value)


def _is_ours(value: object) -> bool:
    kind = type(value)
    return kind.__module__.startswith("zoetrope") and not isinstance(value, type)


def _fields(owner: object) -> Iterator[tuple[str, Any]]:
    if isinstance(owner, msgspec.Struct):
        for name in owner.__struct_fields__:
            yield name, getattr(owner, name)
    yield from vars(owner).items() if hasattr(owner, "__dict__") else ()
