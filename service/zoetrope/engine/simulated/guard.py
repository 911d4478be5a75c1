"""The checks before every request: foreign pages are turned away."""

import ipaddress
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler


def is_foreign(host: str | None, origin: str | None, fetch_site: str | None) -> bool:
    """Say whether a request comes from a page of another site than this loopback server."""
    if fetch_site == "cross-site":
        return True
    if not host or not origin:
        return False
    here, there = urlsplit(f"//{host.lower()}"), urlsplit(origin.lower())
    if not _is_loopback(here.hostname):
        return False
    # A port that only one side names is left out of the comparison.
    ports = here.port is not None and there.port is not None
    mine = host.lower() if there.port is not None else here.hostname
    theirs = there.netloc if here.port is not None else there.hostname
    if ports:
        mine, theirs = host.lower(), there.netloc
    return bool(mine) and bool(theirs) and mine != theirs


def _is_loopback(name: str | None) -> bool:
    if name is None:
        return False
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


@web.middleware
async def only_own_pages(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer 403 to what a foreign page sends."""
    headers = request.headers
    if is_foreign(headers.get("Host"), headers.get("Origin"), headers.get("Sec-Fetch-Site")):
        return web.Response(status=403)
    if request.method == "OPTIONS":
        return web.Response()
    return await handler(request)
