"""The page's files, read once; everything a browser gets comes from here."""

from __future__ import annotations

import functools
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


def file(name: str, status: int = 200) -> web.Response:
    """Answer with one of the page's files."""
    return web.Response(
        body=_read(name),
        status=status,
        content_type=TYPES[Path(name).suffix],
        charset="utf-8",
        headers={"Cache-Control": "no-cache"},
    )


def routes() -> list[web.RouteDef]:
    """Give the page's routes, one for each file, so that no path from outside reaches the disk."""

    def serve(name: str) -> web.RouteDef:
        async def handler(_: web.Request) -> web.Response:
            return file(name)

        return web.get("/" if name == "index.html" else f"/page/{name}", handler)

    names = ["index.html", *(p.name for p in sorted(HERE.iterdir()) if p.suffix in TYPES)]
    return [serve(name) for name in dict.fromkeys(names) if name != "login.html"]
