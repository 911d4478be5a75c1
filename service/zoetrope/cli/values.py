"""`KEY=VALUE` on the command line: parameters of a recipe, in the types that a ticket would hold."""

from __future__ import annotations

import json
from collections.abc import Container, Iterable

import click

Value = str | int | float | bool


def read(pairs: Iterable[str], taken: Container[str] = ()) -> dict[str, Value]:
    """Read the pairs of `--set`; `taken` are the keys that other flags have set."""
    ctx = click.get_current_context(silent=True)
    values: dict[str, Value] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not key or not equals:
            raise click.UsageError(f"--set {pair!r} is not KEY=VALUE.", ctx)
        if key in taken:
            raise click.UsageError(
                f"--set {key} sets what another flag or environment variable sets too; give one of them.",
                ctx,
            )
        values[key] = _scalar(text)
    return values


def _scalar(text: str) -> Value:
    """Read a value as a ticket would hold it: numbers and true/false as such, all else as text."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, str | int | float | bool) else text
