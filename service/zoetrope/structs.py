"""Types of structs, made ready for threads: msgspec works one out at its first use, and only one thread may be there.

While it does, other threads that use the type find it half made, and the process ends with SIGSEGV.
"""

from __future__ import annotations

import threading
from typing import Any, TypeVar, overload

import msgspec

T = TypeVar("T")

#: What reading bytes as JSON raises when they are none, whoever wrote them.
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_LOCK = threading.Lock()
_PRIMED: set[Any] = set()


@overload
def primed(kind: type[T]) -> type[T]: ...
@overload
def primed(kind: Any) -> Any: ...
def primed(kind: Any) -> Any:
    """Give a type back once msgspec knows all of it; every `type=` of a conversion goes through here."""
    if kind not in _PRIMED:
        with _LOCK:
            if kind not in _PRIMED:
                # What it works out is kept on the structs themselves, for every format.
                msgspec.json.Decoder(kind)
                _PRIMED.add(kind)
    return kind
