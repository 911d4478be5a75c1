"""The options that every command takes, before or after its name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from ..client import Client

DEFAULT_URL = "http://127.0.0.1:8190"

F = TypeVar("F", bound=Callable[..., Any])


class Options:
    """What the common options say."""

    def __init__(self) -> None:
        self.url = DEFAULT_URL
        self.token_file: str | None = None
        self.json = False
        self.debug = False

    def client(self) -> Client:
        """Make the client for the service that is meant."""
        from ..client import Client

        return Client(self.url, self.token_file)


def _keep(ctx: click.Context, param: click.Parameter, value: object) -> None:
    # What is given after the command's name is read later, and so wins over what stands before it.
    if value not in (None, False) and param.name:
        setattr(ctx.ensure_object(Options), param.name, value)


def _options(*, top: bool) -> list[Callable[[F], F]]:
    keep: dict[str, Any] = {"expose_value": False, "callback": _keep}
    # Only the top reads the environment, so that a flag at either place wins over it.
    url_env, token_env = ("ZOETROPE_URL", "ZOETROPE_TOKEN_FILE") if top else (None, None)
    return [
        click.option(
            "--url", metavar="URL", envvar=url_env, help=f"The service, by default {DEFAULT_URL}; or ZOETROPE_URL.", **keep
        ),
        click.option(
            "--token-file", metavar="FILE", envvar=token_env, help="A file with the token, for other hosts; or ZOETROPE_TOKEN_FILE.", **keep
        ),
        click.option("--json", is_flag=True, help="Print JSON.", **keep),
        click.option("--debug", is_flag=True, help="Show the traceback of an error.", **keep),
    ]  # fmt: skip


def common(command: F) -> F:
    """Give a command the common options."""
    for option in reversed(_options(top=False)):
        command = option(command)
    return command


def common_at_top(command: F) -> F:
    """Give the group the common options, which the environment can set here."""
    for option in reversed(_options(top=True)):
        command = option(command)
    return command


pass_options = click.make_pass_decorator(Options, ensure=True)
