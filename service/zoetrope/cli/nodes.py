"""Where the command line takes node signatures from: a running ComfyUI, a file, or a recorded version."""

from __future__ import annotations

import http.client
import urllib.request
from pathlib import Path

from ..address import Address, is_http, masked
from ..errors import EngineDown, ZoetropeError
from ..graphs import catalog
from ..graphs.catalog import Catalog
from ..graphs.memory import gigabytes, sold
from ..structs import UNREADABLE

PATIENCE = 60.0  # a large ComfyUI lists its files before it answers


class _Stay(urllib.request.HTTPRedirectHandler):
    """Asks only the address that was given: a redirection is an error."""

    def redirect_request(self, *_: object) -> None:
        return None


_OPENER = urllib.request.build_opener(_Stay)


def fetch(url: str) -> Catalog:
    """Ask a running ComfyUI for its nodes."""
    from ..engine.comfyui import decoder  # brings aiohttp, which no other command needs

    engine = _engine(url)
    version = decoder.stats(_get(engine, "/system_stats")).version or "unknown"
    return decoder.object_info(_get(engine, "/object_info"), version)


def card_gigabytes(url: str) -> float | None:
    """Ask a running ComfyUI how much memory its GPU is sold with; None without a GPU."""
    from ..engine.comfyui import decoder

    size = decoder.cuda_bytes(_get(_engine(url), "/system_stats"))
    return sold(gigabytes(size)) if size is not None else None


def answered(url: str, path: str) -> bytes:
    """Give what a running ComfyUI answers, as it is."""
    return _get(_engine(url), path)


def _engine(url: str) -> Address:
    if not is_http(url):
        raise ZoetropeError(
            f"{masked(url)!r} is not an address.", "Write it like http://127.0.0.1:8188.", key="url"
        )
    return Address(url)


def named(name: str) -> Catalog:
    """Read a recorded version, or a file that `zoetrope catalog record` made."""
    if Path(name).is_file():
        try:
            return catalog.decode(Path(name).read_bytes())
        except UNREADABLE as error:
            raise ZoetropeError(
                f"{name} is not a catalogue ({error}).", "Make one with `zoetrope catalog record`.", key="catalog"
            ) from error  # fmt: skip
    versions = catalog.versions()
    if name not in versions:
        raise ZoetropeError(
            f"There is no catalogue {name!r}.",
            f"Recorded are {', '.join(versions)}; a file of `zoetrope catalog record` works too.",
            key="catalog",
        )
    return catalog.load(name)


def _get(engine: Address, path: str) -> bytes:
    from ..engine.comfyui.answer import MOST_BYTES

    try:
        with _OPENER.open(engine.to(path), timeout=PATIENCE) as answer:
            found: bytes = answer.read(MOST_BYTES + 1)
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise EngineDown(
            f"{engine} does not answer as ComfyUI does ({engine.redacted(str(error))}).",
            "Check the address, and that ComfyUI runs there.",
        ) from error
    if len(found) > MOST_BYTES:
        raise EngineDown(f"{engine} does not answer as ComfyUI does.", "Check the address.")
    return found
