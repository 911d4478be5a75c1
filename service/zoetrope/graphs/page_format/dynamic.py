"""Inputs that change with what is chosen or connected: dynamic choices, and inputs that grow."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from .classes import Spec, groups
from .live import Growing, LiveNode, Slot, Widget

#: How many members an input has at most, if its class says nothing.
_MOST: Final = 100

Add = Callable[[LiveNode, Spec], None]


def choose(node: LiveNode, widget: Widget, value: Any, add: Add) -> None:
    """Set a dynamic choice: its old option's inputs and widgets go, the new option's come right after it."""
    widget.value = value
    group = f"{widget.name}."
    removed = [slot for slot in node.inputs if slot.name.startswith(group)]
    node.inputs[:] = [slot for slot in node.inputs if not slot.name.startswith(group)]
    node.widgets[:] = [found for found in node.widgets if not found.name.startswith(group)]
    options = widget.options.get("options")
    asked = next((o for o in _options(options) if value and str(o.get("key")) == str(value)), None)
    if asked is None:
        return
    widgets, inputs = len(node.widgets), len(node.inputs)
    for key, spec in groups(asked.get("inputs")).items():
        add(
            node, Spec(f"{widget.name}.{key}", spec.type, spec.optional, spec.options, spec.choices)
        )
    new_widgets, new_inputs = node.widgets[widgets:], node.inputs[inputs:]
    del node.widgets[widgets:], node.inputs[inputs:]
    place = node.widgets.index(widget) + 1
    node.widgets[place:place] = new_widgets
    before = next((i for i, slot in enumerate(node.inputs) if slot.name == widget.name), None)
    place = len(node.inputs) if before is None else before + 1
    node.inputs[place:place] = new_inputs
    for old in removed:  # one after the other: a member that is linked makes room for the next
        slot = next((slot for slot in node.inputs if slot.name == old.name), None)
        if slot is not None:
            slot.link = old.link
            if slot.link is not None:
                connected(node, slot, add)


def first(widget: Widget) -> Any:
    """Return the option that a dynamic choice begins with."""
    return next(iter(widget.choices), None)


def keys(spec: Spec) -> tuple[Any, ...]:
    """List the options of a dynamic choice."""
    return tuple(str(o.get("key")) for o in _options(spec.options.get("options")))


def begin(node: LiveNode, spec: Spec, add: Add, *, repeats: bool) -> None:
    """Give a node the first members of an input that grows."""
    template = spec.options.get("template")
    template = template if isinstance(template, dict) else {}
    names = template.get("names")
    least = template.get("min", 1)
    most = template.get("max", _MOST)
    found = tuple(names) if isinstance(names, list) else ()
    growing = Growing(
        specs=tuple(groups(template.get("input")).values()),
        least=least if isinstance(least, int) else 1,
        most=len(found) if found else most if isinstance(most, int) else _MOST,
        prefix=str(template.get("prefix") or ""),
        names=found,
        repeats=repeats,
    )
    node.growing[spec.name] = growing
    for ordinal in range(max(1, min(growing.least, _MOST) + 1)):
        _grow(node, spec.name, ordinal, add)


def connected(node: LiveNode, slot: Slot, add: Add) -> None:
    """Let an input grow by one, since a member of it is linked."""
    group = slot.name.rpartition(".")[0]
    growing = node.growing.get(group)
    if growing is None or not growing.specs:
        return
    name = slot.name[len(group) + 1 :]
    if growing.names:
        ordinal = growing.names.index(name) if name in growing.names else None
    else:
        digits = name[len(name.rstrip("0123456789")) :]
        ordinal = int(digits) if 0 < len(digits) < 9 else None
    if ordinal is not None:
        _grow(node, group, ordinal + 1, add)


def _grow(node: LiveNode, group: str, ordinal: int, add: Add) -> None:
    growing = node.growing[group]
    if ordinal >= growing.most:
        return
    made: list[Slot] = []
    for spec in growing.specs:
        place = len(node.inputs)
        name = _member(growing, group, ordinal, spec.name)
        known = next((i for i, slot in enumerate(node.inputs) if slot.name == name), None)
        if known is not None and node.widget(name) is not None and not growing.repeats:
            made += node.inputs[known : known + 1]
            del node.inputs[known]
            continue
        add(node, Spec(name, spec.type, spec.optional, spec.options, spec.choices))
        made += node.inputs[place:]
        del node.inputs[place:]
        if len(growing.specs) > 1:
            _show(node, made)
    for slot in made:
        for existing in [found for found in node.inputs if found.name == slot.name]:
            slot.link = existing.link if slot.link is None else slot.link
            node.inputs.remove(existing)
    last = growing.specs[-1].name if growing.specs else ""
    before = _member(growing, group, ordinal - 1, last)
    places = [i for i, slot in enumerate(node.inputs) if slot.name.startswith(before)]
    place = places[-1] + 1 if places else len(node.inputs)
    node.inputs[place:place] = made


def _show(node: LiveNode, made: list[Slot]) -> None:
    """Members of several kinds each have a line of their own, which holds no value."""
    slot = made[-1] if made else None
    if slot is not None and not slot.widget:
        node.widgets.append(Widget(slot.name, "line", slot=False, sent=False))
        slot.widget = slot.name


def _member(growing: Growing, group: str, ordinal: int, key: str) -> str:
    if growing.names:
        known = 0 <= ordinal < len(growing.names)
        return f"{group}.{growing.names[ordinal] if known else 'undefined'}"
    return f"{group}.{growing.prefix if len(growing.specs) == 1 else key}{ordinal}"


def _options(raw: object) -> Iterable[dict[str, Any]]:
    return (option for option in raw if isinstance(option, dict)) if isinstance(raw, list) else ()
