"""One file fetched from ComfyUI: whole, of a plausible size, and fast enough to come to an end."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import aiohttp
import msgspec

from ...address import Address
from ...domain.values import Artefact
from ...durable import flush
from ...errors import NotGiven, OutputVanished, Oversized
from ..protocol import Output
from .transport import CHUNK, TRANSFER, deadline

_ASK_AGAIN = "See the log and the disk of the engine, and what lies between; the service retries."


def promised(name: str, status: int, headers: Mapping[str, str], most: int) -> int | None:
    """Read what the engine answers to the request for a file: its size, as far as it says; or raise why there is none."""
    kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if status in (400, 403, 404) and kind != "text/html":
        raise OutputVanished(f"The engine reported {name} but does not deliver it ({status}).")
    if status != 200:
        raise NotGiven(
            f"The engine answers {status} for {name}, which it has generated.", _ASK_AGAIN
        )
    # ComfyUI names the type that a file's name stands for; a page is a proxy's, or a login's.
    if kind == "text/html":
        raise NotGiven(f"The engine answers with a page in place of {name}.", _ASK_AGAIN)
    if headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity"):
        raise NotGiven(f"The engine gives {name} in an encoding not asked for.", _ASK_AGAIN)
    said = headers.get("Content-Length", "")
    if not (said.isascii() and said.isdigit() and len(said) < 20):
        return None
    bounded(name, int(said), most)
    return int(said)


def bounded(name: str, size: int, most: int) -> None:
    """Refuse a file that is larger than anything that the plan can have made."""
    if size > most:
        raise Oversized(
            f"The engine's file {name} has more than {most >> 20} MB, which no video of the planned"
            " size and length has.",
            "See what the workflow saves there, and the log of the engine.",
        )


async def download(
    session: aiohttp.ClientSession, engine: Address, output: Output, to: Path, most: int
) -> Artefact:
    """Bring one output file here, whole and on disk, of at most so many bytes; ClientConnectorError if nothing listens there."""
    part = to.with_name(f".{to.name}.part")
    try:
        artefact = await _into(part, session, engine, output, most)
        part.replace(to)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientError, TimeoutError) as error:
        how = "is too slow" if type(error) is TimeoutError else "broke off"
        raise NotGiven(f"The transfer of {output.shown} {how}.", _ASK_AGAIN) from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink()
    return msgspec.structs.replace(artefact, file=to.name)


async def _into(
    part: Path, session: aiohttp.ClientSession, engine: Address, output: Output, most: int
) -> Artefact:
    name, size, digest = output.shown, 0, hashlib.sha256()
    query = {"filename": output.filename, "subfolder": output.subfolder, "type": output.type}
    where = engine.to("/view", **query)
    now = asyncio.get_running_loop().time
    begun = now()
    async with (
        asyncio.timeout(deadline(0)) as limit,
        session.get(where, timeout=TRANSFER, allow_redirects=False) as answer,
    ):
        expected = promised(name, answer.status, answer.headers, most)
        with part.open("wb") as target:
            async for chunk in answer.content.iter_chunked(CHUNK):
                size += len(chunk)
                bounded(name, size, most)
                # On a thread: a slow disk must hold up neither events nor the watchdog.
                await asyncio.to_thread(_put, target, digest, chunk)
                limit.reschedule(begun + deadline(size))
            limit.reschedule(None)
            await asyncio.to_thread(flush, target)
    if expected is not None and expected != size:
        raise NotGiven(f"Only {size} of {expected} bytes of {name} arrived.", _ASK_AGAIN)
    if not size:
        raise OutputVanished(f"{name} is empty.")
    return Artefact(file=part.name, size=size, sha256=digest.hexdigest())


def _put(target: BinaryIO, digest: hashlib._Hash, chunk: bytes) -> None:
    target.write(chunk)
    digest.update(chunk)
