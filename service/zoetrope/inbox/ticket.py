"""The ticket: what a person asked for, from the file next to the picture, the folder and the defaults."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Mapping
from typing import Any

import msgspec

from .. import tables
from ..beneath import Linked, Place
from ..domain.values import Scalar, Ticket
from ..errors import NotReadable, RecipeError, Rejected
from ..file_names import safe_stem
from ..graphs.recipe import Recipe
from ..graphs.shelf import Recipes
from ..host import shown
from ..mistakes import nearest, show
from .beats import timed
from .entry import ELSEWHERE

MAX_BYTES = 64 * 1024
_MEND = "Fix the ticket and drop it again."
_PARAMETERS = "parameters"
_EDGE_LIMIT = 16_384

_KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    "recipe": ((str,), "a text"),
    "prompt": ((str, list, tuple), "a text, or a list of texts, one for each beat"),
    "negative": ((str,), "a text"),
    "seed": ((int,), "a whole number"),
    "seconds": ((int, float), "a number"),
    "frames": ((int,), "a whole number"),
    "width": ((int,), "a whole number"),
    "height": ((int,), "a whole number"),
    "name": ((str,), "a text"),
    "review": ((bool,), "true or false"),
    "auto_resize": ((bool,), "true or false"),
}


def read(file: Place) -> dict[str, Any]:
    """Read a ticket's values; a `.txt` is the prompt alone. A ticket that cannot be used is Rejected."""
    name = shown(file.name)
    try:
        handle = file.open()
    except Linked as error:
        # What lies behind a link is not in the inbox.
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), file.whole) from error
    except PermissionError as error:
        raise NotReadable(
            f"The ticket {name} cannot be read ({error.strerror}).",
            "Make it readable for the service's group.",
        ) from error
    except OSError as error:
        if error.errno == errno.ENXIO:
            raise _no_file(name) from error
        if error.errno != errno.ELOOP:
            raise
        raise Rejected(
            f"The ticket {name} is a link; links are never followed.",
            "Copy the ticket itself next to the picture.",
            key="ticket-link",
        ) from error
    # Before it becomes a stream, which no folder can be.
    found = os.fstat(handle)
    plain = stat.S_ISREG(found.st_mode)
    if not plain or found.st_nlink > 1:
        os.close(handle)
        raise _linked(name) if plain else _no_file(name)
    with os.fdopen(handle, "rb") as stream:
        text = stream.read(MAX_BYTES + 1)
    return parse(text, name)


def _linked(name: str) -> Rejected:
    # It may be a file of somebody else's that only the service may read, and a reason quotes what it reads.
    return Rejected(
        f"The ticket {name} has a second name elsewhere (a hard link).",
        "Copy the ticket instead of linking it.",
        key="ticket-link",
    )


def _no_file(name: str) -> Rejected:
    return Rejected(f"The ticket {name} is not a file.", _MEND, key="ticket-link")


def parse(text: bytes, name: str) -> dict[str, Any]:
    """Turn a ticket's bytes into values; the name's suffix says how."""
    if len(text) > MAX_BYTES:
        raise Rejected(
            f"The ticket {name} is larger than {MAX_BYTES // 1024} KB.", _MEND, key="ticket-file"
        )
    try:
        words = text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Rejected(
            f"The ticket {name} is not UTF-8 text (byte {error.start}).",
            "Save it as UTF-8 and drop it again.",
            key="ticket-file",
        ) from error
    if name.lower().endswith(".txt"):
        return {"prompt": words.strip()} if words.strip() else {}
    try:
        return tables.read(words)
    except tables.BrokenTable as error:
        if error.flaw is not None:
            raise _impossible(error.flaw) from error
        raise Rejected(
            f"The ticket {name} cannot be read: {error}.", _MEND, key="ticket-file"
        ) from error


