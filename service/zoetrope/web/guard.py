"""Who may ask: the Host that is named, the page that sent the request, and the token."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import ipaddress
import logging
import math
import secrets
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from ..address import is_loopback
from ..durable import put
from ..errors import SettingsError
from ..settings import WebSettings
from . import headers, peer
from .connections import let_through
from .guesses import Guesses
from .problems import Forbidden, TooManyGuesses, Unauthorized

LOG = logging.getLogger(__name__)

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
# Answered without the token.
OPEN = frozenset({"/healthz", "/login", "/page/page.css", "/page/icon.svg"})
COOKIE = "zoetrope"
SHORTEST_TOKEN = 16
KEY = 32  # bytes


class Access(msgspec.Struct, frozen=True):
    """Who may ask, decided once at the start; the token itself is not kept."""

    listen: str
    allowed: tuple[str, ...] = ()
    digest: bytes | None = None
    # What cookies are made with. It is random, so that a cookie cannot be worked out from a guess at the token,
    # and no guess at cookies has to be slowed.
    key: bytes = b""

    def opens(self, token: str) -> bool:
        """Return whether this is the token, in a time that does not depend on the guess."""
        return self.digest is not None and hmac.compare_digest(_digest(token), self.digest)

    @property
    def cookie(self) -> str:
        """The cookie's value: proves that the token was known, without being the token."""
        return hmac.new(self.key + (self.digest or b""), b"zoetrope cookie", "sha256").hexdigest()

    def opens_cookie(self, value: str) -> bool:
        """Return whether this is the cookie that the right token was exchanged for."""
        return self.digest is not None and hmac.compare_digest(_bytes(value), self.cookie.encode())


def access(settings: WebSettings, key_file: Path | None = None) -> Access:
    """Read the token and say who may ask; beyond loopback there is no starting without one.

    With a file for the cookies' key, browsers stay logged in over a restart.
    """
    token = None
    if settings.token_file is not None:
        token = read_token(settings.token_file)
    elif not settings.loopback:
        raise SettingsError(
            f"web.listen: {settings.listen} can be reached from other machines, so"
            " web.token_file is needed.",
            "Name a file with a token, or listen on 127.0.0.1.",
        )
    digest = None if token is None else _digest(token)
    allowed = tuple(host.lower() for host in settings.allowed_hosts)
    return Access(settings.host, allowed, digest, b"" if digest is None else _key(key_file))


def read_token(file: Path) -> str:
    """Read a token from its file."""
    try:
        token = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"web.token_file: {file} cannot be read ({error}).",
            "Make it readable for the service's user.",
        ) from error
    if len(token) < SHORTEST_TOKEN:
        raise SettingsError(
            f"web.token_file: {file} holds {len(token)} characters, which is too easy to guess.",
            f"Use at least {SHORTEST_TOKEN}: openssl rand -hex 32 > {file}",
        )
    return token


def host_allowed(host: str, access: Access) -> bool:
    """Return whether a Host header names us: a page elsewhere cannot make its own name point here."""
    named = host.lower()
    if named in access.allowed:
        return True
    try:
        name = urlsplit(f"//{named}").hostname
    except ValueError:
        return False
    if not name:
        return False
    if name in access.allowed or name == access.listen.lower() or is_loopback(name):
        return True
    # Listening everywhere, every own address is right; a foreign page needs a name to come by
    # (DNS rebinding), and a bare address is none.
    return _is_address(name) and _listens_everywhere(access.listen)


def origin_allowed(host: str, sent: Mapping[str, str]) -> bool:
    """Return whether a request that changes something comes from our own page, or from no page at all."""
    if sent.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
        return False
    origin = sent.get("Origin")
    if origin is None:
        return True
    try:
        # The scheme is left out of it: behind a proxy that speaks TLS, the page's is https and ours http.
        return urlsplit(origin.lower()).netloc == host.lower()
    except ValueError:
        return False


def opens(request: web.Request, token: str, access: Access, guesses: Guesses) -> bool:
    """Return whether a request has the right token; a source that was wrong too often has to wait."""
    source = peer.source(request.transport)
    if seconds := guesses.wait(source):
        raise TooManyGuesses(
            "Too many wrong tokens came from here.",
            f"Wait {math.ceil(seconds)} s, then send the token of the file web.token_file.",
            seconds=math.ceil(seconds),
        )
    if access.opens(token):
        guesses.right(source)
        return True
    guesses.wrong(source, _digest(token))
    return False


def guard(access: Access, guesses: Guesses) -> Middleware:
    """Make the middleware that turns foreign requests away."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        host = request.headers.get("Host", "")
        if not host_allowed(host, access):
            raise Forbidden(
                f"The name {host[:100]!r} is not one of this service's.",
                "Add it to web.allowed_hosts if it is meant to reach zoetrope.",
                key="host",
            )
        if request.method not in SAFE and not origin_allowed(host, request.headers):
            raise Forbidden(
                "The request comes from a page of another site.",
                "Use zoetrope's own page, the CLI, or a client that sends no Origin.",
                key="origin",
            )
        if access.digest is None or (request.path not in OPEN and _knows(request, access, guesses)):
            let_through(request)
        elif request.path not in OPEN:
            if request.path == "/" and request.method in SAFE:
                raise web.HTTPSeeOther("/login")
            raise Unauthorized(
                "The token is missing or wrong.",
                "Send it as `Authorization: Bearer TOKEN`; the CLI reads --token-file.",
            )
        return await handler(request)

    return check


async def add_headers(_: web.Request, response: web.StreamResponse) -> None:
    """Give every answer the headers that keep browsers on the safe side."""
    for name, value in headers.SAFE.items():
        response.headers[name] = value
    response.headers.setdefault(*headers.CACHE)
    response.headers.popall(headers.SOFTWARE, None)


def _knows(request: web.Request, access: Access, guesses: Guesses) -> bool:
    if access.opens_cookie(request.cookies.get(COOKIE, "")):
        return True
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    token = token.strip()
    return scheme.lower() == "bearer" and bool(token) and opens(request, token, access, guesses)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _listens_everywhere(listen: str) -> bool:
    return _is_address(listen) and ipaddress.ip_address(listen).is_unspecified


def _digest(token: str) -> bytes:
    return hashlib.sha256(_bytes(token)).digest()


def _bytes(text: str) -> bytes:
    # Bytes of a header that are not UTF-8 come as lone surrogates.
    return text.encode("utf-8", "backslashreplace")


def _key(file: Path | None) -> bytes:
    """Read the key of the cookies, or make it; where it cannot be kept, it lasts as long as the process."""
    made = secrets.token_bytes(KEY)
    if file is None:
        return made
    try:
        with contextlib.suppress(FileNotFoundError):
            if len(found := file.read_bytes()) == KEY:
                return found
        file.parent.mkdir(parents=True, exist_ok=True)
        put(file, made, mode=0o600)
    except OSError as error:
        LOG.warning("%s cannot be kept (%s): a restart ends every login", file, error.strerror)
    return made
