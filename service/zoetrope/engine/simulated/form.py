"""The form with which a picture is uploaded."""

from __future__ import annotations

from aiohttp import BodyPartReader, web


async def read_form(request: web.Request) -> tuple[dict[str, str], list[tuple[str, bytes]]]:
    """Read a form's fields, and the files of its field `image` with their names.

    aiohttp's own `post` leaves a temporary file open when the client is gone in the middle of it.
    """
    fields: dict[str, str] = {}
    images: list[tuple[str, bytes]] = []
    if not request.content_type.startswith("multipart/"):
        form = await request.post()
        return {key: str(value) for key, value in form.items()}, images
    size = 0
    async for part in await request.multipart():
        if not isinstance(part, BodyPartReader):
            continue
        data = bytearray()
        while chunk := await part.read_chunk():
            data += chunk
            size += len(chunk)
            if size > request.client_max_size:
                raise web.HTTPRequestEntityTooLarge(request.client_max_size, size)
        if part.name == "image" and part.filename is not None:
            images.append((part.filename, bytes(data)))
        elif part.name:
            fields.setdefault(part.name, data.decode(errors="replace"))
    return fields, images
