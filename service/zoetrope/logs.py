"""Log lines: a sentence for people, then key=value pairs for programs that read the journal."""

from __future__ import annotations

import contextlib
import copy
import logging
import re
import sys
import threading
import time
from collections.abc import Callable, Hashable, Mapping
from typing import Protocol, TextIO

import msgspec

from .errors import Reason
from .host import trouble

# What callers may add with `extra=`; the order is the order in the line.
FIELDS = ("job", "action", "engine", "kind", "card", "to", "outcome", "by")

# Of one kind of error, so many records are written in so many seconds; the others are counted.
MOST = 20
WINDOW = 60.0

# Messages that were formatted before they came here differ in these.
_NUMBERS = re.compile(r"0x[0-9a-f]+|[0-9]+")


class Lines(logging.Formatter):
    """One record, one line: the sentence first, then what it is about."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record as one line; a traceback follows it when there is one."""
        fields = [
            f"{name}={value}"
            for name in FIELDS
            if (value := getattr(record, name, None)) not in (None, "")
        ]
        sentence = " ".join(record.getMessage().split())
        line = " ".join([sentence, *fields])
        if record.exc_info:
            line = f"{line}\n{self.formatException(record.exc_info)}"
        return line


class TimerHandle(Protocol):
    """A call in the future."""

    def cancel(self) -> None:
        """Cancel the call."""


Later = Callable[[float, Callable[[], None]], TimerHandle]


class HeldBack(msgspec.Struct):
    """The records of one kind of error since the first."""

    began: float
    written: int = 0
    held: int = 0
    last: logging.LogRecord | None = None  # that was held back


class Repeats:
    """Decides which records of errors are written, and sums up the others; the caller has the clock."""

    def __init__(self, most: int = MOST, window: float = WINDOW) -> None:
        self._most = most
        self._window = window
        self._known: dict[Hashable, HeldBack] = {}
        self._ends = 0.0  # when the kinds whose time is over are looked for

    def __len__(self) -> int:
        """How many kinds of error are remembered."""
        return len(self._known)

    def admits(self, record: logging.LogRecord, now: float) -> bool:
        """Return whether a record is written; else it is counted. Write what is due first."""
        if record.levelno < logging.WARNING and not record.exc_info:
            return True
        kind = self._known.setdefault(kind_of(record), HeldBack(began=now))
        if kind.written < self._most:
            kind.written += 1
            return True
        kind.held += 1
        kind.last = _without_traceback(record)
        return False

    def due(self, now: float) -> list[logging.LogRecord]:
        """Give a record for each kind that was held back and whose time is over."""
        if now < self._ends:
            return []
        over = {key for key, kind in self._known.items() if now >= kind.began + self._window}
        records = [_summary(self._known.pop(key), now) for key in over]
        self._ends = min((kind.began for kind in self._known.values()), default=now) + self._window
        return [record for record in records if record is not None]

    def rest(self, now: float) -> list[logging.LogRecord]:
        """Give a record for everything that was held back, at the end."""
        records = [_summary(kind, now) for kind in self._known.values()]
        self._known.clear()
        return [record for record in records if record is not None]

    def wait(self, now: float) -> float | None:
        """Say in how many seconds something that was held back is due."""
        begins = [kind.began for kind in self._known.values() if kind.held]
        return max(0.0, min(begins) + self._window - now) if begins else None


def log_failure(
    logger: logging.Logger, error: Exception, words: str, extra: Mapping[str, object]
) -> Reason | None:
    """Log an error that was not expected: trouble of the host by its sentence, which is given, a mistake of ours with its traceback."""
    reason = trouble(error)
    said = words if reason is None else f"{words}: {reason}"
    logger.error("%s", said, exc_info=error if reason is None else None, extra=extra)
    return reason


