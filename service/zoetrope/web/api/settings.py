"""The settings in force over HTTP, without what is secret in them."""

from __future__ import annotations

import functools
import operator
import types
import typing
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web

from ...address import masked
from ...runtime import Runtime
from ...settings import Section, Settings
from ..endpoint import JSON, Endpoint, reply

# Keys whose texts are addresses, which may hold a password or a token.
ADDRESSES = frozenset({"url"})


class SettingsApi:
    """The request about the settings."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def endpoints(self) -> list[Endpoint]:
        """Give the addresses of this area."""
        return [
            Endpoint(
                method="GET",
                path="/api/v1/settings",
                handler=self.show,
                gives={JSON: settings_shown()},
            )
        ]

    async def show(self, _: web.Request) -> web.Response:
        """Show every setting as it counts now; of secrets, only where their files are."""
        return reply(without_secrets(msgspec.to_builtins(self._runtime.settings, enc_hook=str)))


def without_secrets(shown: Any, key: str = "") -> Any:
    """Take passwords and tokens out of addresses, wherever they stand in the settings."""
    if isinstance(shown, dict):
        return {name: without_secrets(value, name) for name, value in shown.items()}
    if isinstance(shown, list | tuple):
        return [without_secrets(value, key) for value in shown]
    return masked(shown) if key in ADDRESSES and isinstance(shown, str) else shown


@functools.cache
def settings_shown() -> Any:
    """Give the type of all settings as JSON shows them."""
    return plain(Settings)


def plain(kind: Any) -> Any:
    """Give a type of the settings as JSON shows it: a path is a text there."""
    if kind is Path:
        return str
    if isinstance(kind, type) and issubclass(kind, Section):
        hints = typing.get_type_hints(kind, include_extras=True)
        fields = [(each.name, plain(hints[each.name])) for each in msgspec.structs.fields(kind)]
        made = msgspec.defstruct(kind.__name__, fields, frozen=True, kw_only=True)
        made.__doc__ = kind.__doc__
        return made
    origin, inner = typing.get_origin(kind), [plain(each) for each in typing.get_args(kind)]
    if origin in (tuple, dict):
        return origin[tuple(inner)]
    if origin in (types.UnionType, typing.Union):
        return functools.reduce(operator.or_, inner)
    return kind
