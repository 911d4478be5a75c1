"""A ticket written out again, for the picture of a job that failed: moved back, it asks for the same."""

from __future__ import annotations

import json

import msgspec

from ..domain.values import Scalar, Ticket
from .ticket import MAX_BYTES


def write(ticket: Ticket) -> bytes:
    """Write a ticket as TOML; empty if it says nothing but its recipe, or more than a ticket's file may hold.

    What presets stood for is said by the other values, so they are not named again.
    """
    said = msgspec.structs.asdict(ticket)
    values = {
        key: value
        for key, value in said.items()
        if value is not None and key not in ("recipe", "preset", "parameters")
    }
    if ticket.auto_resize:
        del values["auto_resize"]
    lines = [f"{key} = {_value(value)}" for key, value in values.items()]
    if ticket.parameters:
        lines += ["", "[parameters]"]
        lines += [f"{_text(key)} = {_value(value)}" for key, value in ticket.parameters.items()]
    if not lines:
        return b""
    text = "\n".join([f"recipe = {_text(ticket.recipe)}", *lines, ""]).encode()
    return text if len(text) <= MAX_BYTES else b""


def _value(value: Scalar) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return _text(value) if isinstance(value, str) else repr(value)


def _text(value: str) -> str:
    # JSON's strings are TOML's, but for one control character.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
