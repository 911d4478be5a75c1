"""What the service would certainly reject, asked before anything is sent."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path

from ..client import Client, Refused, decode
from ..jobs.preflight import Preflight

# Of EXIF: the picture is shown with its edges swapped.
ORIENTATION, SWAPPED = 0x0112, (5, 6, 7, 8)


def rejection(client: Client, picture: Path, ticket: Mapping[str, object]) -> str:
    """Say why a picture with a ticket is certain to be rejected; empty where it may be accepted."""
    size = size_of(picture)
    asked: dict[str, object] = {"ticket": dict(ticket)}
    if size is not None:
        asked["picture"] = {"width": size[0], "height": size[1]}
    try:
        found = decode(client.post("/api/v1/lint", asked), Preflight)
    except Refused as error:
        # Whatever else keeps the service from an answer is reported when the picture is sent.
        return str(error) if error.status in (400, 413, 422) else ""
    return certain(found, pictured=size is not None)


def certain(found: Preflight, *, pictured: bool) -> str:
    """Give what of a preflight holds for sure; without the picture's size only what concerns the ticket itself."""
    refusal = found.refusal
    if refusal is not None and (pictured or not refusal.key.startswith("video-")):
        return str(refusal)
    for each in found.findings if pictured else ():
        # An error on some engines leaves the others.
        if each.severity == "error" and not each.engines:
            return f"Rejected by rule {each.rule}: {each.found}. {each.fix}".rstrip()
    return ""


def size_of(picture: Path) -> tuple[int, int] | None:
    """Read how large a picture is; None for a video, and for what only the service can read."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(picture) as image:
                width, height = image.size
                turned = image.getexif().get(ORIENTATION) in SWAPPED
    except Exception:
        # Whatever is wrong with it, the service says so better.
        return None
    return (height, width) if turned else (width, height)
