"""Values find their widgets: by position, as the page saved them, whatever they look like."""

from __future__ import annotations

import math
from typing import Any, Final

from msgspec import UNSET

from . import dynamic
from .doubles import fixed, half_up
from .inputs import Inputs, numbers
from .live import LiveNode, Widget

_SAMPLERS: Final = ("KSampler", "KSamplerAdvanced")


def put(node: LiveNode, widget: Widget, value: Any, inputs: Inputs) -> None:
    """Set a widget's value, and what changes with it."""
    if widget.kind == "COMFY_DYNAMICCOMBO_V3":
        dynamic.choose(node, widget, value, inputs.add)
    elif widget.kind == "option":
        widget.value = value
        if value and node.widgets[-1] is widget:
            node.widgets.append(Widget(f"option{len(node.widgets) - 1}", "option", ""))
    elif widget.kind != "index":
        widget.value = value


def deal(node: LiveNode, inputs: Inputs) -> None:
    """Give a node's widgets the values that the page saved with it."""
    values = node.page.values
    if isinstance(values, dict):
        _by_name(node, values, inputs)
        return
    dealt = _without_forced(node, list(values or ()))
    place = taken = 0
    while place < len(node.widgets):  # the list grows with what is chosen
        widget = node.widgets[place]
        place += 1
        if not widget.slot:
            continue
        if taken >= len(dealt):
            break
        put(node, widget, dealt[taken], inputs)
        taken += 1
    if node.type == "VHS_VideoCombine":
        _add_formats(node, {})
    settle(node, inputs)


def settle(node: LiveNode, inputs: Inputs) -> None:
    """Repair what the page repairs after it has opened a document."""
    for widget in tuple(node.widgets):
        if widget.kind == "STRING":
            multiline = widget.options.get("multiline")
            if multiline and widget.value is None:
                widget.value = ""
            if multiline and inputs.frontend.is_old and isinstance(widget.value, str):
                widget.value = widget.value.replace("\r\n", "\n").replace("\r", "\n")
        elif widget.kind in ("COMBO", "COMFY_DYNAMICCOMBO_V3"):
            absent = widget.value is None or widget.value is UNSET
            if absent and widget.choices and not inputs.frontend.is_old:
                put(node, widget, widget.choices[0], inputs)
            if (
                widget.name == "sampler_name"
                and node.type in _SAMPLERS
                and isinstance(widget.value, str)
            ):
                widget.value = widget.value.removeprefix("sample_")


def receive(node: LiveNode, widget: Widget, value: Any, inputs: Inputs) -> None:
    """Set a widget from a primitive: a number is rounded as if it had been typed."""
    put(node, widget, value, inputs)
    number = _number(value)
    if number is None:
        return
    if widget.kind == "INT":
        step = numbers(widget.options, "step", 1) or 1
        offset = 0.0 if step == 1 else math.fmod(numbers(widget.options, "min", 0), step)
        widget.value = half_up((number - offset) / step) * step + offset
    elif widget.kind == "FLOAT":
        widget.value = _rounded(widget, number)


def _rounded(widget: Widget, number: float) -> float:
    step = numbers(widget.options, "step", 0.5)
    places = max(0, -math.floor(math.log10(step))) if step > 0 else 0
    told = widget.options.get("round")
    if places and not told:
        size = math.pow(10, -places)
    elif isinstance(told, int | float) and told:
        size = told
    else:
        return number
    least, most = numbers(widget.options, "min", 0), numbers(widget.options, "max", 2048)
    return min(max(fixed(half_up(number / size) * size, places), least), most)


def _number(value: Any) -> float | None:
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return None
    return None


def _without_forced(node: LiveNode, values: list[Any]) -> list[Any]:
    """Drop the places of inputs that were widgets once, from pages of before they were not."""
    if node.kind is None:
        return values
    names = {widget.name for widget in node.widgets}
    forced: list[bool] = []
    for spec in node.kind.inputs:
        is_forced = bool(spec.options.get("forceInput"))
        if spec.name in names or is_forced:
            forced.append(is_forced)
            if spec.options.get("control_after_generate"):
                forced.append(False)
    if len(forced) != len(values):
        return values
    return [value for value, drop in zip(values, forced, strict=True) if not drop]


def _add_formats(node: LiveNode, values: dict[str, Any]) -> None:
    """Add what VideoHelperSuite asks besides for the chosen format of a video."""
    chosen = node.widget("format")
    formats = chosen.options.get("formats") if chosen else None
    asked = formats.get(chosen.value) if chosen and isinstance(formats, dict) else None
    for entry in asked if isinstance(asked, list) else ():
        if not isinstance(entry, list) or len(entry) < 2 or not isinstance(entry[0], str):
            continue
        options = entry[2] if len(entry) > 2 and isinstance(entry[2], dict) else {}
        choices = entry[1] if isinstance(entry[1], list) else []
        default = options.get("default", choices[0] if choices else UNSET)
        value = values.get(entry[0], default)
        node.widgets.append(Widget(entry[0], "format", value, options=options))


def _by_name(node: LiveNode, values: dict[str, Any], inputs: Inputs) -> None:
    if node.type.startswith("VHS_"):
        for widget in tuple(node.widgets):
            if widget.name in values:
                put(node, widget, values[widget.name], inputs)
            elif widget.slot and not inputs.frontend.is_old:
                absent = None if "disable" in widget.options else UNSET
                put(node, widget, widget.options.get("default") or absent, inputs)
    elif not inputs.frontend.is_old:
        for widget in tuple(node.widgets):
            if widget.slot:
                put(node, widget, UNSET, inputs)
                widget.sent = widget.sent and widget.kind == "COMBO"
    if node.type == "VHS_VideoCombine":
        _add_formats(node, values)
    settle(node, inputs)
