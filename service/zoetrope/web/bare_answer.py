"""Answers that are written without aiohttp: to a connection for which there is no room, and to what is no HTTP."""

from __future__ import annotations

from http import HTTPStatus

import msgspec

from .headers import CACHE, SAFE
from .problems import BLANK, Problem

NO_HTTP = Problem(
    type=BLANK,
    title=HTTPStatus.BAD_REQUEST.phrase,
    status=HTTPStatus.BAD_REQUEST,
    detail="What came in is no HTTP request that this service can read.",
    key="no-http",
    next_step="Send HTTP/1.1 without TLS, with at most 8 KB in a line of the header.",
)


def of_problem(found: Problem, *more: str) -> bytes:
    """Give the whole answer that carries a problem document, with more lines in its header."""
    kind = "application/problem+json"
    return bare(HTTPStatus(found.status), msgspec.json.encode(found), kind, *more)


def bare(status: HTTPStatus, body: bytes, kind: str, *more: str) -> bytes:
    """Give a whole answer, after which the connection is closed."""
    head = (
        f"HTTP/1.1 {status} {status.phrase}",
        f"Content-Type: {kind}",
        f"Content-Length: {len(body)}",
        *(f"{name}: {value}" for name, value in (*SAFE.items(), CACHE)),
        *more,
        "Connection: close",
    )
    return "\r\n".join([*head, "", ""]).encode() + body
