"""Opening pictures without trusting them: a few worker processes that may crash, hang or blow up."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from pathlib import Path

import msgspec

from .. import child
from ..domain.values import SourceImage
from ..errors import NotReadable, Rejected, ZoetropeError
from ..host import trouble
from ..places import Kind, Places
from ..settings import InboxSettings
from ..structs import primed
from .source_image_worker import READY, OpenAnswer, OpenRequest

IDLE_SECONDS = 60.0
_START_SECONDS = 120.0
_END_SECONDS = 5.0  # until a process that answers no more has an exit code
# How much longer a picture may take than its processor time before the host counts as too busy for it.
PATIENCE = 10.0
# Videos are decoded by several threads, whose time is counted together.
_VIDEO_THREADS = 4
# These end a worker from outside: a stopping service, the kernel short of memory.
_FROM_OUTSIDE = frozenset({-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP})


class DecoderDown(ZoetropeError):
    """Pictures cannot be opened on this host; that is not the pictures' fault."""

    key = "decoder-down"


class DecoderBusy(NotReadable):
    """The host did not let a picture be opened; whether it can be, nothing tells yet."""

    key = "decoder-busy"


class CopiedSource(msgspec.Struct, frozen=True, kw_only=True):
    """A picture's untouched bytes in a work folder, as they were copied."""

    name: str  # as the person named it
    file: str  # in the work folder
    sha256: str
    size: int