def overlay(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Lay one ticket's values over another's, key by key."""
    values = {**under, **over}
    one, other = under.get(_PARAMETERS), over.get(_PARAMETERS)
    if isinstance(one, dict) and isinstance(other, dict):
        values[_PARAMETERS] = {**one, **other}
    # Length can be said in two ways; who says it one way takes back the other.
    for said, unsaid in (("seconds", "frames"), ("frames", "seconds")):
        if said in over and unsaid not in over:
            values.pop(unsaid, None)
    return values


def repeated(earlier: Ticket, changes: Mapping[str, Any], recipe: Recipe) -> dict[str, Any]:
    """Give an earlier ticket's values with some of them changed; a seed is only said by the changes.

    A preset among the changes says more than the earlier ticket, and the other changes more than it.
    """
    # What the earlier presets stood for is said by its other values.
    said = msgspec.structs.asdict(earlier)
    values = {k: v for k, v in said.items() if k not in {"preset", "seed", _PARAMETERS, "recipe"}}
    values |= earlier.parameters
    if recipe.name != earlier.recipe:
        known = recipe.ticket_keys()
        values = {key: value for key, value in values.items() if key in known}
    flat = {**{k: v for k, v in changes.items() if k != _PARAMETERS}, **_inner(changes)}
    wished = overlay(recipe.preset(_presets(flat.get("preset") or ())), flat)
    return {**overlay(values, wished), "recipe": recipe.name}


def recipe_name(values: Mapping[str, Any], folder: str, default: str) -> str:
    """Say which recipe counts: the ticket's, else the folder's, else the default."""
    named = values.get("recipe")
    if named is not None and not isinstance(named, str):
        raise _wrong_type("recipe", named, "a text")
    return named or folder or default


def check(values: Mapping[str, Any]) -> None:
    """Reject values that could not be kept, whatever they are for."""
    if (flaw := tables.find(values)) is not None:
        raise _impossible(flaw)


def resolve(values: Mapping[str, Any], recipe: Recipe) -> Ticket:
    """Check every value and make the ticket; what the recipe knows by name goes to its parameters."""
    check(values)
    inner = _inner(values)
    flat = {key: value for key, value in values.items() if key != _PARAMETERS}
    for key in inner:
        if key in flat:
            raise Rejected(
                f"The ticket says {key} twice, at the top and under [parameters].",
                "Keep one of them and drop it again.",
                key="ticket-value",
            )
    valid = recipe.ticket_keys()
    fields: dict[str, Any] = {}
    parameters: dict[str, Scalar] = {}
    # JSON says None to leave something out.
    said = {key: value for key, value in {**flat, **inner}.items() if value is not None}
    for key in said:
        if key not in valid:
            raise Rejected(
                f"The ticket's key {show(key)} is unknown to the recipe {recipe.name};"
                f" {nearest(key, valid)}",
                _MEND,
                key="ticket-key",
            )
    named = _presets(said.pop("preset", ()))
    for key, value in overlay(recipe.preset(named), said).items():
        if key in _KINDS:
            fields[key] = _field(key, value)
        elif isinstance(value, str | int | float | bool):
            parameters[key] = value
        else:
            raise _wrong_type(key, value, "a text, a number, or true or false")
    _check_ranges(fields, recipe)
    fields |= {"recipe": recipe.name, "preset": named}
    beats = fields.get("prompt")
    if not isinstance(beats, tuple):
        return msgspec.convert({**fields, _PARAMETERS: parameters}, Ticket)
    # Only the whole ticket says how long the clip is that the beats divide.
    ticket = msgspec.convert({**fields, "prompt": None, _PARAMETERS: parameters}, Ticket)
    return msgspec.structs.replace(ticket, prompt=timed(beats, recipe.seconds(ticket)))


def _inner(values: Mapping[str, Any]) -> dict[str, Any]:
    inner = values.get(_PARAMETERS)
    if inner is not None and not isinstance(inner, dict):
        raise _wrong_type(_PARAMETERS, inner, "a table")
    return inner or {}


def _presets(value: Any) -> tuple[str, ...]:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise _wrong_type("preset", value, "a name, or a list of names")
    return tuple(dict.fromkeys(names))


def find(recipes: Recipes, values: Mapping[str, Any], folder: str, default: str) -> Recipe:
    """Load the recipe that a ticket and its folder ask for; Rejected if there is none of that name.

    Where the settings name one that is not there, it is a RecipeError.
    """
    name = recipe_name(values, folder, default)
    try:
        return recipes.get(name)
    except Rejected as error:
        if values.get("recipe"):
            raise
        if not folder:
            # No picture's fault: it waits, as for a recipe that cannot be read.
            raise RecipeError(
                f"The settings' recipes.default is {default!r}, and there is no such recipe;"
                f" {nearest(default, recipes.names())}",
                "Fix recipes.default in the settings; pictures wait until then.",
                key="recipe-unknown",
            ) from error
        raise Rejected(
            f"The folder {name!r} is not a recipe; {nearest(name, recipes.names())}",
            ELSEWHERE,
            key="recipe-unknown",
        ) from error


def _field(key: str, value: Any) -> Any:
    kinds, words = _KINDS[key]
    if not _is_a(value, kinds):
        raise _wrong_type(key, value, words)
    if key == "seconds":
        return float(value)
    if isinstance(value, list | tuple):
        if not all(isinstance(beat, str) for beat in value):
            raise _wrong_type(key, value, words)
        return tuple(value)
    if key in ("prompt", "negative"):
        return value.strip()
    return _file_name(value) if key == "name" else value


def _is_a(value: object, kinds: tuple[type, ...]) -> bool:
    # Python's True is an int as well; a ticket's is not.
    return isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))


def _file_name(value: str) -> str:
    base = value.removesuffix(".mp4").strip()
    if not base or "/" in base or "\\" in base:
        raise Rejected(
            f"The ticket's name = {show(value)} is not a file name.",
            "Use a name without a folder, such as name = 'holiday'.",
            key="ticket-value",
        )
    return safe_stem(base)


def _check_ranges(fields: Mapping[str, Any], recipe: Recipe) -> None:
    if "seconds" in fields and "frames" in fields:
        raise Rejected(
            "The ticket sets both seconds and frames.",
            "Keep one of them and drop it again.",
            key="ticket-value",
        )
    seed_max = recipe.file.seed_max
    if not 0 <= fields.get("seed", 0) <= seed_max:
        raise _out_of_range("seed", fields["seed"], f"a whole number from 0 to {seed_max}")
    # NaN compares false with everything, so the test asks for what is right.
    if not 0 < fields.get("seconds", 1.0) < 3600:
        raise _out_of_range("seconds", fields["seconds"], "a number above 0")
    if fields.get("frames", 1) < 1:
        raise _out_of_range("frames", fields["frames"], "a whole number from 1 on")
    for key in ("width", "height"):
        if not 1 <= fields.get(key, 1) <= _EDGE_LIMIT:
            raise _out_of_range(key, fields[key], f"a whole number from 1 to {_EDGE_LIMIT}")


def _out_of_range(key: str, value: object, allowed: str) -> Rejected:
    return Rejected(
        f"The ticket's {key} = {value!r} is out of range; allowed is {allowed}.",
        _MEND,
        key="ticket-value",
    )


def _wrong_type(key: str, value: object, allowed: str) -> Rejected:
    return _impossible(tables.Flaw(key, show(value), allowed))


def _impossible(flaw: tables.Flaw) -> Rejected:
    return Rejected(
        f"The ticket's {flaw.place} = {flaw.found} is not possible; allowed is {flaw.allowed}.",
        _MEND,
        key="ticket-value",
    )