def kind_of(record: logging.LogRecord) -> Hashable:
    """Give what makes two records the same kind: logger, level, template, error, and what they are about."""
    template = _NUMBERS.sub("0", str(record.msg).partition("\n")[0])
    error = record.exc_info[0] if record.exc_info else None
    about = (getattr(record, name, None) for name in ("action", "job", "engine", "card", "source"))
    return (record.name, record.levelno, template, error, *about)


def _without_traceback(record: logging.LogRecord) -> logging.LogRecord:
    """Copy a record that is kept: a traceback would keep everything that its frames hold, files included."""
    kept = copy.copy(record)
    error = record.exc_info[1] if record.exc_info else None
    kept.msg = f"{record.getMessage()}{f' ({type(error).__name__}: {error})' if error else ''}"
    kept.args = kept.exc_info = kept.exc_text = kept.stack_info = None
    return kept


def _summary(kind: HeldBack, now: float) -> logging.LogRecord | None:
    if kind.last is None:
        return None
    summary = copy.copy(kind.last)
    summary.args = (kind.held, now - kind.began, kind.last.msg)
    summary.msg = "%d more like this in %.0f s, the last one: %s"
    return summary


class Stream(logging.StreamHandler[TextIO]):
    """Writes to a stream; of errors that repeat it writes the first ones, and then how many there were."""

    def __init__(
        self,
        stream: TextIO,
        *,
        clock: Callable[[], float] = time.monotonic,
        later: Later | None = None,
    ) -> None:
        super().__init__(stream)
        self.repeats = Repeats()
        self._clock = clock
        self._later = later or _later
        self._due: TimerHandle | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, or hold it back; the caller has the handler's lock."""
        try:
            now = self._clock()
            self._write(self.repeats.due(now))
            if self.repeats.admits(record, now):
                super().emit(record)
            elif self._due is None:
                self._wait(now)
        except Exception:
            self.handleError(record)

    def close(self) -> None:
        """Write what was held back."""
        with self.lock or contextlib.nullcontext():
            if self._due is not None:
                self._due.cancel()
                self._due = None
            self._write(self.repeats.rest(self._clock()))
        super().close()

    def _write(self, records: list[logging.LogRecord]) -> None:
        for each in records:
            super().emit(each)

    def _wait(self, now: float) -> None:
        seconds = self.repeats.wait(now)
        # Where no thread can be started, the next record brings out what is due.
        with contextlib.suppress(RuntimeError):
            self._due = None if seconds is None else self._later(seconds, self._time_is_up)

    def _time_is_up(self) -> None:
        with self.lock or contextlib.nullcontext():
            now = self._clock()
            self._due = None
            self._write(self.repeats.due(now))
            self._wait(now)


def _later(seconds: float, call: Callable[[], None]) -> TimerHandle:
    """Call on a thread: there are logs before there is an event loop, and where there is none."""
    timer = threading.Timer(seconds, call)
    timer.daemon = True
    timer.start()
    return timer


def set_up(stream: TextIO | None = None, *, journal: bool = False, debug: bool = False) -> None:
    """Write all logs to one stream; the journal adds the time itself and reads the priority in front."""
    handler = Stream(stream or sys.stderr)
    handler.setFormatter(_Journal() if journal else _Terminal())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    # Libraries warn of what clients send; outside the log, those warnings would have no limit.
    logging.captureWarnings(capture=True)
    logging.getLogger("zoetrope").setLevel(logging.DEBUG if debug else logging.INFO)


class _Journal(Lines):
    def format(self, record: logging.LogRecord) -> str:
        level = record.levelno
        priority = 3 if level >= logging.ERROR else 4 if level >= logging.WARNING else 6
        return "\n".join(f"<{priority}>{line}" for line in super().format(record).splitlines())


class _Terminal(Lines):
    def format(self, record: logging.LogRecord) -> str:
        mark = {logging.WARNING: "! ", logging.ERROR: "!! "}.get(record.levelno, "")
        return f"{self.formatTime(record, '%H:%M:%S')} {mark}{super().format(record)}"
