"""What the service would certainly reject, and what cannot fit on its host, asked before anything is sent."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from ..client import Client, Refused, decode
from ..jobs.fallbacks import TOO_LARGE
from ..jobs.preflight import Preflight

# Of EXIF: the picture is shown with its edges swapped.
ORIENTATION, SWAPPED = 0x0112, (5, 6, 7, 8)


class Outlook(NamedTuple):
    """What is known before a picture is sent: why it would be rejected, and else what stands in its way."""

    rejection: str = ""
    warning: str = ""


def expected(client: Client, picture: Path, ticket: Mapping[str, object]) -> Outlook:
    """Ask what would become of a picture with a ticket; nothing is said where it may go well."""
    size = size_of(picture)
    asked: dict[str, object] = {"ticket": dict(ticket)}
    if size is not None:
        asked["picture"] = {"width": size[0], "height": size[1]}
    try:
        found = decode(client.post("/api/v1/lint", asked), Preflight)
    except Refused as error:
        # Whatever else keeps the service from an answer is reported when the picture is sent.
        return Outlook(str(error) if error.status in (400, 413, 422) else "")
    if why := certain(found, pictured=size is not None):
        return Outlook(why)
    large = next((each for each in found.findings if each.rule == TOO_LARGE), None)
    return Outlook(warning=f"{large.found} {large.fix}".rstrip() if large is not None else "")


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
