"""The hashes of model files: each computed once, in the background, and known again while the file stays the same."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import stat
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

import msgspec

from ..domain.environment import ModelFile
from ..durable import put
from ..structs import UNREADABLE, primed
from .links import Reached, follow, may_report
from .store import CHUNK, Store

log = logging.getLogger("zoetrope.models")

# How long a job waits for the folders' answer; a share that is gone may never give one.
PATIENCE = 2.0

NOT_YET = "not hashed yet"
NO_FOLDER = "models.path is not set, so the service sees no model files"
SILENT = "the models folder did not respond"


class Identity(msgspec.Struct, frozen=True):
    """What tells a file from another one that was put in its place."""

    size: int
    modified: int
    inode: int


class Known(msgspec.Struct, frozen=True):
    """A hash, and the file that it was computed of."""

    identity: Identity
    sha256: str


def identify(file: Path) -> tuple[str, Identity]:
    """Give the path behind all links and what stands there; an OSError if that is no file, or not to be reported."""
    with follow(file) as reached:
        return reached.way.real, _identity(reached)


def _identity(reached: Reached) -> Identity:
    about = reached.way.about
    if not stat.S_ISREG(about.st_mode):
        raise OSError(0, "it is not a file")
    if not may_report(reached.way, os.geteuid()):
        raise PermissionError(0, "another user's link leads to it, and not every user can read it")
    return Identity(about.st_size, about.st_mtime_ns, about.st_ino)


def sha256_of(real: str, identity: Identity, leaving: Callable[[], bool]) -> str | None:
    """Hash what stands at a path; None if it changed meanwhile, or the service ends."""
    digest = hashlib.sha256()
    with follow(Path(real)) as reached:
        if _identity(reached) != identity:
            return None
        handle = reached.open()
    with open(handle, "rb", buffering=0) as content:  # noqa: PTH123 - a descriptor
        while chunk := content.read(CHUNK):
            if leaving():
                return None
            digest.update(chunk)
        after = os.fstat(content.fileno())
    there = Identity(after.st_size, after.st_mtime_ns, after.st_ino)
    return digest.hexdigest() if there == identity == identify(Path(real))[1] else None


class Hashes:
    """Says what is known of model files at once; what is not is computed by `run`."""

    def __init__(
        self,
        folder: Path | None,
        folders: Iterable[Path],
        memory: Path,
        *,
        identify: Callable[[Path], tuple[str, Identity]] = identify,
        sha256: Callable[[str, Identity, Callable[[], bool]], str | None] = sha256_of,
    ) -> None:
        self._store = Store(folder, tuple(folders)) if folder is not None else None
        self._memory = memory
        self._identify = identify
        self._sha256 = sha256
        self._known: dict[str, Known] | None = None  # by the path behind all links
        # What could not be read the last time, and why; it is tried again with the next job.
        self._refused: dict[tuple[str, Identity], str] = {}
        self._wanted: dict[Path, None] = {}
        self._wake = asyncio.Event()
        self._leaving = False
        # Its own thread: a folder that does not answer must hold up no other work of the service.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="models")

    async def look(self, names: Iterable[str]) -> tuple[ModelFile, ...]:
        """Say how model files are now, each named `folder/file`; what is not known yet is asked for."""
        wanted = tuple(dict.fromkeys(names))
        if self._store is None:
            return tuple(ModelFile(name=name, unknown=NO_FOLDER) for name in wanted)
        if not wanted:
            return ()
        try:
            async with asyncio.timeout(PATIENCE):
                loop = asyncio.get_running_loop()
                found = await loop.run_in_executor(self._thread, self._look, wanted)
        except TimeoutError:
            return tuple(ModelFile(name=name, unknown=SILENT) for name in wanted)
        for _, file in found:
            if file is not None:
                self._wanted[file] = None
                self._wake.set()
        return tuple(each for each, _ in found)

    async def completed(self, files: tuple[ModelFile, ...]) -> tuple[ModelFile, ...]:
        """Fill in the hashes that were computed since, of files that no one replaced meanwhile."""
        if not (open_ := [each.name for each in files if each.unknown == NOT_YET]):
            return files
        now = {each.name: each for each in await self.look(open_)}
        return tuple(
            now[each.name] if each.name in now and each.same_file(now[each.name]) else each
            for each in files
        )

    async def run(self) -> None:
        """Compute what was asked for, one file after the other, until cancelled."""
        self._leaving = False
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                await self.catch_up()
        finally:
            # A thread cannot be cancelled; it looks at this between two pieces.
            self._leaving = True

    async def catch_up(self) -> None:
        """Compute what was asked for until now."""
        while self._wanted:
            file = next(iter(self._wanted))
            await asyncio.to_thread(self._compute, file)
            self._wanted.pop(file, None)

    def _look(self, names: tuple[str, ...]) -> list[tuple[ModelFile, Path | None]]:
        return [self._one(name) for name in names]

    def _one(self, name: str) -> tuple[ModelFile, Path | None]:
        """Say how a file is, and which path is to be hashed."""
        assert self._store is not None
        plain = PurePosixPath(name)
        if plain.is_absolute() or ".." in plain.parts or "\0" in name:
            return ModelFile(
                name=name, unknown="its name points outside of the models folder"
            ), None
        why = "it is not in any models folder"
        for folder in self._store.folders:
            file = folder / plain
            try:
                real, identity = self._identify(file)
            except FileNotFoundError:
                continue
            except OSError as error:
                why = f"the service cannot read it ({error.strerror})"
                continue
            told = ModelFile(name=name, size=identity.size, modified=identity.modified)
            if sha256 := self._hash(file, real, identity):
                return msgspec.structs.replace(told, sha256=sha256), None
            why = self._refused.get((real, identity), NOT_YET)
            return msgspec.structs.replace(told, unknown=why), file
        return ModelFile(name=name, unknown=why), None

    def _hash(self, file: Path, real: str, identity: Identity) -> str:
        known = self._all().get(real)
        if known is not None and known.identity == identity:
            return known.sha256
        # What a download or `models verify` found counts as well, but not through a link: it may lead
        # to another file of the same size, and all files of a Nix store have the same time.
        assert self._store is not None
        seen = self._store.seen().get(str(file)) if real == str(file) else None
        if seen is not None and (seen.size, seen.mtime_ns) == (identity.size, identity.modified):
            return seen.sha256
        return ""

    def _compute(self, file: Path) -> None:
        """Hash a file and remember it; one that changed under way is left for the next time."""
        try:
            real, identity = self._identify(file)
            sha256 = self._sha256(real, identity, lambda: self._leaving)
        except OSError as error:
            with contextlib.suppress(OSError):
                self._refused[self._identify(file)] = (
                    f"the service cannot read it ({error.strerror})"
                )
            return
        if sha256 is None:
            return
        self._refused.pop((real, identity), None)
        self._all()[real] = Known(identity, sha256)
        log.info("hashed %s", file, extra={"action": "model-hashed"})
        known = {path: each for path, each in self._all().items() if Path(path).exists()}
        # A note that cannot be kept costs a computation after the next start, no more.
        with contextlib.suppress(OSError):
            put(self._memory, msgspec.json.format(msgspec.json.encode(known), indent=1))

    def _all(self) -> dict[str, Known]:
        if self._known is None:
            self._known = {}
            with contextlib.suppress(OSError, *UNREADABLE):
                self._known = msgspec.json.decode(
                    self._memory.read_bytes(), type=primed(dict[str, Known])
                )
        return self._known
