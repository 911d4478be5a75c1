"""The event stream: what happens to jobs, told to everybody who listens, and again to who was away."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from pathlib import Path
from typing import Literal, Protocol

import msgspec

from ..domain.job import Job, State
from ..jobs.progress import Live
from .views import view

Kind = Literal["hello", "resync", "job", "progress", "health"]

KEPT = 512  # job and health events that a returning reader can still be given
KEPT_BYTES = 4 * 1024 * 1024
BACKLOG = 256  # events that a reader may be behind before it is let go
BACKLOG_BYTES = 1024 * 1024
WRITE = 64 * 1024  # bytes that are handed to the line at once
PACE = 0.25  # seconds between two progress events of one job


class Event(msgspec.Struct, frozen=True):
    """One thing that happened, already encoded as JSON; `subject` is the job's id."""

    seq: int
    kind: Kind
    subject: str
    data: bytes


class ProgressView(msgspec.Struct, frozen=True):
    """How far one job is."""

    id: str
    live: Live


class Hello(msgspec.Struct, frozen=True):
    """The first event of every stream; without `resumed`, the reader has to ask for the jobs again."""

    resumed: bool


class Resync(msgspec.Struct, frozen=True):
    """The reader's place is lost: something may have happened that it is not told any more."""

    why: str = "Events are missing; ask for the jobs again."


class DelayedCall(Protocol):
    """A call that is still to come."""

    def cancel(self) -> None:
        """Call it off."""


Later = Callable[[float, Callable[[], None]], DelayedCall]


class Reader:
    """One listener's backlog; progress of a job replaces its earlier progress that was not yet read."""

    def __init__(self, missed: Sequence[Event] = ()) -> None:
        # What a returning reader missed is as long as what is kept, and does not count.
        self._events: deque[Event] = deque(missed)
        self._progress: dict[str, Event] = {}
        self._room = BACKLOG + len(self._events)
        self._bytes = 0  # of the events that came since it began
        self._wake = asyncio.Event()
        self.closed = False

    def put(self, event: Event) -> None:
        """Add an event, or close the reader when it is too far behind."""
        if self.closed:
            return
        if event.kind == "progress":
            self._progress[event.subject] = event
        else:
            self._events.append(event)
            self._bytes += len(event.data)
        if len(self._events) + len(self._progress) > self._room or self._bytes > BACKLOG_BYTES:
            self.close()
        self._wake.set()

    def close(self) -> None:
        """End the stream; what was not read is forgotten, and resuming brings it back."""
        self.closed = True
        self._events.clear()
        self._progress.clear()
        self._wake.set()

    async def take(self, timeout: float) -> list[Event]:
        """Wait for events, at most `timeout` seconds, and give them all in their order."""
        if not (self._events or self._progress or self.closed):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await self._wake.wait()
        self._wake.clear()
        taken = sorted([*self._events, *self._progress.values()], key=lambda event: event.seq)
        self._events.clear()
        self._progress.clear()
        self._room, self._bytes = BACKLOG, 0
        return taken


