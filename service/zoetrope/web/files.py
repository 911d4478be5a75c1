"""Files over HTTP: opened without following a link, sent piece by piece, from where the reader asks."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import re
import stat
from collections.abc import AsyncIterator
from pathlib import Path, PurePosixPath
from urllib.parse import quote

import msgspec
from aiohttp import web

from ..beneath import Beneath, Linked
from ..errors import NotFound
from .problems import BadRange

PIECE = 256 * 1024
# What is not here is sent as bytes to be saved: a browser must never run what somebody put on a share.
TYPES = {
    ".avi": "video/x-msvideo",
    ".avif": "image/avif",
    ".bmp": "image/bmp",
    ".gif": "image/gif",
    ".heic": "image/heic",
    ".jpg": "image/jpeg",
    ".json": "application/json",
    ".mkv": "video/x-matroska",
    ".mov": "video/quicktime",
    ".mp4": "video/mp4",
    ".png": "image/png",
    ".tif": "image/tiff",
    ".webm": "video/webm",
    ".webp": "image/webp",
}
UNKNOWN = "application/octet-stream"

# A link where none may be (ELOOP), and a socket (ENXIO), are no files either.
_NOT_THERE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.EACCES}

_RANGE = re.compile(r"bytes=([0-9]*)-([0-9]*)")
_BEYOND = 10**19  # more bytes than any file has
_RANGES = re.compile(r"bytes=[0-9 ,-]+")


class OpenFile(msgspec.Struct, frozen=True):
    """A file that is open; the tag is another one as soon as the file is."""

    handle: int
    size: int
    tag: str


class ByteRange(msgspec.Struct, frozen=True):
    """A part of a file, by its first byte and how many there are."""

    start: int
    length: int


def media_type(name: str) -> str:
    """Say what a file is, by its name's end alone."""
    return TYPES.get(PurePosixPath(name).suffix.lower(), UNKNOWN)


@contextlib.asynccontextmanager
async def opened(root: Path, relative: str) -> AsyncIterator[OpenFile]:
    """Open a file below a folder of ours; anybody may write on a share, so no link is followed there."""
    handle = await asyncio.to_thread(_open, root, relative)
    try:
        found = os.fstat(handle)
        tag = f'"{found.st_ino:x}-{found.st_size:x}-{found.st_mtime_ns:x}"'
        yield OpenFile(handle, found.st_size, tag)
    finally:
        os.close(handle)


def size_of(root: Path, relative: str) -> int | None:
    """Say how many bytes a file has that could be opened; None where there is none."""
    try:
        handle = _open(root, relative)
    except NotFound:
        return None
    try:
        return os.fstat(handle).st_size
    finally:
        os.close(handle)


def span(asked: str | None, size: int) -> ByteRange | None:
    """Read a Range header: a part, None for all of it, or BadRange when there is no such part."""
    if asked is None or not asked.startswith("bytes="):
        return None  # a unit that we do not know is to be ignored
    found = _RANGE.fullmatch(asked)
    if found is None:
        if "," in asked and _RANGES.fullmatch(asked):
            return None  # several parts at once: all of it is an answer, too
        raise BadRange(asked, size)
    first, last = found.groups()
    if first:
        start, end = _number(first), min(_number(last) if last else size, size - 1)
    else:
        start, end = max(0, size - _number(last or "0")), size - 1
    if start > end:
        raise BadRange(asked, size)
    return ByteRange(start, end - start + 1)


def _number(digits: str) -> int:
    """Read a number of any length: Python refuses to read one of thousands of digits."""
    plain = digits.lstrip("0")
    return int(plain or "0") if len(plain) <= 19 else _BEYOND


async def send(
    request: web.Request, file: OpenFile, *, kind: str, save_as: str = ""
) -> web.StreamResponse:
    """Answer with a file or the part of it that is asked for."""
    headers = {"ETag": file.tag, "Accept-Ranges": "bytes", "Cache-Control": "private, no-cache"}
    if (wanted := request.headers.get("If-Match")) is not None and not _tagged(wanted, file.tag):
        raise web.HTTPPreconditionFailed
    known = request.headers.get("If-None-Match")
    if known is not None and _tagged(known, file.tag):
        return web.Response(status=304, headers=headers)
    part = None
    # A part is only of use to a reader whose other parts are of the same file.
    if request.headers.get("If-Range", file.tag) == file.tag:
        part = span(request.headers.get("Range"), file.size)
    headers["Content-Type"] = kind
    if save_as or kind == UNKNOWN:
        name = quote(save_as or "file", safe="")
        headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{name}"
    if part is not None:
        last = part.start + part.length - 1
        headers["Content-Range"] = f"bytes {part.start}-{last}/{file.size}"
    response = web.StreamResponse(status=200 if part is None else 206, headers=headers)
    part = part or ByteRange(0, file.size)
    response.content_length = part.length
    await response.prepare(request)
    if request.method != "HEAD":
        await _write(request, response, file, part)
    return response


async def _write(
    request: web.Request, response: web.StreamResponse, file: OpenFile, part: ByteRange
) -> None:
    at, end = part.start, part.start + part.length
    while at < end:
        piece = await asyncio.to_thread(os.pread, file.handle, min(PIECE, end - at), at)
        if not piece:
            # Cut short meanwhile: a broken line tells the reader, a short answer would not.
            if request.transport is not None:
                request.transport.abort()
            return
        await response.write(piece)
        at += len(piece)


def _tagged(header: str, tag: str) -> bool:
    return header.strip() == "*" or tag in [
        each.strip().removeprefix("W/") for each in header.split(",")
    ]


def _open(root: Path, relative: str) -> int:
    """Open a file below a folder of ours; gives its handle."""
    try:
        with Beneath(root) as tree:
            handle = tree.open(relative)
    except Linked as error:
        raise _gone(relative) from error
    except OSError as error:
        if error.errno not in _NOT_THERE:
            raise
        raise _gone(relative) from error
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise _gone(relative)
    return handle


def _gone(relative: str) -> NotFound:
    return NotFound(
        f"The file {PurePosixPath(relative).name} is not there any more.",
        "It may have been moved or removed. `zoetrope again ID` makes a video again; a picture is dropped again.",
        key="file-gone",
    )
