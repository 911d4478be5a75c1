"""An answer's text as a typed value: whatever cannot be read as one is a wrong answer, which is the engine's failure."""

from __future__ import annotations

import json
from typing import TypeGuard, TypeVar

import msgspec

from ...errors import WrongAnswer
from ...structs import primed

T = TypeVar("T")

# A history may hold printed tensors, a queue hundreds of graphs; ComfyUI's largest list of nodes has 6 MB.
MOST_BYTES = 32 << 20
# Letters of one sentence; texts of ComfyUI can have megabytes (printed tensors).
MOST_SHOWN = 400

# What Python's and msgspec's readers raise, all told; UnicodeEncodeError, for a lone surrogate, is a ValueError.
NO_ANSWER = (ValueError, OverflowError, RecursionError, MemoryError, msgspec.MsgspecError)


def parsed(data: bytes | str, kind: type[T], what: str) -> T:
    """Read an answer, or raise WrongAnswer; what it says besides is left to newer versions."""
    # Not msgspec's own reader: Python's, which ComfyUI writes with, has NaN, Infinity (a node's
    # IS_CHANGED, a range without end) and lone surrogates (a file's name that is no UTF-8).
    try:
        return msgspec.convert(json.loads(data), primed(kind))
    except NO_ANSWER as error:
        raise wrong(what, line(str(error), 120) or type(error).__name__) from error


def storable(value: T, what: str) -> T:
    """Give an answer with other letters in place of those that no file, store or page can hold."""
    try:
        text = json.dumps(value, ensure_ascii=False)
        cleaned: T = json.loads(text.encode("utf-8", "replace"))
    except NO_ANSWER as error:
        raise wrong(what, type(error).__name__) from error
    return cleaned


def wrong(what: str, why: str) -> WrongAnswer:
    """Say that an answer is of no use."""
    return WrongAnswer(
        f"The engine gave a wrong answer about {what} ({why}).",
        "Check that engines.url leads to ComfyUI and not to another program or a proxy's page, and"
        " see the engine's log; the service asks again.",
    )


def failing(status: int, what: str) -> WrongAnswer:
    """Say that a status has nothing to do with what was asked: a fault, a redirection, a proxy's own rules."""
    return WrongAnswer(
        f"The engine answered {status} to {what}.",
        "The engine, or a proxy before it, is up but failing: see its log, and restart it; the service asks again.",
        key="engine-error",
    )


def line(value: object, limit: int = MOST_SHOWN) -> str:
    """Give what an engine says as one short line that can be stored, logged and shown; "" for what is no text."""
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        return ""
    try:
        text = str(value)
    except ValueError:  # a number of too many digits
        return ""
    start = " ".join(text[: 4 * limit].split())
    shown = "".join(letter if letter.isprintable() else "\ufffd" for letter in start)
    return shown if len(shown) <= limit else f"{shown[: limit - 3]}..."


def count(value: object) -> int:
    """Give a number of bytes; 0 for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0
    # No host has more than an exabyte, and no store takes integers of more than 64 bits.
    return int(value) if 0 <= value < 1 << 60 else 0


def is_name(value: object) -> TypeGuard[str]:
    """Return whether a value can name a file, a folder or a node, and be asked for again."""
    if not isinstance(value, str) or len(value) > 4096 or "\0" in value:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