class _Worker:
    """One process and the time when it was used last."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.used = time.monotonic()

    async def started(self) -> None:
        """Wait until it has loaded all it needs."""
        assert self.process.stdout is not None
        try:
            await self.process.stdout.readexactly(len(READY))
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise EOFError from error

    async def ask(self, request: OpenRequest) -> OpenAnswer:
        """Send a request and wait for its answer; EOFError if the process died of it."""
        stdin, stdout = self.process.stdin, self.process.stdout
        if stdin is None or stdout is None:
            raise EOFError
        body = msgspec.msgpack.encode(request)
        try:
            stdin.write(len(body).to_bytes(4, "big") + body)
            await stdin.drain()
            size = await stdout.readexactly(4)
            body = await stdout.readexactly(int.from_bytes(size, "big"))
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise EOFError from error
        self.used = time.monotonic()
        return msgspec.msgpack.decode(body, type=primed(OpenAnswer))

    async def ended(self) -> int:
        """Say how the process ended that answers no more; 0 if it has not."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_END_SECONDS):
                return await self.process.wait()
        return 0

    async def stop(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()


class Decoder:
    """A small pool of workers, started on demand and stopped when there is nothing to do."""

    def __init__(
        self,
        settings: InboxSettings,
        *,
        places: Places | None = None,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self._settings = settings
        self._idle_seconds = idle_seconds
        self._free: list[_Worker] = []
        self._room = asyncio.Semaphore(settings.decode_workers)
        self._places = places or Places.of_host()
        self._all: set[_Worker] = set()
        self._sweep: asyncio.TimerHandle | None = None
        self._stopping: set[asyncio.Task[None]] = set()
        self._warming: asyncio.Task[None] | None = None

    @property
    def workers(self) -> int:
        """How many processes there are now."""
        return len(self._all)

    def warm(self) -> None:
        """Start a worker ahead of need: a picture was seen, and settles while Python starts."""
        if not self._all and self._warming is None:
            self._warming = asyncio.create_task(self._warm(), name="decoder-warming")

    async def open(
        self,
        folder: Path,
        source: CopiedSource,
        *,
        target: str = "upright.png",
        max_frames: int = 0,
        small: str = "",
    ) -> SourceImage:
        """Decode a copied picture wholly, or reject it with a reason; `target` and `small` name the copies made of it.

        With `max_frames` it is a video of at most so many frames, and the copy is its first one.
        """
        request = OpenRequest(
            os.fsencode(folder / source.file),
            os.fsencode(folder / target),
            self._settings.max_megapixels,
            max_frames,
            os.fsencode(folder / small) if small else b"",
            self._settings.decode_seconds * (_VIDEO_THREADS if max_frames else 1),
        )
        async with self._room, self._places.take(Kind.PICTURE):
            answer = await self.ask(request, source.name)
        if answer.errno:
            raise OSError(answer.errno, os.strerror(answer.errno), str(folder))
        if answer.refused is not None:
            reason = answer.refused
            raise Rejected(reason.sentence, reason.next_step, key=reason.key)
        return SourceImage(
            name=source.name,
            sha256=source.sha256,
            size=source.size,
            format=answer.format,
            width=answer.width,
            height=answer.height,
            source=source.file,
            file=target if answer.made else source.file,
            small=small,
            frames=answer.frames,
            fps=answer.fps,
            changes=answer.changes,
            pixels=answer.pixels,
        )

    async def close(self) -> None:
        """Stop every worker."""
        if self._warming is not None:
            self._warming.cancel()
            await asyncio.gather(self._warming, return_exceptions=True)
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        self._free.clear()
        await asyncio.gather(*(worker.stop() for worker in self._all), *self._stopping)
        self._all.clear()

    async def ask(self, request: OpenRequest, name: str) -> OpenAnswer:
        """Have a request answered by a worker; `name` is what people call the file."""
        if not self._free and self._warming is not None:
            await asyncio.shield(self._warming)
        worker = self._free.pop() if self._free else await self._start()
        kept = False
        longest = PATIENCE * request.cpu_seconds
        try:
            async with asyncio.timeout(longest):
                answer = await worker.ask(request)
            kept = True
        except TimeoutError as error:
            # Of a picture, its processor time tells; other work, or a disk, may take all the rest.
            raise DecoderBusy(
                f"{name} could not be opened in {longest:g} seconds: the host is busy, or the disk is slow.",
                "Nothing has to be done; it is tried again.",
            ) from error
        except EOFError as error:
            raise ended(await worker.ended(), request, name) from error
        finally:
            # Also when the caller was cancelled: a worker with an unread answer is of no more use.
            if kept:
                self._free.append(worker)
                self._plan_sweep()
            else:
                self._drop(worker)
        return answer

    async def _warm(self) -> None:
        try:
            # What keeps a worker from starting is told to the first picture that needs one.
            with contextlib.suppress(DecoderDown, OSError):
                self._free.append(await self._start())
                self._plan_sweep()
        finally:
            self._warming = None

    async def _start(self) -> _Worker:
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                # -P: no module may be found in the folder where the service happens to run.
                *("-P", "-m", "zoetrope.inbox.source_image_worker"),
                str(self._settings.max_megapixels),
                stdin=PIPE,
                stdout=PIPE,
                stderr=DEVNULL,
                cwd="/",
                env=child.environment(),
            )
        except RuntimeError as error:
            # Python before 3.12 waits for a child on a thread of its own, which the host may not have.
            if trouble(error) is None:
                raise
            raise OSError(errno.EAGAIN, str(error)) from error
        worker = _Worker(process)
        self._all.add(worker)
        try:
            async with asyncio.timeout(_START_SECONDS):
                await worker.started()
        except TimeoutError as error:
            self._drop(worker)
            raise DecoderDown(
                f"The process that opens pictures did not start in {_START_SECONDS:g} seconds.",
                "The host is busy, or the disk is slow; it is tried again.",
            ) from error
        except EOFError as error:
            self._drop(worker)
            raise DecoderDown(
                "The process that opens pictures does not start.",
                "Run `python -m zoetrope.inbox.source_image_worker 100` by hand to see why.",
            ) from error
        except BaseException:
            self._drop(worker)
            raise
        return worker

    def _drop(self, worker: _Worker) -> None:
        self._all.discard(worker)
        task = asyncio.create_task(worker.stop())
        self._stopping.add(task)
        task.add_done_callback(self._stopping.discard)

    def _plan_sweep(self) -> None:
        if self._sweep is None:
            loop = asyncio.get_running_loop()
            self._sweep = loop.call_later(self._idle_seconds, self._stop_idle)

    def _stop_idle(self) -> None:
        self._sweep = None
        oldest = time.monotonic() - self._idle_seconds
        idle = [worker for worker in self._free if worker.used <= oldest]
        self._free = [worker for worker in self._free if worker.used > oldest]
        for worker in idle:
            self._drop(worker)
        if self._free:
            self._plan_sweep()


def ended(code: int, request: OpenRequest, name: str) -> ZoetropeError:
    """Say what it means that a worker ended instead of answering."""
    if code == -signal.SIGPROF:
        return Rejected(
            f"Opening the file takes more than {request.cpu_seconds:g} seconds of processor time.",
            "Save it smaller, or raise inbox.decode_seconds.",
            key="picture-slow",
        )
    if code in _FROM_OUTSIDE:
        return DecoderBusy(
            f"The process that opened {name} was ended from outside, as the kernel does when memory runs out.",
            "It is tried again; free some memory, or set inbox.max_megapixels lower.",
        )
    return Rejected(
        "The file made its decoder crash.",
        "Open it in another program and save it anew.",
        key="picture-damaged",
    )