class Bus:
    """Where events come together; all of it runs on the event loop."""

    def __init__(
        self,
        outbox: Path,
        *,
        kept: int = KEPT,
        kept_bytes: int = KEPT_BYTES,
        clock: Callable[[], float] = time.monotonic,
        later: Later | None = None,
    ) -> None:
        self._outbox = outbox
        self._clock = clock
        self._later = later
        # Sequence numbers begin anew with each start of the service; the era tells them apart.
        self.era = secrets.token_hex(4)
        self._seq = 0
        self._kept: deque[Event] = deque()
        self._room = (kept, kept_bytes)
        self._bytes = 0  # of the events that are kept
        self._forgotten = 0  # the seq of the newest event that is no longer kept
        self._last_progress: dict[str, tuple[float, Event]] = {}  # each running job's last progress
        # Progress that came too soon after another.
        self._held: dict[str, tuple[DelayedCall, Live]] = {}
        self._live: dict[str, Live] = {}
        self._readers: set[Reader] = set()

    def job(self, job: Job) -> None:
        """Tell that a job was written; made to be given to `ledger.on_change`."""
        if job.id in self._held:
            # The last figure of a stage is told before the step that it led to.
            self._flush(job.id)
        if job.state is not State.RUNNING:
            self._last_progress.pop(job.id, None)
            self._live.pop(job.id, None)
        shown = view(job, self._outbox, self._live.get(job.id))
        self._keep("job", job.id, msgspec.json.encode(shown))

    def progress(self, job_id: str, live: Live) -> None:
        """Tell how far a job is, a few times a second at most and never without the newest figure."""
        self._live[job_id] = live
        if (held := self._held.get(job_id)) is not None:
            self._held[job_id] = (held[0], live)
            return
        last, _ = self._last_progress.get(job_id, (float("-inf"), None))
        wait = last + PACE - self._clock()
        if wait <= 0:
            self._tell(job_id, live)
        else:
            later = self._later or asyncio.get_running_loop().call_later
            self._held[job_id] = (later(wait, lambda: self._flush(job_id)), live)

    def health(self, report: object) -> None:
        """Tell that the verdict of the checks changed."""
        self._keep("health", "", msgspec.json.encode(report))

    def subscribe(self, last_id: str | None = None) -> Reader:
        """Begin to listen; with the id of the last event read, what came after it is given first."""
        after = self._place(last_id)
        hello = msgspec.json.encode(Hello(resumed=after is not None))
        missed = [Event(self._seq if after is None else after, "hello", "", hello)]
        if after is not None:
            known = [*self._kept, *(event for _, event in self._last_progress.values())]
            missed += [event for event in known if event.seq > after]
        elif last_id:
            missed.append(Event(self._seq, "resync", "", msgspec.json.encode(Resync())))
        reader = Reader(missed)
        self._readers.add(reader)
        return reader

    def leave(self, reader: Reader) -> None:
        """Stop listening."""
        self._readers.discard(reader)

    @property
    def readers(self) -> int:
        """How many listen."""
        return len(self._readers)

    def close(self) -> None:
        """End every stream, so that the service can stop."""
        for handle, _ in self._held.values():
            handle.cancel()
        self._held.clear()
        for reader in self._readers:
            reader.close()

    def name(self, event: Event) -> str:
        """Give the id under which a reader can resume after an event."""
        return f"{self.era}-{event.seq}"

    async def stream(self, last_id: str | None, pause: float) -> AsyncGenerator[bytes, None]:
        """Give the stream's bytes as server-sent events, with a comment after each silent `pause`."""
        reader = self.subscribe(last_id)
        try:
            # A reader that was cut off tries again soon, not in the browser's own three seconds.
            yield b"retry: 1000\n\n"
            while not reader.closed:
                events = await reader.take(pause)
                piece = b"" if events else b": still here\n\n"
                for event in events:
                    # Data is JSON of one line, so that no line break can end the field early.
                    head = f"id: {self.name(event)}\nevent: {event.kind}\ndata: "
                    piece += b"%b%b\n\n" % (head.encode(), event.data)
                    if len(piece) > WRITE:
                        yield piece
                        piece = b""
                if piece:
                    yield piece
        finally:
            self.leave(reader)

    def _place(self, last_id: str | None) -> int | None:
        """Say after which event a returning reader goes on, or None when something would be missed."""
        era, _, seq = (last_id or "").partition("-")
        if era != self.era or not seq.isascii() or not seq.isdecimal():
            return None
        return int(seq) if self._forgotten <= int(seq) <= self._seq else None

    def _flush(self, job_id: str) -> None:
        handle, live = self._held.pop(job_id)
        handle.cancel()
        self._tell(job_id, live)

    def _tell(self, job_id: str, live: Live) -> None:
        data = msgspec.json.encode(ProgressView(job_id, live))
        self._last_progress[job_id] = (self._clock(), self._send("progress", job_id, data))

    def _keep(self, kind: Kind, subject: str, data: bytes) -> None:
        self._kept.append(self._send(kind, subject, data))
        self._bytes += len(data)
        most, most_bytes = self._room
        while len(self._kept) > most or self._bytes > most_bytes:
            gone = self._kept.popleft()
            self._forgotten = gone.seq
            self._bytes -= len(gone.data)

    def _send(self, kind: Kind, subject: str, data: bytes) -> Event:
        self._seq += 1
        event = Event(self._seq, kind, subject, data)
        for reader in self._readers:
            reader.put(event)
        return event
