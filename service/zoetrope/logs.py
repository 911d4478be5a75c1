"""Log lines as key=value pairs: for people in the journal, and for programs that read it."""

from __future__ import annotations

import logging
import sys
from typing import TextIO

# What callers may add with `extra=`; the order is the order in the line.
FIELDS = ("job", "action", "engine", "kind", "card", "to", "outcome", "by")


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


def set_up(stream: TextIO | None = None, *, journal: bool = False, debug: bool = False) -> None:
    """Send all logs to one stream; the journal has its own clock and wants the priority in front."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_Journal() if journal else _Terminal())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
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
