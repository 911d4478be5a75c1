"""What the service asks for in an engine's launch flags: a durable copy in its state, and a file that pre-start.sh reads.

The engine runs as another user, which may read the second and write neither. What becomes of each flag is in the
engine's report, as `choices`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from .. import durable
from ..settings import EngineSettings
from ..structs import UNREADABLE, primed
from .report import known

log = logging.getLogger("zoetrope.engine")

SCHEMA = 1
MOST_BYTES = 16 << 10  # more is ignored by its reader
MOST_REASON = 300
UNPIN = "--disable-pinned-memory"
READABLE = 0o644  # by the engine's user

Source = Literal["fallback", "budget"]


class Asked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One flag with its values, who asks for it, and why."""

    by: Source
    words: tuple[str, ...]
    reason: str = ""


class FlagRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that is asked for one engine."""

    schema: int = SCHEMA
    asked: tuple[Asked, ...] = ()


class FlagRequests:
    """Asks for flags; a request stays until its file in the state folder is removed."""

    def __init__(self, engines: Iterable[EngineSettings], folder: Path) -> None:
        self._engines = {each.name: each for each in engines if each.flag_request is not None}
        self._folder = folder
        self._lock = threading.Lock()

    def has(self, engine: str) -> bool:
        """Return whether there is a way to ask for an engine's flags."""
        return engine in self._engines

    def may_ask(self, engine: str, flag: str) -> bool:
        """Return whether asking for a flag would change anything: there is a way, and it was never asked for nor is in force."""
        settings = self._engines.get(engine)
        if settings is None or any(flag == asked.words[0] for asked in self.asked(engine)):
            return False
        found = known(settings.report)
        if found is None:
            return True
        # On the CPU nothing is pinned: another start with it would be the same again.
        idle = flag == UNPIN and found.mode == "cpu"
        return not idle and flag not in found.flags

    def asked(self, engine: str) -> tuple[Asked, ...]:
        """Give what is asked for an engine; a copy that cannot be read asks for nothing, and is named."""
        file = self._copy(engine)
        try:
            found = msgspec.json.decode(file.read_bytes(), type=primed(FlagRequest))
        except FileNotFoundError:
            return ()
        except (OSError, *UNREADABLE) as error:
            log.warning("%s is not used: %s", file, error, extra={"action": "flag-request-unknown"})
            return ()
        return found.asked if found.schema == SCHEMA else ()

    def ask(self, engine: str, asked: Asked) -> None:
        """Ask for a flag from the engine's next start on; an OSError leaves the request as it was, or asks at the service's next start."""
        with self._lock:
            before = self.asked(engine)
            rest = [
                each for each in before if (each.by, each.words[0]) != (asked.by, asked.words[0])
            ]
            self._write(engine, (*rest, asked))

    def replace(self, engine: str, by: Source, asked: Sequence[Asked]) -> None:
        """Let these be all that one asker asks for."""
        with self._lock:
            before = self.asked(engine)
            after = (*(each for each in before if each.by != by), *asked)
            if after != before or not self._is_out(engine, after):
                self._write(engine, after)

    def forget(self, engine: str) -> tuple[Asked, ...]:
        """Ask no more for what was learned from failures, and give it; what is worked out would only be asked for again."""
        with self._lock:
            before = self.asked(engine)
            learned = tuple(each for each in before if each.by == "fallback")
            if learned:
                self._write(engine, tuple(each for each in before if each.by != "fallback"))
            return learned

    def publish(self) -> None:
        """Write what was asked for before: /run is empty after the host's start."""
        for name in self._engines:
            with self._lock:
                asked = self.asked(name)
                try:
                    self._write_run(name, asked)
                except OSError as error:
                    about = {"action": "flag-request-failed", "engine": name}
                    log.warning("%s", _cannot(self._engines[name], error), extra=about)

    def _copy(self, engine: str) -> Path:
        return self._folder / f"{engine}.json"

    def _write(self, engine: str, asked: Sequence[Asked]) -> None:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        durable.put(self._copy(engine), _encoded(asked), mode=0o600)
        self._write_run(engine, asked)

    def _is_out(self, engine: str, asked: Sequence[Asked]) -> bool:
        """Return whether the engine's user can read what is asked; an earlier try may have failed half-way."""
        file = self._engines[engine].flag_request
        assert file is not None
        try:
            return file.read_bytes() == _encoded(asked)
        except FileNotFoundError:
            return not asked

    def _write_run(self, engine: str, asked: Sequence[Asked]) -> None:
        """Write the file that the engine's user reads, whole or not at all; without anything asked there is none."""
        file = self._engines[engine].flag_request
        assert file is not None
        if not asked:
            file.unlink(missing_ok=True)
            return
        part = file.with_name(f".{file.name}.part")
        part.unlink(missing_ok=True)
        part.write_bytes(_encoded(asked))
        # The service's umask is that of the share.
        part.chmod(READABLE)
        part.replace(file)


def _encoded(asked: Sequence[Asked]) -> bytes:
    return msgspec.json.encode(FlagRequest(asked=tuple(asked)))


def line(reason: str) -> str:
    """Make a reason fit: one short line of printable text."""
    plain = "".join(each if each.isprintable() else " " for each in reason)
    return " ".join(plain.split())[:MOST_REASON]


def _cannot(settings: EngineSettings, error: OSError) -> str:
    return (
        f"{settings.flag_request} cannot be written ({error.strerror}): {settings.name} starts without the flags"
        " that were asked for. See who owns its folder: on NixOS /run/zoetrope-flags is made by the service's unit."
    )
