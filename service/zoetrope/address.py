"""Addresses of other programs, which may hold a password or a token: how they are asked, and what of them is shown."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

HIDDEN = "..."
# A shorter password is taken out of a text only where it stands in the address; as a word of its own it could be
# any word.
WORD = 4


class Address:
    """The address of an HTTP server; as a text it is what may be shown of it."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._parts = urlsplit(url)
        self._secrets = sorted(set(_secrets(url)), key=len, reverse=True)

    def __str__(self) -> str:
        return masked(self._url).rstrip("/")

    def __repr__(self) -> str:
        return f"Address({str(self)!r})"

    def to(self, path: str, **query: str) -> str:
        """Give the address of something there, with everything that opens it."""
        asked = "&".join(
            part for part in (self._parts.query, urlencode(query, quote_via=quote)) if part
        )
        there = f"{self._parts.path.rstrip('/')}{path}"
        return urlunsplit((self._parts.scheme, self._parts.netloc, there, asked, ""))

    def redacted(self, text: str) -> str:
        """Take what must not be shown out of a text, such as an error of an HTTP library."""
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return text


def is_http(url: str) -> bool:
    """Return whether it is the address of an HTTP server at all."""
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def is_loopback(host: str) -> bool:
    """Return whether an address or host name can only be reached from this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_local(url: str) -> bool:
    """Return whether the server at an address can only be reached from this machine."""
    return is_loopback(urlsplit(url).hostname or "")


def masked(url: str) -> str:
    """Show an address without the password or token that may be in it."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "?"
    host = parts.netloc.rpartition("@")[2]
    query = "&".join(_name(pair) for pair in parts.query.split("&") if pair)
    return urlunsplit((parts.scheme, host, parts.path, query, ""))


def _name(pair: str) -> str:
    name, sign, _ = pair.partition("=")
    # Without a sign it may be the token itself.
    return f"{name}={HIDDEN}" if sign else HIDDEN


def _secrets(url: str) -> Iterator[str]:
    """Name what must not be shown, as it is written and as libraries write it."""
    parts = urlsplit(url)
    user = parts.netloc.rpartition("@")[0]
    if user:
        yield f"{user}@"
    if parts.query:
        yield parts.query
    words = [user.partition(":")[2], *(value for _, value in parse_qsl(parts.query))]
    words += [pair for pair in parts.query.split("&") if "=" not in pair]
    for word in words:
        yield from (
            each for each in (word, unquote(word), quote(word, safe="")) if len(each) >= WORD
        )
