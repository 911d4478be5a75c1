"""The page's files, read once; everything a browser gets comes from here."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

from aiohttp import web

HERE = Path(__file__).parent
TYPES = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
}


@functools.cache
def _read(name: str) -> bytes:
    return (HERE / name).read_bytes()


@functools.cache
def _tag(name: str) -> str:
    return f'"{hashlib.sha256(_read(name)).hexdigest()[:16]}"'


def file(name: str, status: int = 200) -> web.Response:
    """Answer with one of the page's files."""
    return web.Response(
        body=_read(name),
        status=status,
        content_type=TYPES[Path(name).suffix],
        charset="utf-8",
        headers={"Cache-Control": "no-cache", "ETag": _tag(name)},
    )


def refusal(why: str, status: int) -> web.Response:
    """Answer with the login page, and show the sentence in it that says why."""
    response = file("login.html", status=status)
    hidden = f'id="{why}" class="why" role="alert" hidden'.encode()
    response.body = _read("login.html").replace(hidden, hidden.removesuffix(b" hidden"))
    del response.headers["ETag"]
    return response


def routes() -> list[web.RouteDef]:
    """Give the page's routes, one for each file, so that no path from outside reaches the disk."""

    def serve(name: str) -> web.RouteDef:
        async def handler(request: web.Request) -> web.Response:
            # A browser keeps the files and asks each time whether they are still the same.
            known = {tag.strip() for tag in request.headers.get("If-None-Match", "").split(",")}
            if _tag(name) in known:
                return web.Response(status=304, headers={"ETag": _tag(name)})
            return file(name)

        return web.get("/" if name == "index.html" else f"/page/{name}", handler)

    names = ["index.html", *(p.name for p in sorted(HERE.iterdir()) if p.suffix in TYPES)]
    return [serve(name) for name in dict.fromkeys(names) if name != "login.html"]
