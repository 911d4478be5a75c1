"""Which of ComfyUI's frontends opens the page: what counts is the one of the server, not the one that saved it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from importlib import resources
from typing import Any, Final

import msgspec

from ...structs import primed
from ..release import numbers


class Frontend(StrEnum):
    """The frontends whose rules are known, by the version that was measured."""

    OLD = "1.27.10"
    SHARED = "1.45.20"
    PINNED = "1.49.6"

    @property
    def is_old(self) -> bool:
        """Whether dynamic inputs and much else are not there yet."""
        return self is Frontend.OLD

    @property
    def keeps_instance_values(self) -> bool:
        """Whether each instance of a subgraph has values of its own."""
        return self is not Frontend.SHARED


#: Classes of the core that came between the servers of the last two frontends.
_SINCE_PINNED: Final = ("SaveText", "ImageCompositor", "SaveGaussianSplat")


def of_object_info(info: Mapping[str, Any]) -> Frontend:
    """Tell from a server's answer which frontend it ships."""
    if not any("search_aliases" in told for told in info.values() if isinstance(told, dict)):
        return Frontend.OLD
    return Frontend.PINNED if any(name in info for name in _SINCE_PINNED) else Frontend.SHARED


def of_version(comfyui: str) -> Frontend:
    """Tell from a version of ComfyUI which of the known frontends is nearest to the one that it ships."""
    parts = numbers(comfyui)
    if parts < (0, 9):
        return Frontend.OLD
    return Frontend.SHARED if parts < (0, 30) else Frontend.PINNED


@cache
def titles(frontend: Frontend) -> Mapping[str, str]:
    """Return the English titles that a frontend has for node classes, over what the server says."""
    path = resources.files(__package__) / "titles.json"
    kept = msgspec.json.decode(path.read_bytes(), type=primed(dict[str, dict[str, str | None]]))
    found: dict[str, str] = {}
    for version in Frontend:
        for name, title in kept[version].items():
            if title is None:
                found.pop(name, None)
            else:
                found[name] = title
        if version is frontend:
            break
    return found
