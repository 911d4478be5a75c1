"""The checks before every request: foreign pages are turned away."""

import asyncio
import socket
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler

from ...address import is_loopback


def is_foreign(
    host: str | None, origin: str | None, fetch_site: str | None, *, loopback: bool | None = None
) -> bool:
    """Say whether a request comes from a page of another site than this loopback server.

    `loopback` is whether the host's name means this machine; without it, the name itself decides. A port that is no
    number is a ValueError.
    """
    if fetch_site == "cross-site":
        return True
    if host is None or origin is None:
        return False
    here, there = urlsplit(f"//{host.lower()}"), urlsplit(origin.lower())
    # A port that only one side names is left out of the comparison.
    mine = here.hostname if there.port is None else host.lower()
    theirs = there.hostname if here.port is None else there.netloc
    if not (is_loopback(here.hostname or "") if loopback is None else loopback):
        return False
    return bool(mine) and bool(theirs) and mine != theirs


async def resolves_here(host: str) -> bool:
    """Say whether all addresses of a host's name are of this machine alone, as ComfyUI asks."""
    name = urlsplit(f"//{host.lower()}").hostname
    if name is None or is_loopback(name):
        return name is not None
    try:
        found = await asyncio.get_running_loop().getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return False
    return bool(found) and all(is_loopback(str(address[0])) for *_, address in found)


@web.middleware
async def only_own_pages(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer 403 to what a foreign page sends."""
    host, origin = (request.headers.get(name) for name in ("Host", "Origin"))
    try:
        loopback = await resolves_here(host) if host and origin else False
        foreign = is_foreign(host, origin, request.headers.get("Sec-Fetch-Site"), loopback=loopback)
    except ValueError:
        return web.Response(
            status=500, text="500 Internal Server Error\n\nServer got itself in trouble"
        )
    if foreign:
        return web.Response(status=403)
    if request.method == "OPTIONS":
        return web.Response()
    return await handler(request)
