"""Node classes as the page knows them: the answer of `GET /object_info`, its inputs in the page's order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from ..catalog import Catalog, node_info


class Spec(msgspec.Struct, frozen=True):
    """One input that a class declares."""

    name: str
    type: str
    optional: bool = False
    options: Mapping[str, Any] = {}
    choices: tuple[Any, ...] | None = None
    #: Whether its choices stand where others have a type, as of old.
    is_listed: bool = False


class NodeClass(msgspec.Struct, frozen=True):
    """What the page needs to know of a node class."""

    name: str
    display_name: str
    inputs: tuple[Spec, ...] = ()
    outputs: tuple[str, ...] = ()


class Classes:
    """All classes of one ComfyUI; each is read when it is first asked for."""

    def __init__(self, told: Mapping[str, Any] | Iterable[str], tell: Callable[[str], Any]) -> None:
        self.names = frozenset(told)
        self._tell = tell
        self._known: dict[str, NodeClass | None] = {}

    def get(self, name: str) -> NodeClass | None:
        """Return a class, or None if this ComfyUI has no such node."""
        if name not in self.names:
            return None
        if name not in self._known:
            self._known[name] = _read(name, self._tell(name))
        return self._known[name]


def from_object_info(info: Mapping[str, Any]) -> Classes:
    """Take the answer of a running server."""
    return Classes(info, info.__getitem__)


def from_catalog(catalog: Catalog) -> Classes:
    """Take a recorded catalogue; which files a host has says nothing about a workflow."""
    return Classes(catalog.nodes, lambda name: node_info(catalog, name, lambda _folder: ()))


def groups(raw: object) -> dict[str, Spec]:
    """Read a class's inputs, or those of a dynamic choice's option: required ones, then optional ones."""
    told = raw if isinstance(raw, dict) else {}
    found: dict[str, Spec] = {}
    for group in ("required", "optional"):
        specs = told.get(group)
        for name, spec in specs.items() if isinstance(specs, dict) else ():
            if (made := _spec(name, spec, optional=group == "optional")) is not None:
                found[name] = made
    return found


def _read(name: str, told: Any) -> NodeClass | None:
    """Read one class; what is written there is each pack's own, and may be anything."""
    if not isinstance(told, dict):
        return None
    specs = groups(told.get("input"))
    order = told.get("input_order")
    ordered: dict[str, Spec] = {}
    for group, optional in (("required", False), ("optional", True)):
        wanted = order.get(group) if isinstance(order, dict) else None
        for key in wanted if isinstance(wanted, list) else ():
            if key in specs and specs[key].optional == optional:
                ordered[key] = specs[key]
    outputs = told.get("output")
    display = told.get("display_name")
    return NodeClass(
        name=name,
        display_name=display if isinstance(display, str) and display else name,
        inputs=tuple({**ordered, **{k: v for k, v in specs.items() if k not in ordered}}.values()),
        outputs=tuple(
            "*" if kind == "COMFY_MATCHTYPE_V3" else kind if isinstance(kind, str) else "COMBO"
            for kind in (outputs if isinstance(outputs, list) else ())
        ),
    )


def _spec(name: str, raw: object, *, optional: bool) -> Spec | None:
    if not isinstance(raw, list) or not raw:
        return None
    options = raw[1] if len(raw) > 1 and isinstance(raw[1], dict) else {}
    kind = raw[0]
    if isinstance(kind, list):
        return Spec(name, "COMBO", optional, options, tuple(kind), is_listed=True)
    choices = options.get("options") if kind == "COMBO" else None
    return Spec(
        name, str(kind), optional, options, tuple(choices) if isinstance(choices, list) else None
    )
