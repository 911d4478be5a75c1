"""The login for browsers beyond loopback: the token once, a cookie from then on."""

from __future__ import annotations

from aiohttp import web

from .guard import COOKIE, Access
from .page import file, refusal

MONTH = 30 * 24 * 3600


def routes(access: Access) -> list[web.RouteDef]:
    """Give the login's routes."""

    async def ask(_: web.Request) -> web.Response:
        if access.digest is None:
            raise web.HTTPSeeOther("/")
        return file("login.html")

    async def login(request: web.Request) -> web.Response:
        fields = await request.post()
        token = fields.get("token", "")
        if not isinstance(token, str) or not access.opens(token.strip()):
            return refusal()
        found = web.Response(status=303, headers={"Location": "/"})
        found.set_cookie(
            COOKIE,
            access.cookie,
            max_age=MONTH,
            httponly=True,
            samesite="Strict",
            # Behind a proxy that speaks TLS the cookie must not travel without it.
            secure=request.headers.get("X-Forwarded-Proto", request.scheme) == "https",
        )
        return found

    return [web.get("/login", ask), web.post("/login", login)]
