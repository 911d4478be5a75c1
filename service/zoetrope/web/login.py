"""The login for browsers beyond loopback: the token once, a cookie from then on."""

from __future__ import annotations

from urllib.parse import parse_qsl

from aiohttp import web

from .guard import COOKIE, Access, opens
from .guesses import Guesses
from .page import file, refusal
from .problems import BadRequest, TooManyGuesses, WrongType

MONTH = 30 * 24 * 3600
FORM = "application/x-www-form-urlencoded"
FIELDS = 8  # more than any login has
HOW = f"Send the field `token` as {FORM}."


def routes(access: Access, guesses: Guesses) -> list[web.RouteDef]:
    """Give the login's routes."""

    async def ask(_: web.Request) -> web.Response:
        if access.digest is None:
            raise web.HTTPSeeOther("/")
        return file("login.html")

    async def login(request: web.Request) -> web.Response:
        token = await _token(request)
        if access.digest is None:
            raise web.HTTPSeeOther("/")
        try:
            if not (token and opens(request, token, access, guesses)):
                return refusal("wrong", status=401)
        except TooManyGuesses as error:
            response = refusal("slow", status=429)
            response.headers["Retry-After"] = str(error.seconds)
            return response
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


async def _token(request: web.Request) -> str:
    """Read the form; browsers send no other kind, and none is read that could hold files."""
    if request.content_type != FORM:
        raise WrongType(f"The body is {request.content_type[:100]}, not a login.", HOW)
    try:
        text = (await request.read()).decode()
        fields = dict(parse_qsl(text, errors="strict", max_num_fields=FIELDS))
    except (ValueError, RuntimeError) as error:
        # No UTF-8, too many fields, or a connection that was closed in the middle.
        raise BadRequest("The login cannot be read.", HOW) from error
    return fields.get("token", "").strip()
