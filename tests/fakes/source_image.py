"""The picture that a test's job is made from."""

from __future__ import annotations

from typing import Any

from zoetrope.domain.values import SourceImage


def plain_image(name: str = "cat.png", **changes: Any) -> SourceImage:
    """Give a small picture that needed no change; a test names what matters to it."""
    plain: dict[str, Any] = {
        "sha256": "0" * 64,
        "size": 1,
        "format": "PNG",
        "width": 64,
        "height": 64,
        "source": name,
        "file": name,
    }
    return SourceImage(name=name, **plain | changes)
