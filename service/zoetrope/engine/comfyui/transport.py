"""HTTP as it is spoken with an engine: one address, answers of bounded size, and never another place than asked."""

from __future__ import annotations

from types import SimpleNamespace

import aiohttp
import msgspec

from .answer import MOST_BYTES, wrong

CHUNK = 1 << 18
ANSWER = aiohttp.ClientTimeout(total=30, sock_connect=5)
# Of a file, of whatever size: one that brings no bytes ends; one that brings few is judged by their number.
TRANSFER = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=60)

# What a transfer may take before its pace counts, and the slowest pace: a byte now and then never ends.
GRACE_SECONDS = 60.0
LEAST_BYTES_PER_SECOND = 32 * 1024.0


class WholeAnswer(msgspec.Struct, frozen=True):
    """What came back: the status and the whole body."""

    status: int
    body: bytes


class Redirected(aiohttp.ClientError):
    """The engine sent the socket elsewhere."""


def session() -> aiohttp.ClientSession:
    """Open a session that does not decompress and follows no redirection."""
    # Every request says so itself; the handshake of a WebSocket has no such word.
    trace = aiohttp.TraceConfig()
    trace.on_request_redirect.append(_refuse)
    # Not compressed: the size of what comes is then known from the start, and is what it seems.
    return aiohttp.ClientSession(
        timeout=ANSWER,
        headers={"Accept-Encoding": "identity"},
        auto_decompress=False,
        trace_configs=[trace],
    )


def deadline(size: int) -> float:
    """Say within how many seconds from its start a transfer of so many bytes has to be over."""
    return GRACE_SECONDS + size / LEAST_BYTES_PER_SECOND


async def _refuse(
    _: aiohttp.ClientSession, __: SimpleNamespace, redirect: aiohttp.TraceRequestRedirectParams
) -> None:
    redirect.response.close()
    raise Redirected("it redirects elsewhere, which is not followed")


async def whole(answer: aiohttp.ClientResponse, what: str) -> WholeAnswer:
    """Read a body to its end, up to the size that any answer of ComfyUI's has."""
    body = bytearray()
    async for chunk in answer.content.iter_chunked(CHUNK):
        body += chunk
        if len(body) > MOST_BYTES:
            answer.close()
            raise wrong(what, f"more than {MOST_BYTES >> 20} MB")
    return WholeAnswer(answer.status, bytes(body))
