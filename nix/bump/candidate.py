"""What a bump changes in this checkout: pins, the record of requirements, the catalogue and its version. Pure functions."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

Pins = dict[str, Any]


def requirements(text: str) -> list[str]:
    """List what a requirement file asks for; what this form cannot say (a link, an option) raises ValueError."""
    found = []
    for line in text.splitlines():
        asked = line.partition("#")[0].strip()
        if not asked:
            continue
        try:
            named = Requirement(asked)
        except InvalidRequirement as error:
            raise ValueError(f"{asked!r} is no requirement by name: {error}") from error
        if named.url:
            # No hash covers it, and to resolve it may run its code.
            raise ValueError(f"{asked!r} is no requirement by name, but an address")
        found.append(asked)
    return found


def needs(asked: Iterable[str], elsewhere: Collection[str]) -> list[str]:
    """Give the needs of a source: what it asks for, without what the kernels decide and what is left out."""
    found = []
    for line in asked:
        requirement = Requirement(line)
        name = canonicalize_name(requirement.name)
        if name not in elsewhere:
            found.append(line.replace(requirement.name, name, 1))
    return found


def moved(pins: Pins, source: str, pin: Mapping[str, str], asked: list[str]) -> Pins:
    """Give the pins with one source at another revision, and with what that needs."""
    made = copy.deepcopy(pins)
    made["sources"][source] |= pin
    made["needs"][source] = asked
    return made


def recorded(text: str, source: str, rev: str, files: Mapping[str, list[str]]) -> str:
    """Write a source's part of the record of requirements anew, and leave everything else of the text."""
    lines = [f"[sources.{source}]", f'rev = "{rev}"', f"[sources.{source}.files]"]
    for name, asked in files.items():
        lines += [f"{json.dumps(name)} = [", *(f"  {json.dumps(line)}," for line in asked), "]"]
    part = re.compile(
        rf"(?ms)^\[sources\.{re.escape(source)}\]\n.*?(?=^\[(?!sources\.{re.escape(source)}\.)|\Z)"
    )
    if len(part.findall(text)) != 1:
        raise ValueError(f"the record has no part of {source}")
    return part.sub(lambda _: "\n".join(lines) + "\n\n", text)


def pinned(code: str, version: str) -> str:
    """Write the version of the pinned catalogue into the code that names it."""
    made, count = re.subn(r'(?m)^PINNED: Final = ".*"$', f'PINNED: Final = "{version}"', code)
    if count != 1:
        raise ValueError("the code does not name the pinned version in the known form")
    return made


def changed(before: Iterable[str], after: Iterable[str]) -> list[str]:
    """Say what is asked for in other words: one line each, `old -> new`."""
    old = {canonicalize_name(Requirement(line).name): line for line in before}
    new = {canonicalize_name(Requirement(line).name): line for line in after}
    return [
        f"{old.get(name, 'nothing')} -> {new.get(name, 'nothing')}"
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ]
