"""Where the command line takes node signatures from: a running ComfyUI, a file, or a recorded version."""

from __future__ import annotations

import http.client
import json
import urllib.request
from pathlib import Path
from typing import Any

import msgspec

from ..address import Address, is_http, masked
from ..errors import EngineDown, ZoetropeError
from ..graphs import catalog
from ..graphs.catalog import Catalog, from_object_info
from ..graphs.memory import gigabytes, sold

PATIENCE = 60.0  # a large ComfyUI lists its files before it answers


def fetch(url: str) -> Catalog:
    """Ask a running ComfyUI for its nodes."""
    engine = _engine(url)
    stats = _get(engine, "/system_stats")
    version = str((stats.get("system") or {}).get("comfyui_version") or "unknown")
    return from_object_info(_get(engine, "/object_info"), comfyui=version)


def card_gigabytes(url: str) -> float | None:
    """Ask a running ComfyUI how much memory its GPU is sold with; None without a GPU."""
    devices = _get(_engine(url), "/system_stats").get("devices") or []
    cards = [device for device in devices if device.get("type") == "cuda"]
    return sold(gigabytes(int(cards[0]["vram_total"]))) if cards else None


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
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
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


def _get(engine: Address, path: str) -> dict[str, Any]:
    where = engine.to(path)
    try:
        with urllib.request.urlopen(where, timeout=PATIENCE) as answer:  # noqa: S310 - checked above
            found = json.load(answer)
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise EngineDown(
            f"{engine} does not answer as ComfyUI does ({engine.redacted(str(error))}).",
            "Check the address, and that ComfyUI runs there.",
        ) from error
    if not isinstance(found, dict):
        raise EngineDown(f"{engine} does not answer as ComfyUI does.", "Check the address.")
    return found
