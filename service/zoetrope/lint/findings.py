"""What a rule says: the rule itself, one place where it applies, and what would fix it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal

import msgspec

if TYPE_CHECKING:
    from .subject import Subject

Severity = Literal["error", "warn", "info", "hint"]

#: From what stops a job to what is a matter of taste.
SEVERITIES: tuple[Severity, ...] = ("error", "warn", "info", "hint")

_LONGEST_QUOTE = 80


class Put(msgspec.Struct, frozen=True, tag="put"):
    """Write a value into an input."""

    node: str
    input: str
    value: Any


class DropInput(msgspec.Struct, frozen=True, tag="drop"):
    """Take an input away."""

    node: str
    input: str


class SwapNode(msgspec.Struct, frozen=True, tag="swap"):
    """Let another class do a node's work, with exactly these inputs."""

    node: str
    class_type: str
    inputs: dict[str, Any]


Change = Put | DropInput | SwapNode


class Hit(msgspec.Struct, frozen=True, kw_only=True):
    """One place where a rule applies; empty texts and no severity mean those of the rule."""

    node: str = ""
    input: str = ""
    found: str
    why: str = ""
    fix: str = ""
    severity: Severity | None = None
    changes: tuple[Change, ...] = ()


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to know about a graph, complete in itself."""

    rule: str
    severity: Severity
    node: str = ""
    title: str = ""
    input: str = ""
    found: str
    why: str
    fix: str
    source: str
    changes: tuple[Change, ...] = ()


Check = Callable[["Subject"], Iterable[Hit]]


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One rule: its texts and the function that finds where it applies."""

    id: str
    severity: Severity
    title: str
    why: str
    fix: str
    source: str
    check: Check


def quote(value: object) -> str:
    """Show a value from a graph in a few characters, whatever it is."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "nothing"}[value]
    if isinstance(value, int):
        # Python rejects to write out integers of thousands of digits.
        return str(value) if abs(value) < 10**30 else f"a number of {value.bit_length()} bits"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, str):
        short = value if len(value) <= _LONGEST_QUOTE else f"{value[:_LONGEST_QUOTE]}…"
        return f"'{short}'"
    return "a list" if isinstance(value, list) else "an object"
