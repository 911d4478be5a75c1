"""Which models lie on the disk, and which of them are known to be the right ones."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path

import msgspec

from ..durable import put
from ..structs import UNREADABLE, primed
from .manifest import Model

VERIFIED = ".zoetrope-verified.json"
CHUNK = 1 << 22


class ModelState(StrEnum):
    """How a model's file is."""

    MISSING = "missing"
    PARTIAL = "partial"  # a download that is not finished
    WRONG_SIZE = "wrong size"
    DAMAGED = "damaged"  # the size fits, the hash does not
    THERE = "there"  # the size fits, or no one knows it; the hash was not computed yet
    VERIFIED = "verified"


READY = frozenset({ModelState.THERE, ModelState.VERIFIED})


class FoundModel(msgspec.Struct, frozen=True, kw_only=True):
    """What there is of a model: its state, its file if there is one, and how much of it."""

    model: Model
    state: ModelState
    path: Path
    have: int = 0


class Seen(msgspec.Struct, frozen=True):
    """A hash with the size and time of the file that it was computed of."""

    size: int
    mtime_ns: int
    sha256: str


class Store:
    """A folder of models that we may write, and further ones that we only read."""

    def __init__(self, path: Path, folders: Sequence[Path] = ()) -> None:
        self.path = path
        self.folders = (path, *folders)

    def part(self, model: Model) -> Path:
        """Say where a download of a model grows."""
        return self.path / model.folder / f".{model.file}.part"

    def target(self, model: Model) -> Path:
        """Say where a fetched model belongs."""
        return self.path / model.folder / model.file

    def look(self, model: Model) -> FoundModel:
        """Say how a model is, from sizes and remembered hashes alone."""
        found: list[FoundModel] = []
        seen = self.seen()
        for folder in self.folders:
            file = folder / model.folder / model.file
            with contextlib.suppress(OSError):
                found.append(self._judge(model, file, seen))
        for state in (ModelState.VERIFIED, ModelState.THERE):
            if good := [each for each in found if each.state is state]:
                return good[0]
        with contextlib.suppress(OSError):
            have = self.part(model).stat().st_size
            return FoundModel(
                model=model, state=ModelState.PARTIAL, path=self.target(model), have=have
            )
        if found:
            return found[0]
        return FoundModel(model=model, state=ModelState.MISSING, path=self.target(model))

    def verify(self, model: Model, tell: Callable[[int], None] = lambda _: None) -> FoundModel:
        """Compute a file's hash, remember it, and say how the model is then."""
        found = self.look(model)
        if found.state not in (*READY, ModelState.DAMAGED) or not model.sha256:
            return found
        digest = hashlib.sha256()
        with found.path.open("rb") as content:
            while chunk := content.read(CHUNK):
                digest.update(chunk)
                tell(len(chunk))
            stat = os.fstat(content.fileno())
        self.remember(found.path, Seen(stat.st_size, stat.st_mtime_ns, digest.hexdigest()))
        return self.look(model)

    def remember(self, file: Path, seen: Seen) -> None:
        """Write down a file's hash, so that it is not computed again while the file stays the same."""
        known = {name: each for name, each in self.seen().items() if Path(name).exists()}
        known[str(file)] = seen
        self.path.mkdir(parents=True, exist_ok=True)
        put(self.path / VERIFIED, msgspec.json.format(msgspec.json.encode(known), indent=1))

    def _judge(self, model: Model, file: Path, seen: dict[str, Seen]) -> FoundModel:
        stat = file.stat()
        state = ModelState.THERE
        if model.bytes is not None and stat.st_size != model.bytes:
            state = ModelState.WRONG_SIZE
        elif model.sha256:
            known = seen.get(str(file))
            if known and (known.size, known.mtime_ns) == (stat.st_size, stat.st_mtime_ns):
                state = ModelState.VERIFIED if known.sha256 == model.sha256 else ModelState.DAMAGED
        return FoundModel(model=model, state=state, path=file, have=stat.st_size)

    def seen(self) -> dict[str, Seen]:
        """Give the hashes that downloads and verifications remembered, by path."""
        # A note that cannot be read costs a computation, no more.
        with contextlib.suppress(OSError, *UNREADABLE):
            return msgspec.json.decode(
                (self.path / VERIFIED).read_bytes(), type=primed(dict[str, Seen])
            )
        return {}


def share(found: Sequence[FoundModel]) -> float:
    """Say which part of all bytes is there, from 0 to 1; files of unknown size count as nothing."""
    total = sum(each.model.bytes or 0 for each in found)
    have = sum(
        each.have
        for each in found
        if each.model.bytes and (each.state in READY or each.state is ModelState.PARTIAL)
    )
    return min(1.0, have / total) if total else 1.0
