"""Downloads that survive anything: taken up where they broke off, and used only when their hash is right."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import logging
import shutil
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import aiohttp
import msgspec

from ..durable import flush, sync
from ..errors import DiskFull, ZoetropeError, is_disk_full
from .manifest import Model
from .store import READY, Seen, Store

log = logging.getLogger("zoetrope.models")

CHUNK = 1 << 20
TRIES = 8  # without a single byte of progress
LONGEST_PAUSE = 60.0
RESERVE = 1 << 30  # bytes that a download leaves free
TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=30, sock_read=60)
# Answers that another try may change.
PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})


class FetchError(ZoetropeError):
    """A model cannot be had."""

    key = "model-fetch"


class Busy(ZoetropeError):
    """Another process fetches into the same folder."""

    key = "model-fetch-busy"


class BrokenDownload(Exception):
    """The connection or the server failed in a way that may pass; `after` is how long it asked to wait."""

    def __init__(self, why: str, after: float = 0.0) -> None:
        super().__init__(why)
        self.after = after


class FetchProgress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a download is."""

    model: Model
    have: int
    rate: float = 0.0  # bytes a second
    left: int = 0  # further files to go

    def __str__(self) -> str:
        size = self.model.bytes
        share = f" {self.have / size:.0%}".replace("%", " %") if size else ""
        of = f"{_gigabytes(self.have)} of {_gigabytes(size)}" if size else _gigabytes(self.have)
        words = [of]
        if self.rate > 0:
            words.append(f"{self.rate / 1e6:.0f} MB/s")
            if size:
                words.append(f"{_minutes((size - self.have) / self.rate)} left")
        more = f", {self.left} more file{'s' if self.left > 1 else ''} to go" if self.left else ""
        return f"fetching {self.model.file}{share} ({', '.join(words)}){more}"


def open_part(part: Path, have: int) -> BinaryIO:
    """Open a part to be written on after so many bytes."""
    target = part.open("r+b" if part.exists() else "wb")
    target.truncate(have)
    target.seek(have)
    return target


