"""What changed in nodes' signatures between two versions of ComfyUI."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from .catalog import Catalog, Input, Signature


class Change(msgspec.Struct, frozen=True):
    """One difference of a node: what it was, and what it is."""

    node: str
    what: str


def drift(old: Catalog, new: Catalog, classes: Iterable[str] = ()) -> tuple[Change, ...]:
    """List what a graph for the old version may trip over in the new one; all of the old one's nodes by default."""
    wanted = sorted(set(classes) or set(old.nodes))
    return tuple(change for name in wanted for change in _node(name, old, new))


def _node(name: str, old: Catalog, new: Catalog) -> Iterator[Change]:
    before, now = old.get(name), new.get(name)
    if before is None or now is None:
        if before is not None:
            yield Change(name, "is gone")
        elif now is not None:
            yield Change(name, "is new")
        return
    for text in _signature(before, now):
        yield Change(name, text)


def _signature(before: Signature, now: Signature) -> Iterator[str]:
    for key in before.inputs.keys() - now.inputs.keys():
        yield f"input {key} is gone"
    for key in now.inputs.keys() - before.inputs.keys():
        kind = "required" if now.inputs[key].required else "optional"
        yield f"input {key} is new ({kind} {now.inputs[key].type})"
    for key in sorted(before.inputs.keys() & now.inputs.keys()):
        yield from (f"input {key}: {text}" for text in _input(before.inputs[key], now.inputs[key]))
    if before.outputs != now.outputs:
        yield f"outputs were {', '.join(before.outputs)}, are {', '.join(now.outputs)}"


def _input(before: Input, now: Input) -> Iterator[str]:
    if before.type != now.type:
        yield f"was {before.type}, is {now.type}"
    if before.required != now.required:
        yield "is required now" if now.required else "is optional now"
    for field in ("min", "max", "step", "default"):
        old, new = getattr(before, field), getattr(now, field)
        if old != new and not (before.files or now.files):
            yield f"{field} was {_shown(old)}, is {_shown(new)}"
    if before.files or now.files or before.type != now.type:
        return
    gone = set(before.options or ()) - set(now.options or ())
    come = set(now.options or ()) - set(before.options or ())
    if gone:
        yield f"no longer takes {_listed(gone)}"
    if come:
        yield f"takes {_listed(come)} too"


def _shown(value: object) -> str:
    return "nothing" if value is None or value is msgspec.UNSET else str(value)


def _listed(values: Iterable[object]) -> str:
    names = sorted(map(str, values))
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
