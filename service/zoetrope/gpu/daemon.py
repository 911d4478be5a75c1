"""The root helper: a unix socket, one line a request, names of profiles and nothing else.

It alone may change a card. Whoever asks is checked by the kernel's word (SO_PEERCRED), every change is a line in
the journal, and what a connection asked for ends with the connection: a service that dies leaves no GPU tuned.
"""

from __future__ import annotations

import asyncio
import contextlib
import grp
import itertools
import logging
import os
import signal
import socket
import struct
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from ..errors import Reason, SettingsError
from ..notifier import Notifier
from ..settings import GpuSettings
from .book_file import BookFile
from .card import Xid
from .device import Nvml, XidListener
from .faults import GpuError, GpuLost, is_suspicious, xid_reason
from .governor import Governor
from .knobs import Knobs
from .wire import (
    LONGEST_REQUEST,
    Apply,
    Asked,
    BadHelperRequest,
    Enable,
    HelperAnswer,
    Reset,
    Rest,
    SoakedRequest,
    StatusRequest,
    TroubleRequest,
    Work,
    decode,
    encode,
)

log = logging.getLogger("zoetrope.gpu")

FIRST_FD = 3  # where systemd's socket activation begins
LOOK_SECONDS = 5.0
XID_MILLISECONDS = 500
SO_PEERGROUPS = 59  # Linux 4.13; Python has no name for it
MOST_BYTES = 1024  # that getsockopt takes in Python
MOST_CLIENTS = 16
# A connection may be silent for as long as a service runs; a line that was begun may not.
LINE_SECONDS = 10.0


class Peer:
    """Who is at the other end of a connection, by the kernel's word."""

    def __init__(self, pid: int, uid: int, groups: frozenset[int]) -> None:
        self.pid = pid
        self.uid = uid
        self.groups = groups

    def __str__(self) -> str:
        return f"uid {self.uid}, pid {self.pid}"

    @classmethod
    def of(cls, connection: socket.socket) -> Peer:
        """Ask the kernel."""
        size = struct.calcsize("3i")
        pid, uid, gid = struct.unpack(
            "3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
        )
        groups: tuple[int, ...] = ()
        # More than Python's buffer holds (256 groups) counts as none: rejected, not guessed.
        with contextlib.suppress(OSError):
            raw = connection.getsockopt(socket.SOL_SOCKET, SO_PEERGROUPS, MOST_BYTES)
            groups = struct.unpack(f"{len(raw) // 4}i", raw)
        return cls(pid, uid, frozenset((gid, *groups)))


