"""Which node classes the command line converts a page with: recorded ones, a server's saved answer, or a running server's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from ..errors import ZoetropeError
from ..graphs import catalog
from ..graphs.page_format import classes
from ..graphs.page_format.classes import Classes
from ..graphs.page_format.frontend import Frontend, of_object_info, of_version
from ..structs import UNREADABLE, primed
from .nodes import answered, named


def recorded(name: str | None) -> tuple[Classes, Frontend, bool]:
    """Take a recorded version, a catalogue's file, or a saved answer of `GET /object_info`, which alone is whole."""
    if name is not None and Path(name).is_file():
        told = _object_info(Path(name).read_bytes())
        if told is not None:
            return classes.from_object_info(told), of_object_info(told), True
    found = catalog.load() if name is None else named(name)
    return classes.from_catalog(found), of_version(found.comfyui), False


def asked(engine: str) -> tuple[Classes, Frontend, bool]:
    """Ask a running ComfyUI."""
    told = _object_info(answered(engine, "/object_info"))
    if told is None:
        raise ZoetropeError(
            "The engine does not answer as ComfyUI does.", "Check the address.", key="engine-down"
        )
    return classes.from_object_info(told), of_object_info(told), True


def _object_info(text: bytes) -> dict[str, Any] | None:
    """Read a server's answer: each entry is a class with its inputs; anything else is none."""
    try:
        told = msgspec.json.decode(text, type=primed(dict[str, Any]))
    except UNREADABLE:
        return None
    is_info = bool(told) and all(isinstance(c, dict) and "input" in c for c in told.values())
    return told if is_info else None
