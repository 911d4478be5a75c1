"""Addresses of engines that lie in files of their own: one that holds a password belongs into no settings file."""

from __future__ import annotations

from pathlib import Path

import msgspec

from ..address import is_http
from ..errors import SettingsError
from ..settings import EngineSettings, Settings

_HOW = "Write one line into it: http://USER:PASSWORD@HOST:PORT"


def with_urls(settings: Settings) -> Settings:
    """Put what the files say into the settings of a service that is about to run."""
    engines = tuple(_with_url(engine) for engine in settings.engines)
    known: dict[str, str] = {}
    for engine in engines:
        address = engine.url.rstrip("/")
        if not engine.simulated and known.setdefault(address, engine.name) != engine.name:
            raise SettingsError(
                f"The engines {known[address]} and {engine.name} have the same address.",
                "Give each engine its own: engines.url, or the file engines.url_file.",
            )
    return msgspec.structs.replace(settings, engines=engines)


def _with_url(engine: EngineSettings) -> EngineSettings:
    if engine.url_file is None:
        return engine
    return msgspec.structs.replace(engine, url=_read(engine.name, engine.url_file))


def _read(name: str, file: Path) -> str:
    try:
        url = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise SettingsError(
            f"engines.url_file of {name}: {file} cannot be read ({why}).",
            "Make it readable for the service's user.",
        ) from error
    if not is_http(url) or len(url.split()) != 1:
        # Not quoted: it may be a password.
        raise SettingsError(
            f"engines.url_file of {name}: {file} holds no address of an HTTP server.", _HOW
        )
    return url