class Helper:
    """Serves the socket, listens for faults, and looks at every GPU that is tuned."""

    def __init__(
        self,
        governor: Governor,
        nvml: Nvml,
        group: int | None,
        notifier: Notifier,
        run: Path | None = None,
    ) -> None:
        self._governor = governor
        self._nvml = nvml
        self._group = group
        self._notifier = notifier
        self._run = run  # where others read which profile is in force; gone with the helper
        self._leases = itertools.count(1)
        self._clients: set[asyncio.Task[None]] = set()
        self._uuids = [card.uuid for card in nvml.cards()]

    async def run(self, listener: socket.socket, stop: asyncio.Event) -> None:
        """Serve until told to stop; every GPU is reset at the end, however it ends."""
        loop = asyncio.get_running_loop()
        xids = self._nvml.xid_listener()
        ended = threading.Event()

        def wait() -> None:
            while not ended.is_set():
                try:
                    xid = xids.wait(XID_MILLISECONDS)
                except GpuError:
                    return  # the regular checks continue, and report what is wrong
                if xid is not None:
                    loop.call_soon_threadsafe(self._on_xid, xid)

        listening = threading.Thread(target=wait, name="xids", daemon=True)
        try:
            self._governor.begin()
            listening.start()
            server = await asyncio.start_unix_server(
                self._accept, sock=listener, limit=LONGEST_REQUEST
            )
            self._notifier.ready("every GPU is at stock clocks")
            looking = asyncio.create_task(self._look())
            try:
                await stop.wait()
            finally:
                self._notifier.stopping()
                looking.cancel()
                server.close()
        finally:
            for task in self._clients:
                task.cancel()
            self._governor.end()
            ended.set()
            await asyncio.to_thread(self._stop_listening, listening, xids)

    @staticmethod
    def _stop_listening(listening: threading.Thread, xids: XidListener) -> None:
        if listening.ident is not None:
            listening.join()
        xids.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._clients.add(task)
        lease = next(self._leases)
        by = ""
        try:
            peer = Peer.of(writer.get_extra_info("socket"))
            by = str(peer)
            if not self._allowed(peer):
                log.warning("rejected: %s", peer, extra={"action": "gpu-refused"})
                reason = Reason(
                    "gpu-permission",
                    "You may not change the GPUs of this host.",
                    "Become a member of the helper's group, or root.",
                )
                await self._answer(writer, HelperAnswer(reason=reason))
            elif len(self._clients) > MOST_CLIENTS and not _operator(peer):
                reason = Reason("gpu-busy", "Too many clients.", "Try again in a moment.")
                await self._answer(writer, HelperAnswer(reason=reason))
            else:
                async for line in _lines(reader):
                    await self._answer(writer, self._obey(line, lease, peer))
                    # Others have their turn between two requests, however fast these come.
                    await asyncio.sleep(0)
        except BadHelperRequest as error:
            with contextlib.suppress(ConnectionError, TimeoutError):
                await self._answer(writer, HelperAnswer(reason=error.reason))
        except (ConnectionError, TimeoutError):
            pass  # it went away, or does not read; its lease ends below
        finally:
            self._clients.discard(task)
            self._governor.leave(lease, by)
            self._tell()
            writer.close()

    @staticmethod
    async def _answer(writer: asyncio.StreamWriter, answer: HelperAnswer) -> None:
        writer.write(encode(answer))
        async with asyncio.timeout(LINE_SECONDS):
            await writer.drain()

    def _allowed(self, peer: Peer) -> bool:
        return peer.uid == 0 or (self._group is not None and self._group in peer.groups)

    def _obey(self, line: bytes, lease: int, peer: Peer) -> HelperAnswer:
        """Do what a line asks; the loop has one thread, so there is one change at a time."""
        reason = None
        try:
            self._do(decode(line), lease, peer)
        except GpuError as error:
            reason = error.reason
        self._tell()
        return HelperAnswer(reason=reason, cards=self._governor.states())

    def _do(self, asked: Asked, lease: int, peer: Peer) -> None:
        by = str(peer)
        match asked:
            case StatusRequest():
                pass
            case Work(card=card):
                self._governor.work(card, lease, by)
            case Rest(card=card):
                self._governor.rest(card, lease, by)
            case Apply(card=card, profile=profile):
                self._governor.apply(card, profile, by)
            case Reset(card=card):
                self._governor.reset(card, by)
            case Enable():
                if not _operator(peer):
                    raise GpuError(
                        "Only root may enable profiles whose record was not readable.",
                        "As root: zoetrope gpu enable",
                        key="gpu-permission",
                    )
                self._governor.enable(by)
            case SoakedRequest(card=card, profile=profile, seconds=seconds):
                self._governor.soaked(card, profile, seconds)
            case TroubleRequest(card=card, profile=profile, kind=kind, sentence=sentence):
                reason = Reason(f"gpu-{kind}", sentence)
                self._governor.trouble(card, profile, reason, by)

    def _on_xid(self, xid: Xid) -> None:
        reason = xid_reason(xid.number)
        if is_suspicious(xid.number):
            self._governor.fault(xid.uuid, reason)
            self._tell()
        else:
            log.info("%s", reason.sentence, extra={"action": "xid", "card": xid.uuid})

    async def _look(self) -> None:
        while True:
            self._notifier.alive()
            for uuid in self._uuids:
                try:
                    self._governor.look(uuid, self._nvml.read(uuid))
                except GpuLost as error:
                    self._governor.fault(uuid, error.reason)
                except GpuError as error:
                    log.warning("%s", error, extra={"action": "gpu-look", "card": uuid})
            await asyncio.sleep(LOOK_SECONDS)

    def _tell(self) -> None:
        """Say how the GPUs stand: in one line for systemd, and in a file each for pre-start.sh."""
        states = self._governor.states()
        told = (f"{state.name}: {state.in_force or 'stock'}" for state in states)
        self._notifier.status("; ".join(told))
        if self._run is None:
            return
        for state in states:
            file = self._run / state.uuid
            try:
                if state.in_force:
                    file.write_text(f"{state.in_force}\n")
                    file.chmod(0o644)
                else:
                    file.unlink(missing_ok=True)
            except OSError as error:
                # Only an engine's start reads it; the GPU is where it should be.
                log.warning("%s", error, extra={"action": "gpu-told", "card": state.uuid})


