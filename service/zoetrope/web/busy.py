"""What a connection is answered for which there is no room: a browser gets a page, a program a problem document.

Who asks whether the service is alive hears that it is: a monitor would restart it, and every job with it.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Literal

import msgspec

from .bare_answer import bare, of_problem
from .problems import BLANK, Problem

LONGEST = 4096  # bytes of a request that are looked at
SECONDS = 10  # after which it is worth trying again


class Alive(msgspec.Struct, frozen=True):
    """That the service answers at all."""

    status: Literal["alive"] = "alive"


PROBLEM = Problem(
    type=BLANK,
    title=HTTPStatus.SERVICE_UNAVAILABLE.phrase,
    status=HTTPStatus.SERVICE_UNAVAILABLE,
    detail="Too many connections are open, and each of them is in use.",
    key="connections",
    next_step="Close pages that are not needed, or try again later.",
)

# It has to do without the page's files, for which there is no connection either.
PAGE = f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="refresh" content="{SECONDS}">
<title>zoetrope is busy</title>
<h1>zoetrope is busy</h1>
<p>{PROBLEM.detail} {PROBLEM.next_step}</p>
<p>Jobs are not affected. This page tries again every {SECONDS} seconds.</p>
</html>
"""


def is_whole(asked: bytes | bytearray) -> bool:
    """Return whether enough of a request is there to see what it is for."""
    return b"\r\n\r\n" in asked or len(asked) > LONGEST


def answer(asked: bytes) -> bytes:
    """Give the whole answer to a request, of which a part may be missing."""
    if asks_whether_alive(asked):
        return bare(HTTPStatus.OK, msgspec.json.encode(Alive()), "application/json")
    again = f"Retry-After: {SECONDS}"
    if wants_page(asked):
        unavailable = HTTPStatus.SERVICE_UNAVAILABLE
        return bare(unavailable, PAGE.encode(), "text/html; charset=utf-8", again)
    return of_problem(PROBLEM, again)


def asks_whether_alive(asked: bytes) -> bool:
    """Return whether a monitor asks for nothing but a sign of life."""
    line = asked.partition(b"\r\n")[0].split(b" ")
    return line[:1] == [b"GET"] and len(line) == 3 and line[1].partition(b"?")[0] == b"/healthz"


def wants_page(asked: bytes) -> bool:
    """Return whether a browser asks for something that a person looks at."""
    first, *headers = asked.split(b"\r\n\r\n")[0].lower().split(b"\r\n")
    return first.startswith(b"get ") and any(
        header.startswith(b"accept:") and b"text/html" in header for header in headers
    )
