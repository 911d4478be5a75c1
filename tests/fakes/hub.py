"""A model hub that breaks off, lies and changes its mind, as real ones do."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from aiohttp import web

from zoetrope.models.manifest import Model


@dataclass
class Hub:
    """What it serves, and what goes wrong with the next answers, in order."""

    content: bytes
    tag: str = '"one"'
    ranges: bool = True
    troubles: list[object] = field(default_factory=list)
    asked: list[dict[str, str]] = field(default_factory=list)
    url: str = ""

    def model(self, **changes: object) -> Model:
        """Describe what it serves as the catalogue does."""
        given = {
            "file": "m.safetensors",
            "folder": "vae",
            "bytes": len(self.content),
            "sha256": hashlib.sha256(self.content).hexdigest(),
            "url": f"{self.url}/m.safetensors",
        }
        return Model(**{**given, **changes})  # type: ignore[arg-type]

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Serve the file; a number among the troubles is how many bytes come before it breaks off."""
        self.asked.append(dict(request.headers))
        trouble = self.troubles.pop(0) if self.troubles else None
        if isinstance(trouble, web.Response):
            return trouble
        if trouble == "moved":
            raise web.HTTPFound("/elsewhere/m.safetensors")
        start, status = 0, 200
        wanted = request.headers.get("Range", "")
        same = request.headers.get("If-Range", self.tag) == self.tag
        if wanted and self.ranges and same:
            start, status = int(wanted.removeprefix("bytes=").rstrip("-")), 206
            if start >= len(self.content):
                return web.Response(status=416)
        body = self.content[start:]
        if trouble == "other":
            body = bytes(len(body))
        headers = {"ETag": self.tag} if self.tag else {}
        if status == 206:
            headers["Content-Range"] = f"bytes {start}-{len(self.content) - 1}/{len(self.content)}"
        length = len(body) + 7 if trouble == "lie" else len(body)
        response = web.StreamResponse(status=status, headers=headers)
        response.content_length = length
        await response.prepare(request)
        if isinstance(trouble, int):
            await response.write(body[:trouble])
            assert request.transport is not None
            request.transport.close()
            return response
        await response.write(body)
        return response