class Fetcher:
    """Fetches models one after the other into a store."""

    def __init__(
        self,
        store: Store,
        session: aiohttp.ClientSession,
        *,
        token: str = "",
        tell: Callable[[FetchProgress], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        free: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free,
        open_part: Callable[[Path, int], BinaryIO] = open_part,
    ) -> None:
        self._store = store
        self._session = session
        self._token = token
        self._tell = tell
        self._clock = clock
        self._sleep = sleep
        self._free = free
        self._open_part = open_part
        self._left = 0

    async def fetch(self, models: Sequence[Model]) -> list[ZoetropeError]:
        """Fetch what is missing; what goes wrong with one file is returned, and the others go on."""
        wanted = [m for m in models if self._store.look(m).state not in READY]
        self._check_room(wanted)
        errors: list[ZoetropeError] = []
        for number, model in enumerate(wanted):
            self._left = len(wanted) - number - 1
            try:
                await self._one(model)
            except FetchError as error:
                log.error("%s", error, extra={"action": error.reason.key})  # noqa: TRY400
                errors.append(error)
            else:
                log.info("%s is complete", model.path, extra={"action": "model-fetched"})
        return errors

    def _check_room(self, models: Sequence[Model]) -> None:
        self._store.path.mkdir(parents=True, exist_ok=True)
        need = sum((m.bytes or 0) - self._have(m) for m in models)
        free = self._free(self._store.path)
        if models and need + RESERVE > free:
            raise DiskFull(
                f"{len(models)} models need {_gigabytes(need)} more, and {_gigabytes(free)} are free"
                f" on {self._store.path}.",
                f"Free {_gigabytes(need + RESERVE - free)} there, or set another models.path.",
            )

    def _have(self, model: Model) -> int:
        with contextlib.suppress(OSError):
            return self._store.part(model).stat().st_size
        return 0

    async def _one(self, model: Model) -> None:
        if not model.url or not model.sha256:
            raise FetchError(
                f"{model.path} has no known address or hash.",
                "Copy the file there yourself, or describe it in models.extra of the settings.",
            )
        part = self._store.part(model)
        part.parent.mkdir(parents=True, exist_ok=True)
        failures, before = 0, self._have(model)
        done = False
        while not done:
            try:
                await self._go_on(model, part)
                done = True
            except BrokenDownload as error:
                have = self._have(model)
                failures = 1 if have > before else failures + 1
                before = have
                if failures >= TRIES:
                    raise FetchError(
                        f"{model.path} cannot be fetched from {_host(model.url)}: {error}.",
                        "Check the network; the partial file is kept, and the next run resumes.",
                    ) from error
                pause = error.after or min(LONGEST_PAUSE, 2.0 ** (failures - 1))
                log.warning(
                    "%s: %s; retrying in %.0f s",
                    model.file,
                    error,
                    pause,
                    extra={"action": "model-retry"},
                )
                await self._sleep(pause)
            except OSError as error:
                if is_disk_full(error):
                    raise DiskFull(
                        f"The disk of {part.parent} became full during the download of {model.file}.",
                        "Free disk space; the partial file is kept, and the next run resumes.",
                    ) from error
                raise FetchError(
                    f"{part} cannot be written ({error.strerror}).",
                    "Check the permissions of the folder.",
                ) from error

    async def _go_on(self, model: Model, part: Path) -> None:
        """Take a download up where it is, and bring it to its end."""
        digest = await asyncio.to_thread(_digest, part)
        have = self._have(model)
        if model.bytes is not None and have > model.bytes:
            _forget(part)
            digest, have = hashlib.sha256(), 0
        if have != model.bytes:
            digest = await self._download(model, part, digest, have)
        await asyncio.to_thread(self._settle, model, part, digest.hexdigest())

    async def _download(
        self, model: Model, part: Path, digest: hashlib._Hash, have: int
    ) -> hashlib._Hash:
        headers = {"Accept-Encoding": "identity"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        if have:
            headers["Range"] = f"bytes={have}-"
            if tag := _tag(part):
                headers["If-Range"] = tag
        try:
            async with self._session.get(model.url, headers=headers, timeout=TIMEOUT) as answer:
                start = _start(answer, model, have)
                if start is None:
                    _forget(part)
                    raise BrokenDownload("the length on the server does not match the partial file")
                if start != have:
                    digest, have = hashlib.sha256(), start
                _keep_tag(part, answer)
                with self._open_part(part, have) as target:
                    begun = (self._clock(), have)
                    async for chunk in answer.content.iter_chunked(CHUNK):
                        target.write(chunk)
                        digest.update(chunk)
                        have += len(chunk)
                        if model.bytes is not None and have > model.bytes:
                            break
                        self._say(model, have, begun)
                    await asyncio.to_thread(flush, target)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise BrokenDownload(str(error) or type(error).__name__) from error
        if model.bytes is not None and have < model.bytes:
            raise BrokenDownload(
                f"the server closed the connection after {have} of {model.bytes} bytes"
            )
        return digest

    def _say(self, model: Model, have: int, begun: tuple[float, int]) -> None:
        seconds = self._clock() - begun[0]
        rate = (have - begun[1]) / seconds if seconds > 1 else 0.0
        self._tell(FetchProgress(model=model, have=have, rate=rate, left=self._left))

    def _settle(self, model: Model, part: Path, found: str) -> None:
        """Put a finished download in its place, or throw it away if it is not what it should be."""
        size = part.stat().st_size
        if found != model.sha256 or model.bytes not in (None, size):
            _forget(part)
            raise FetchError(
                f"{model.path} from {_host(model.url)} is the wrong file: its SHA-256 begins with"
                f" {found[:12]} instead of {model.sha256[:12]}, at {size} bytes. It was deleted.",
                "The file was changed there or in transit; try again, or compare the hash by hand.",
                key="model-wrong",
            )
        target = self._store.target(model)
        stat = part.stat()
        part.replace(target)
        part.with_suffix(".etag").unlink(missing_ok=True)
        sync(target.parent)
        self._store.remember(target, Seen(size, stat.st_mtime_ns, found))


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep a second fetcher out of a folder; the lock goes with the process, however it ends."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".zoetrope-fetch.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Busy(
                f"Another process is fetching models into {folder}.",
                "Wait for it: systemctl status zoetrope-models",
            ) from error
        yield


def _start(answer: aiohttp.ClientResponse, model: Model, have: int) -> int | None:
    """Say at which byte an answer begins; None if what is here has no place in it."""
    status, where = answer.status, f"{_host(model.url)} answers {answer.status} to {model.file}"
    if status == 416:
        return None
    if status in PASSING:
        raise BrokenDownload(where, _after(answer))
    if status in (401, 403):
        raise FetchError(
            f"{where}.",
            "The download needs a login: put the token of the model hub into a file, and set models.token_file to it.",
        )
    if status not in (200, 206):
        raise FetchError(f"{where}.", "Its address may have changed; see workflows/models.toml.")
    start = 0
    if status == 206:
        said = answer.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
        if said != str(have):
            return None
        start = have
    length = answer.content_length
    if None not in (length, model.bytes) and start + (length or 0) != model.bytes:
        raise FetchError(
            f"{_host(model.url)} has {start + (length or 0)} bytes as {model.file} instead of {model.bytes}.",
            "The file was changed there; compare it with workflows/models.toml.",
            key="model-wrong",
        )
    return start


def _after(answer: aiohttp.ClientResponse) -> float:
    said = answer.headers.get("Retry-After", "")
    return min(600.0, float(said)) if said.isdecimal() else 0.0


def _keep_tag(part: Path, answer: aiohttp.ClientResponse) -> None:
    """Remember which version of the file this is; a weak tag may not stand for a range of bytes."""
    tag = answer.headers.get("ETag", "")
    if tag.startswith('"'):
        part.with_suffix(".etag").write_text(tag, encoding="ascii")
    else:
        part.with_suffix(".etag").unlink(missing_ok=True)


def _tag(part: Path) -> str:
    with contextlib.suppress(OSError):
        return part.with_suffix(".etag").read_text(encoding="ascii")
    return ""


def _forget(part: Path) -> None:
    """Throw away what is here of a download."""
    part.unlink(missing_ok=True)
    part.with_suffix(".etag").unlink(missing_ok=True)


def _digest(file: Path) -> hashlib._Hash:
    digest = hashlib.sha256()
    with contextlib.suppress(FileNotFoundError), file.open("rb") as content:
        while chunk := content.read(1 << 22):
            digest.update(chunk)
    return digest


def _host(url: str) -> str:
    return url.partition("//")[2].partition("/")[0] or url


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
