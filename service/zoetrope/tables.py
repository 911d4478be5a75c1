"""Tables of values as TOML and JSON give them: what cannot be kept, sent on and shown again is found before it is used."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any

import msgspec
import tomli

from .mistakes import show

# Nothing that can be said in settings, tickets, recipes or graphs is nested deeper.
LEVELS = 64
SMALLEST, LARGEST = -(2**63), 2**64 - 1
_DIGITS = re.compile(r"[0-9_]{4300}")
_PLACE = 80  # letters of a place that are told


class Flaw(msgspec.Struct, frozen=True):
    """A value that cannot be kept: where it stands, what it is, and what is allowed there."""

    place: str
    found: str
    allowed: str

    def __str__(self) -> str:
        return f"{self.place}: found {self.found}, allowed is {self.allowed}"


class BrokenTable(ValueError):
    """A text is no TOML, or says what cannot be kept; the flaw is there if it is a single value's."""

    def __init__(self, why: str, flaw: Flaw | None = None) -> None:
        super().__init__(why)
        self.flaw = flaw


def read(text: str) -> dict[str, Any]:
    """Read TOML whose values can all be kept; Broken says what is wrong with it."""
    try:
        found = tomli.loads(text)
    except tomli.TOMLDecodeError as error:
        raise BrokenTable(f"not valid TOML: {error}") from error
    except RecursionError as error:
        deep = f"nested deeper than the {LEVELS} levels that are allowed"
        raise BrokenTable(f"{_where(text, _is_deep())}{deep}") from error
    except ValueError as error:
        # Python reads no whole number of more than some thousand digits.
        where = _where(text, lambda line: _DIGITS.search(line) is not None)
        raise BrokenTable(f"{where}a number has too many digits; allowed is {_whole()}") from error
    if (flaw := find(found)) is not None:
        raise BrokenTable(str(flaw), flaw)
    return found


def find(values: Mapping[str, Any]) -> Flaw | None:
    """Find a value that cannot be kept: no finite number, too large a one, or nested too deep."""
    waiting: list[tuple[str, Any, int]] = [("", values, 0)]
    while waiting:
        place, value, level = waiting.pop()
        if isinstance(value, dict | list | tuple):
            if level > LEVELS:
                what = f"values nested deeper than {LEVELS} levels"
                return Flaw(_cut(place), what, f"at most {LEVELS} levels")
            waiting += [(_below(place, key), inner, level + 1) for key, inner in _items(value)]
        elif isinstance(value, float) and not isfinite(value):
            return Flaw(_cut(place), str(value), "a finite number")
        elif isinstance(value, int) and not SMALLEST <= value <= LARGEST:
            return Flaw(_cut(place), show(value), _whole())
    return None


def _where(text: str, is_it: Callable[[str], bool]) -> str:
    """Name the line that is meant; the parser gives up without saying which it was."""
    for number, line in enumerate(text.split("\n"), start=1):
        if is_it(line):
            return f"line {number}: "
    return ""


def _is_deep() -> Callable[[str], bool]:
    """Count brackets from line to line, and a key's parts; brackets in texts count, too, which does no harm."""
    level = 0

    def is_it(line: str) -> bool:
        nonlocal level
        for letter in line:
            level += (letter in "[{") - (letter in "]}")
            if level > LEVELS:
                return True
        return line.count(".") > LEVELS

    return is_it


def _items(value: Mapping[str, Any] | list[Any] | tuple[Any, ...]) -> list[tuple[str, Any]]:
    if isinstance(value, Mapping):
        return [(str(key), inner) for key, inner in value.items()]
    return [(f"[{number}]", inner) for number, inner in enumerate(value)]


def _below(place: str, key: str) -> str:
    # Of a place too long to be told, the beginning is enough.
    if len(place) > _PLACE:
        return place
    return f"{place}{key}" if key.startswith("[") or not place else f"{place}.{key}"


def _cut(place: str) -> str:
    return place if len(place) <= _PLACE else f"{place[:_PLACE]}..."


def _whole() -> str:
    return "a whole number from -2^63 to 2^64-1"
