"""Mistakes in a settings file: the raw tables walked next to the structs, each mistake one line with its place."""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Iterable, Iterator
from math import log10
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from .structs import primed

# `Annotated[int, ...] | None` is the old form, `int | None` the new one.
_UNIONS = (types.UnionType, typing.Union)


def nearest(word: str, valid: Iterable[str]) -> str:
    """Offer the valid word that is closest to a mistyped one, or list them all when none is close."""
    choices = sorted(valid)
    close = difflib.get_close_matches(word, choices, n=1, cutoff=0.5)
    return f"did you mean `{close[0]}`?" if close else f"valid are: {', '.join(choices)}."


def decode(wanted: type, value: Any) -> Any:
    """Turn a text into the path that a struct wants."""
    if wanted is Path and isinstance(value, str):
        return Path(value)
    raise TypeError(f"cannot turn {type(value).__name__} into {wanted.__name__}")


def mistakes(raw: Any, wanted: Any, where: str) -> Iterator[str]:
    """Walk the raw tables next to the structs, so that all mistakes are told at once and with their place.

    A struct may say in `refused` why a key that people expect is not there.
    """
    if raw is None and types.NoneType in typing.get_args(wanted):
        return  # TOML cannot say it, JSON can
    wanted = _bare(wanted)
    if isinstance(wanted, type) and issubclass(wanted, msgspec.Struct):
        if not isinstance(raw, dict):
            yield f"{where}: found {show(raw)}, a table is allowed here"
            return
        hints = typing.get_type_hints(wanted, include_extras=True)
        for key, value in raw.items():
            path = f"{where}.{key}" if where else key
            if key not in hints:
                refused = getattr(wanted, "refused", {})
                yield f"{path}: {refused.get(key) or f'unknown key; {nearest(key, hints)}'}"
            else:
                yield from mistakes(value, hints[key], path)
        for field in msgspec.structs.fields(wanted):
            if field.required and field.name not in raw:
                yield f"{where}: the key `{field.name}` is missing"
        return
    if typing.get_origin(wanted) is dict and isinstance(raw, dict):
        named, inner = typing.get_args(wanted)
        for key, value in raw.items():
            path = f"{where}.{key}"
            try:
                msgspec.convert(key, primed(named))
            except msgspec.ValidationError:
                yield f"{path}: the name {show(key)} is not one; allowed is {describe(named)}"
            yield from mistakes(value, inner, path)
        return
    inner = _element(wanted)
    if inner is not None and isinstance(raw, list):
        for index, value in enumerate(raw):
            yield from mistakes(value, inner, f"{where}[{index}]")
        return
    try:
        msgspec.convert(raw, primed(wanted), dec_hook=decode)
    except msgspec.ValidationError:
        yield f"{where}: found {show(raw)}, allowed is {describe(wanted)}"


def _bare(wanted: Any) -> Any:
    """Drop `| None` where the rest is a table, so that its keys are checked one by one."""
    if typing.get_origin(wanted) in _UNIONS:
        rest = [part for part in typing.get_args(wanted) if part is not types.NoneType]
        if len(rest) == 1 and isinstance(rest[0], type) and issubclass(rest[0], msgspec.Struct):
            return rest[0]
    return wanted


def _element(wanted: Any) -> Any:
    """The element type of a list that the TOML may hold, if the wanted type is one."""
    parts = typing.get_args(wanted) if typing.get_origin(wanted) in _UNIONS else (wanted,)
    for part in parts:
        if typing.get_origin(part) is tuple:
            return typing.get_args(part)[0]
    return None


def describe(wanted: Any) -> str:
    """Say in words what a type allows."""
    origin = typing.get_origin(wanted)
    if origin in _UNIONS:
        parts = [part for part in typing.get_args(wanted) if part is not types.NoneType]
        return " or ".join(describe(part) for part in parts)
    if origin is Literal:
        return " or ".join(f'"{choice}"' for choice in typing.get_args(wanted))
    if origin is tuple:
        return f"a list of {describe(typing.get_args(wanted)[0])}"
    if origin is Annotated:
        base, *metas = typing.get_args(wanted)
        limits = [
            text
            for meta in metas
            for text in (
                f"at least {meta.ge:g}" if meta.ge is not None else "",
                f"above {meta.gt:g}" if meta.gt is not None else "",
                f"at most {meta.le:g}" if meta.le is not None else "",
                "of letters, digits and . _ - only" if meta.pattern is not None else "",
                f"with at least {meta.min_length} letters" if meta.min_length is not None else "",
            )
            if text
        ]
        return " ".join([describe(base), ", ".join(limits)]).rstrip()
    names = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}
    return (
        "a path" if wanted is Path else names.get(wanted, getattr(wanted, "__name__", str(wanted)))
    )


def show(value: Any) -> str:
    """Write a value as a sentence quotes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    try:
        text = repr(value)
    except (RecursionError, ValueError):
        # Nested too deep, or more digits than Python writes.
        if not isinstance(value, int):
            return "a value of many levels"
        return f"a number of about {round(value.bit_length() * log10(2))} digits"
    return text if len(text) <= 60 else f"{text[:57]}..."
