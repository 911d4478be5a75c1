"""The description of the API as an OpenAPI 3.1 document, made from the endpoints and the structs that they use."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

import msgspec

from .. import __version__
from .endpoint import Endpoint, JobId, addresses, hints_of
from .guard import COOKIE, OPEN
from .problems import Problem

PROBLEM = "application/problem+json"
REFS = "#/components/schemas/{name}"
# What the places in an address may hold; all others are plain names.
PLACES: Mapping[str, Any] = {"id": JobId}
# What any address may answer: not who may ask, not able now, and a fault of ours.
ANYWHERE = (403, 500, 503)
# Where a token is needed: none or a wrong one, and too many wrong ones.
WITH_TOKEN = (401, 429)
ABOUT = (
    "Every error is a problem document (RFC 9457) with `key` for programs, `detail` and `next_step`"
    " for people. HEAD is answered wherever GET is."
)

Document = dict[str, Any]


def document(endpoints: Iterable[Endpoint], *, token: bool) -> Document:
    """Describe a service's API; `token` says whether one is needed to use it."""
    found = list(endpoints)
    schemas = _Schemas(found)
    return {
        "openapi": "3.1.0",
        "info": {"title": "zoetrope", "version": __version__, "description": ABOUT},
        "paths": {
            path: {
                each.method.lower(): _operation(each, schemas, token=token and path not in OPEN)
                for each in those
            }
            for path, those in addresses(found)
        },
        "components": {
            "schemas": schemas.components,
            "responses": _problems(found, schemas),
            **({"securitySchemes": _schemes()} if token else {}),
        },
        **({"security": [{name: []} for name in _schemes()]} if token else {}),
    }


class _Schemas:
    """The JSON schemas of every type that endpoints name; structs are told once, for all."""

    def __init__(self, endpoints: list[Endpoint]) -> None:
        self._types: list[Any] = [Problem, str, *PLACES.values()]
        for each in endpoints:
            self._types += [*each.gives.values(), *each.takes.values()]
            for kind in (each.query, each.headers):
                if kind is not None:
                    self._types += hints_of(kind).values()
        self._types = [kind for kind in self._types if kind is not bytes]
        self._found, self.components = msgspec.json.schema_components(
            self._types, ref_template=REFS
        )

    def content(self, kinds: Mapping[str, Any]) -> Document:
        """Describe a body in each of its media types; that it is bytes is said by saying nothing."""
        return {
            media: {} if kind is bytes else {"schema": self.of(kind)}
            for media, kind in kinds.items()
        }

    def of(self, kind: Any) -> dict[str, Any]:
        """Give the schema of a type."""
        # By identity: an Annotated type compares equal to another with the same marks.
        return dict(next(s for t, s in zip(self._types, self._found, strict=True) if t is kind))


def _operation(endpoint: Endpoint, schemas: _Schemas, *, token: bool) -> Document:
    words = " ".join((endpoint.handler.__doc__ or "").split())
    operation: Document = {
        "operationId": _name(endpoint),
        "summary": words.partition(";")[0].rstrip("."),
        "description": words,
        "parameters": [
            *_places(endpoint, schemas),
            *_named(endpoint.query, "query", schemas),
            *_named(endpoint.headers, "header", schemas),
        ],
        "responses": _responses(endpoint, schemas, token=token),
    }
    if endpoint.takes:
        operation["requestBody"] = {
            "required": endpoint.needs_body,
            "content": schemas.content(endpoint.takes),
        }
    if not token:
        operation["security"] = []
    return operation


def _responses(endpoint: Endpoint, schemas: _Schemas, *, token: bool) -> Document:
    content = schemas.content(endpoint.gives)
    responses: Document = {}
    for status in (endpoint.status, *endpoint.also):
        responses[str(status)] = {"description": HTTPStatus(status).phrase, "content": content}
    for status in sorted({*ANYWHERE, *endpoint.problems, *(WITH_TOKEN if token else ())}):
        if (own := responses.get(str(status))) is not None:
            own["content"] = {**content, PROBLEM: {"schema": schemas.of(Problem)}}
        else:
            responses[str(status)] = {"$ref": f"#/components/responses/problem-{status}"}
    return responses


def _problems(found: list[Endpoint], schemas: _Schemas) -> Document:
    """Describe each status with which a problem document can come, once for all operations."""
    statuses = {*ANYWHERE, *WITH_TOKEN, *(status for each in found for status in each.problems)}
    return {
        f"problem-{status}": {
            "description": HTTPStatus(status).phrase,
            "content": {PROBLEM: {"schema": schemas.of(Problem)}},
        }
        for status in sorted(statuses)
    }


def _places(endpoint: Endpoint, schemas: _Schemas) -> list[Document]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": schemas.of(PLACES.get(name, str)),
        }
        for name in re.findall(r"{(\w+)}", endpoint.path)
    ]


def _named(kind: type[msgspec.Struct] | None, place: str, schemas: _Schemas) -> list[Document]:
    if kind is None:
        return []
    hints = hints_of(kind)
    found = []
    for field in msgspec.structs.fields(kind):
        schema = schemas.of(hints[field.name])
        said = {"description": schema.pop("description", "")}
        if schema.get("type") == "array":
            said |= {"style": "form", "explode": False}
        found.append({"name": field.encode_name, "in": place, **said, "schema": schema})
    return found


def _name(endpoint: Endpoint) -> str:
    """Name an operation after its area and its handler."""
    owner = type(getattr(endpoint.handler, "__self__", None)).__name__
    return f"{owner.removesuffix('Api').lower()}.{getattr(endpoint.handler, '__name__', 'answer')}"


def _schemes() -> Document:
    return {
        "token": {"type": "http", "scheme": "bearer"},
        "cookie": {"type": "apiKey", "in": "cookie", "name": COOKIE},
    }
