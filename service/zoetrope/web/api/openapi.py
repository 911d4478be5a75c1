"""The description of the API over HTTP."""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web

from ..endpoint import JSON, Endpoint
from ..openapi import document


class OpenApi:
    """The request for the description, which describes itself as well."""

    def __init__(self, endpoints: list[Endpoint], *, token: bool) -> None:
        self._endpoints = [*endpoints, *self.endpoints()]
        self._token = token
        self._body = b""

    def endpoints(self) -> list[Endpoint]:
        """Give the addresses of this area."""
        return [
            Endpoint(
                method="GET",
                path="/api/v1/openapi.json",
                handler=self.describe,
                gives={JSON: dict[str, Any]},
            )
        ]

    async def describe(self, _: web.Request) -> web.Response:
        """Describe the API as an OpenAPI 3.1 document."""
        if not self._body:
            # Few ever ask for it, and making it takes some 20 ms of a start.
            self._body = msgspec.json.encode(document(self._endpoints, token=self._token))
        return web.Response(body=self._body, content_type=JSON)