async def _lines(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """Give every line; one that is too long or too slow ends the connection, because no one can say where it stops."""
    while True:
        try:
            first = await reader.readexactly(1)
            async with asyncio.timeout(LINE_SECONDS):
                line = first if first == b"\n" else first + await reader.readuntil(b"\n")
        except asyncio.IncompleteReadError:
            return
        except TimeoutError as error:
            raise BadHelperRequest(
                f"A request is complete within {LINE_SECONDS:g} seconds.", "See docs/gpu.md."
            ) from error
        except asyncio.LimitOverrunError as error:
            raise BadHelperRequest(
                f"A request has at most {LONGEST_REQUEST} bytes.", "See docs/gpu.md."
            ) from error
        yield line


def _operator(peer: Peer) -> bool:
    """Tell whether it is root, or whoever runs the helper where that is not root."""
    return peer.uid in (0, os.geteuid())


def listener(path: Path | None, group: int | None) -> socket.socket:
    """Take systemd's socket, or make one that only root and the group can use."""
    if os.environ.get("LISTEN_PID") == str(os.getpid()) and os.environ.get("LISTEN_FDS") == "1":
        return socket.socket(fileno=FIRST_FD)
    if path is None:
        raise SettingsError(
            "systemd passed no socket.", "Start zoetrope-gpu.socket, or use --socket PATH."
        )  # fmt: skip
    path.unlink(missing_ok=True)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        made.bind(str(path))
    finally:
        os.umask(before)
    if group is not None:
        os.chown(path, -1, group)
        path.chmod(0o660)
    made.listen()
    return made


def find_group(name: str) -> int | None:
    """Give a group's number; without a name, only root may ask."""
    if not name:
        return None
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError as error:
        raise SettingsError(
            f"There is no group {name!r}.", "Set an existing one with --group."
        ) from error


def restore(settings: GpuSettings, state: Path) -> None:
    """Put every GPU back that an end left tuned: what systemd runs after the helper, however it ended."""
    with _opened() as nvml:
        governor = Governor(nvml.cards(), Knobs(nvml), settings, BookFile(state / "book.json"))
        governor.begin()


async def serve(
    settings: GpuSettings,
    state: Path,
    bound: socket.socket,
    group: int | None,
    notifier: Notifier | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, stop.set)
    with _opened() as nvml:
        file = BookFile(state / "book.json")
        governor = Governor(nvml.cards(), Knobs(nvml), settings, file)
        run = os.environ.get("RUNTIME_DIRECTORY")
        helper = Helper(
            governor,
            nvml,
            group,
            notifier or Notifier.from_environ(),
            Path(run) if run else None,
        )
        await helper.run(bound, stop)


@contextlib.contextmanager
def _opened() -> Iterator[Nvml]:
    nvml = Nvml()
    try:
        yield nvml
    finally:
        nvml.close()
