"""One address of the API: what it takes, what it gives, who answers; routes and their description come from it."""

from __future__ import annotations

import functools
import typing
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler

from ..mistakes import describe, mistakes, nearest
from ..structs import UNREADABLE, primed
from .problems import BadRequest, WrongType

Kind = TypeVar("Kind", bound=msgspec.Struct)

JSON = "application/json"

JobId = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[0-9A-Fa-f]{1,32}$(?!\n)", description="A job's id, or the beginning of it."
    ),
]


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """One method of one address; its handler's own words describe it."""

    method: Literal["GET", "POST"]
    path: str
    handler: Handler
    gives: Mapping[str, Any]  # media type -> the struct, where it is JSON
    status: int = 200
    also: tuple[int, ...] = ()  # further statuses with the same body
    takes: Mapping[str, Any] = {}  # the same of the body
    needs_body: bool = False
    query: type[msgspec.Struct] | None = None
    headers: type[msgspec.Struct] | None = None
    problems: tuple[int, ...] = ()  # besides those that any address can have
    head: bool = True

    def route(self) -> web.RouteDef:
        """Give the route that leads to the handler."""
        if self.method == "GET":
            return web.get(self.path, self.handler, allow_head=self.head)
        return web.post(self.path, self.handler)


@functools.cache
def hints_of(kind: type[msgspec.Struct]) -> Mapping[str, Any]:
    """Give the types of a struct's fields; to work them out takes longer than to read a query with them."""
    return typing.get_type_hints(kind, include_extras=True)


def read_query(request: web.Request, kind: type[Kind]) -> Kind:
    """Read a request's query; what is wrong with it is told with what is allowed."""
    hints = hints_of(kind)
    values: dict[str, Any] = {}
    for name, text in request.query.items():
        if name not in hints:
            raise BadRequest(
                f"The query's key {name[:40]!r} is unknown; {nearest(name, hints)}", key="query"
            )
        if name in values:
            raise BadRequest(f"The query says {name} twice.", "Say it once.", key=name)
        values[name] = _value(name, text, hints[name])
    return msgspec.convert(values, primed(kind))


def read_headers(request: web.Request, kind: type[Kind]) -> Kind:
    """Read the headers that mean something to an address."""
    values = {}
    for field in msgspec.structs.fields(kind):
        if (text := request.headers.get(field.encode_name)) is not None:
            values[field.encode_name] = text
    try:
        return msgspec.convert(values, primed(kind))
    except msgspec.ValidationError as error:
        raise BadRequest(f"A header cannot be used: {error}.", key="header") from error


async def read_body(request: web.Request, kind: type[Kind], *, how: str) -> Kind:
    """Read a JSON body; a request without one says nothing, which may be enough."""
    raw = await read_json(request, how=how)
    check(raw, kind, how=how)
    return msgspec.convert(raw, primed(kind))


async def read_json(request: web.Request, *, how: str) -> dict[str, Any]:
    """Read a body that is a JSON object; without a body it is an empty one."""
    try:
        body = await request.read()
    except RuntimeError as error:
        # What aiohttp says of a connection that was closed in the middle.
        raise BadRequest("The body ends too early.", how) from error
    if not body:
        return {}
    if request.content_type != JSON:
        # A page elsewhere could send any other type without being asked first.
        raise WrongType(f"The body is {request.content_type[:100]}, not {JSON}.", how)
    return decode(body, how=how)


def decode(body: bytes, *, how: str, key: str = "bad-request") -> dict[str, Any]:
    """Turn a JSON object's bytes into a table."""
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except UNREADABLE as error:
        raise BadRequest(f"The JSON cannot be read: {error}.", how, key=key) from error


def check(raw: Mapping[str, Any], kind: type[msgspec.Struct], *, how: str) -> None:
    """Tell every mistake of a body at once."""
    if found := list(mistakes(raw, kind, "")):
        raise BadRequest(f"The body cannot be used: {'; '.join(found[:5])}.", how)


def reply(value: object, status: int = 200) -> web.Response:
    """Answer with a struct as JSON."""
    return raw_json(msgspec.json.encode(value), status)


def raw_json(body: bytes, status: int = 200) -> web.Response:
    """Answer with JSON that is written already."""
    return web.Response(body=body, status=status, content_type=JSON)


def _value(name: str, text: str, hint: Any) -> Any:
    """Read one value of a query in the type that its struct says; lists are joined by commas."""
    bare = typing.get_args(hint)[0] if typing.get_origin(hint) is Annotated else hint
    if typing.get_origin(bare) is tuple:
        element = typing.get_args(bare)[0]
        return tuple(_value(name, part, element) for part in text.split(",") if part)
    try:
        # Not strict: everything in a query is text, and 7 is meant by "7".
        return msgspec.convert(text, primed(hint), strict=False)
    except msgspec.ValidationError as error:
        shown = text[:40]
        if isinstance(bare, type) and issubclass(bare, StrEnum):
            sentence = f"There is no {name} {shown!r}; {nearest(text[:80], list(bare))}"
        else:
            sentence = f"The query's {name} is {shown!r}; allowed is {describe(hint)}."
        raise BadRequest(sentence, key=name) from error


def addresses(endpoints: list[Endpoint]) -> Iterator[tuple[str, list[Endpoint]]]:
    """Group the endpoints by their address, in the order in which they are given."""
    for path in dict.fromkeys(endpoint.path for endpoint in endpoints):
        yield path, [endpoint for endpoint in endpoints if endpoint.path == path]
