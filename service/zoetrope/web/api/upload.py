"""An upload: a multipart body written to disk piece by piece, and gone again when it was not taken."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path, PurePosixPath
from typing import NoReturn

import msgspec
from aiohttp import BodyPartReader, web
from aiohttp.http_exceptions import HttpProcessingError

from ...mistakes import nearest
from ..endpoint import decode
from ..forms import UploadForm, values
from ..problems import BadRequest, TooLarge, WrongType

PIECE = 1024 * 1024
TICKET_BYTES = 64 * 1024
RECIPE_BYTES = 1024 * 1024
NAME_LETTERS = 200
PARTS = UploadForm.__struct_fields__

FORM = "multipart/form-data"
HOW = "Send multipart/form-data with the file `image`, and if needed `end` and `ticket` (JSON)."

HOW_RECIPE = "Send `recipe_files` of a receipt as it is: a JSON object of texts, by file name."
HOW_TICKET = 'Send a JSON object, such as {"prompt": "she turns"}.'


class Upload(msgspec.Struct):
    """What arrived: each file with the name the person gave it."""

    image: tuple[Path, str]
    ticket: dict[str, object]
    end: tuple[Path, str] | None = None
    recipe: dict[str, str] = {}


@contextlib.asynccontextmanager
async def receive(request: web.Request, folder: Path, *, limit: int) -> AsyncIterator[Upload]:
    """Write the parts of a request into a folder of their own; what is left there at the end is removed."""
    if request.content_type != FORM:
        raise WrongType(f"The body is {request.content_type[:100]}, not a form.", HOW)
    # The borders between parts need some room besides the files.
    if (request.content_length or 0) > limit + TICKET_BYTES + RECIPE_BYTES + 16 * 1024:
        _too_large(limit)
    async with room(folder) as own:
        yield await _read(request, own, limit)


@contextlib.asynccontextmanager
async def room(folder: Path) -> AsyncIterator[Path]:
    """Make a folder for one request's files, and remove it with what is left there at the end."""
    # Not on a thread: a request that is cancelled while it waits for one would leave the folder behind.
    own = _make(folder)
    try:
        yield own
    finally:
        await asyncio.to_thread(shutil.rmtree, own, True)


def clear(folder: Path) -> None:
    """Remove what a crash left of uploads."""
    shutil.rmtree(folder, ignore_errors=True)


async def _read(request: web.Request, own: Path, limit: int) -> Upload:
    files: dict[str, tuple[Path, str]] = {}
    ticket: dict[str, object] | None = None
    recipe: dict[str, str] | None = None
    left = limit
    try:
        async for part in await request.multipart():
            name = part.name if isinstance(part, BodyPartReader) else None
            if not isinstance(part, BodyPartReader) or name not in PARTS:
                hint = nearest(name, PARTS) if name else "it has no name."
                raise BadRequest(f"The part {name!r} is unknown; {hint}", HOW, key="part")
            repeated = {"ticket": ticket, "recipe": recipe}.get(name) is not None
            if name in files or repeated:
                raise BadRequest(f"The part {name!r} is there twice.", HOW, key="part")
            if name == "ticket":
                ticket = await _ticket(part)
            elif name == "recipe":
                recipe = await _recipe(part)
            else:
                path = own / name
                left -= await _write(part, path, left, limit)
                files[name] = (path, _file_name(part.filename, name))
    except (ValueError, AssertionError, EOFError, HttpProcessingError) as error:
        # What the multipart reader raises for a border that is missing or a header that is broken.
        raise BadRequest(f"The form cannot be read: {error}.", HOW, key="multipart") from error
    if "image" not in files:
        raise BadRequest("The form has no part `image`.", HOW, key="part")
    return Upload(
        image=files["image"], ticket=ticket or {}, end=files.get("end"), recipe=recipe or {}
    )


async def _write(part: BodyPartReader, path: Path, left: int, limit: int) -> int:
    size = 0
    with path.open("xb") as target:
        while piece := await _piece(part):
            size += len(piece)
            if size > left:
                _too_large(limit)
            await asyncio.to_thread(target.write, piece)
    return size


async def _piece(part: BodyPartReader) -> bytes:
    try:
        return await part.read_chunk(PIECE)
    except RuntimeError as error:
        # What aiohttp says of a connection that was closed in the middle.
        raise BadRequest("The form ends too early.", HOW, key="multipart") from error


async def _ticket(part: BodyPartReader) -> dict[str, object]:
    text = await _text(part, "ticket", TICKET_BYTES)
    return values(decode(text, how=HOW_TICKET, key="ticket"), how=HOW_TICKET)


async def _recipe(part: BodyPartReader) -> dict[str, str]:
    said = decode(await _text(part, "recipe", RECIPE_BYTES), how=HOW_RECIPE, key="recipe-files")
    files = {name: text for name, text in said.items() if isinstance(text, str)}
    if files != said:
        raise BadRequest("The recipe's files are not all texts.", HOW_RECIPE, key="recipe-files")
    return files


async def _text(part: BodyPartReader, name: str, most: int) -> bytes:
    text = bytearray()
    while piece := await _piece(part):
        text += piece
        if len(text) > most:
            enough = f"{most // 1024} KiB are enough for any."
            raise BadRequest(f"The {name} is too long.", enough, key=name)
    return bytes(text)


def _file_name(given: str | None, part: str) -> str:
    """Keep the last component of the name that the sender gave; paths are none of our business."""
    # Browsers write a quote as %22 and leave every other letter as it is.
    name = PurePosixPath((given or "").replace("%22", '"').replace("\\", "/")).name
    name = "".join(letter for letter in name if letter.isprintable())[-NAME_LETTERS:]
    return part if name in ("", "..") else name


def _make(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return Path(tempfile.mkdtemp(dir=folder))


def _too_large(limit: int) -> NoReturn:
    raise TooLarge(
        f"The upload is larger than {limit // 1024 // 1024} MiB.",
        "Send a smaller picture, or raise web.max_upload_megabytes.",
    )
