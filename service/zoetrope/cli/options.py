"""The options that every command takes, before or after its name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..address import is_local

if TYPE_CHECKING:
    from ..client import Client

DEFAULT_URL = "http://127.0.0.1:8190"

F = TypeVar("F", bound=Callable[..., Any])

NONE: frozenset[str] = frozenset()


class Options:
    """The values of the common options."""

    def __init__(self) -> None:
        self.url = DEFAULT_URL
        self.token_file: str | None = None
        self.json = False
        self.debug = False

    def client(self) -> Client:
        """Make a client of the service at --url."""
        from ..client import Client

        return Client(self.url, self.token_file)


def _keep(ctx: click.Context, param: click.Parameter, value: object) -> None:
    # What is given after the command's name is read later, and so wins over what stands before it.
    if value not in (None, False) and param.name:
        setattr(ctx.ensure_object(Options), param.name, value)


def _options(*, top: bool, hidden: frozenset[str] = NONE) -> list[Callable[[F], F]]:
    keep: dict[str, Any] = {"expose_value": False, "callback": _keep}
    service = {**keep, "hidden": "service" in hidden}
    json = {**keep, "hidden": "json" in hidden}
    # Only the top reads the environment, so that a flag at either place wins over it.
    url_env, token_env = ("ZOETROPE_URL", "ZOETROPE_TOKEN_FILE") if top else (None, None)
    return [
        click.option(
            "--url", metavar="URL", envvar=url_env, help=f"The service's address. [env: ZOETROPE_URL; default: {DEFAULT_URL}]", **service
        ),
        click.option(
            "--token-file", metavar="FILE", envvar=token_env, help="A file with the token of a service on another host. [env: ZOETROPE_TOKEN_FILE]", **service
        ),
        click.option("--json", is_flag=True, help="Print JSON.", **json),
        click.option("--debug", is_flag=True, help="Show the traceback of an error.", **keep),
    ]  # fmt: skip


def common(command: F) -> F:
    """Give a command the common options."""
    for option in reversed(_options(top=False)):
        command = option(command)
    return command


def local(command: F) -> F:
    """Give the common options to a command that asks no service; what says where one is stays out of its help."""
    for option in reversed(_options(top=False, hidden=frozenset({"service"}))):
        command = option(command)
    return command


def bare(command: F) -> F:
    """Give the common options to a command that asks no service and has nothing to print as JSON."""
    for option in reversed(_options(top=False, hidden=frozenset({"service", "json"}))):
        command = option(command)
    return command


class Renamed(click.Option):
    """An option that still goes by its earlier names, which no help lists."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Describe the option by its first name alone."""
        every = self.opts
        self.opts = every[:1]
        try:
            return super().get_help_record(ctx)
        finally:
            self.opts = every


def common_at_top(command: F) -> F:
    """Give the group the common options, which the environment can set here."""
    for option in reversed(_options(top=True)):
        command = option(command)
    return command


def meant_here(url: str) -> bool:
    """Return whether an address is one of this host."""
    return is_local(url if "://" in url else f"http://{url}")


pass_options = click.make_pass_decorator(Options, ensure=True)
