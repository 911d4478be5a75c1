"""The one reader of graph documents: what a node, a link and a value is, for recipes, linter and simulated engine alike.

A document is what ComfyUI's `POST /prompt` takes: nodes by their ids, each with `class_type` and
`inputs`; or the whole request with such a graph as its `prompt`. Beside those two a node may have
a `_meta` with its title. Whatever else a node holds is not kept: an `is_changed`, which old files
have, would even keep the server from looking whether a picture has changed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec

from .. import tables
from ..errors import RecipeError
from .graph import Graph, Node

MOST_BYTES: Final = 64 * 1024 * 1024

# What a request says next to its graph, and what a page's file has next to it.
_BESIDE = frozenset(
    ("client_id", "prompt_id", "extra_data", "front", "number", "partial_execution_targets")
) | {"workflow"}
_EXPORT = "Export it with `Export (API)`."


class Link(NamedTuple):
    """Where an input's value comes from: a node and one of its outputs."""

    node: str
    slot: int


class Malformed(NamedTuple):
    """An entry that is no node: the reason, and its title if it has one."""

    reason: str
    title: str = ""


class Document(msgspec.Struct, frozen=True):
    """A document taken apart: its nodes, and whatever of it cannot be read as one."""

    nodes: Graph
    malformed: dict[str, Malformed] = {}
    page_format: bool = False
    #: What ComfyUI's page saved, if this is that: `page_format/` makes a graph of it.
    page: dict[str, Any] | None = None
    #: Ids that the text has more than once; the last node of each counts, as it does for ComfyUI.
    twice: tuple[str, ...] = ()
    #: What the request says next to its graph; None if the document is the graph itself.
    request: dict[str, Any] | None = None


def parse(text: bytes | str, origin: str) -> Document:
    """Read a document's text; what is no document at all raises RecipeError, what is no node is noted."""
    if len(text) > MOST_BYTES:
        raise oversized(origin)
    doubled: list[tuple[dict[str, Any], tuple[str, ...]]] = []
    odd: list[str] = []  # what Python's reader takes for numbers, and JSON does not have

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(found)
        if len(made) < len(found):
            names = [name for name, _ in found]
            doubled.append((made, tuple(sorted({n for n in names if names.count(n) > 1}))))
        if "class_type" in made:
            # The server itself writes `NaN` there, into the workflows that its files carry.
            made.pop("is_changed", None)
        return made

    def constant(name: str) -> float:
        odd.append(name)
        return float(name)

    try:
        raw = json.loads(text, object_pairs_hook=pairs, parse_constant=constant)
    except RecursionError as error:
        raise _unreadable(origin, "it is nested too deep for a workflow") from error
    except ValueError as error:
        raise _unreadable(origin, f"it is not valid JSON ({error})") from error
    flaw = tables.find(raw) if odd and isinstance(raw, dict) else None
    if odd and (flaw is not None or not isinstance(raw, dict)):
        where = f", at {flaw.place}" if flaw else ""
        raise _unreadable(origin, f"it is not valid JSON ({odd[0]} is not a number{where})")
    try:
        # Python's reader takes halves of letters and other encodings, which no answer can hold.
        msgspec.json.decode(msgspec.json.encode(raw) if odd else text)
    except (msgspec.DecodeError, UnicodeError) as error:
        why = "it is not valid JSON (a text that is not Unicode, or a number out of range)"
        raise _unreadable(origin, why) from error
    document = read(raw, origin)
    graph = raw["prompt"] if document.request is not None else raw
    twice = next((names for made, names in doubled if made is graph), ())
    return msgspec.structs.replace(document, twice=twice) if twice else document


def read(raw: object, origin: str) -> Document:
    """Take plain JSON values apart; RecipeError says what in them can be no document."""
    if not isinstance(raw, dict):
        raise RecipeError(f"{origin} is not a workflow: it has no object of nodes.", _EXPORT)
    if (flaw := tables.find(raw)) is not None:
        raise _unreadable(origin, str(flaw))
    request = _request(raw)
    # The page's own format is known by its list of nodes.
    if request is None and isinstance(raw.get("nodes"), list):
        return Document(nodes={}, page_format=True, page=raw)
    nodes: Graph = {}
    malformed: dict[str, Malformed] = {}
    for node_id, entry in (raw if request is None else raw["prompt"]).items():
        made = _node(entry)
        if isinstance(made, Node):
            nodes[node_id] = made
        else:
            malformed[node_id] = made
    return Document(nodes=nodes, malformed=malformed, request=request)


def decode(text: bytes | str, origin: str) -> Graph:
    """Read a graph every entry of which is a node; RecipeError names the first thing that is none."""
    return checked(parse(text, origin), origin)


def oversized(origin: str) -> RecipeError:
    """Say that a document is larger than any workflow."""
    return _unreadable(origin, f"it is too large for a workflow ({MOST_BYTES >> 20} MB)")


def checked(document: Document, origin: str) -> Graph:
    """Give a document's graph if every entry of it is a node."""
    if document.page_format:
        raise RecipeError(f"{origin}: this is the page's own format.", _EXPORT)
    for node_id, entry in document.malformed.items():
        raise RecipeError(
            f"{origin}: not an API-format graph (the entry {node_id[:40]!r} {entry.reason}).",
            _EXPORT,
        )
    return document.nodes


def encode(graph: Graph) -> dict[str, Any]:
    """Write a graph as plain JSON values, ready for an engine, which wants `inputs` of every node."""
    return {
        node_id: {
            "class_type": node.class_type,
            "inputs": msgspec.to_builtins(node.inputs),
            **({"_meta": msgspec.to_builtins(node.meta)} if node.meta else {}),
        }
        for node_id, node in graph.items()
    }


def link_of(value: object) -> Link | None:
    """Read `[node, output]` as ComfyUI does: a text and a whole number; anything else is None."""
    if isinstance(value, list) and len(value) == 2:
        node, slot = value
        if isinstance(node, str) and type(slot) is int:  # True is none
            return Link(node, slot)
    return None


def unwrapped(value: object) -> object:
    """Give the value behind `{"__value__": ...}`, which is how a list is said that is no link."""
    if isinstance(value, dict) and "__value__" in value:
        return value["__value__"]
    return value


def _request(raw: Mapping[str, Any]) -> dict[str, Any] | None:
    """Give what a whole request says next to its graph; None for anything else."""
    graph = raw.get("prompt")
    if not isinstance(graph, dict) or "class_type" in graph or not _BESIDE.issuperset(raw.keys() - {"prompt"}):  # fmt: skip
        return None
    return {key: value for key, value in raw.items() if key != "prompt"}


def _node(entry: object) -> Node | Malformed:
    if not isinstance(entry, dict):
        return Malformed("is not a node")
    meta = entry.get("_meta")
    meta = meta if isinstance(meta, dict) else {}
    title = meta.get("title")
    title = title if isinstance(title, str) else ""
    if not isinstance(entry.get("class_type"), str):
        return Malformed("has no class_type", title)
    if "inputs" not in entry:
        return Malformed("has no inputs", title)
    if not isinstance(entry["inputs"], dict):
        return Malformed("has inputs that are not an object", title)
    return Node(class_type=entry["class_type"], inputs=entry["inputs"], meta=meta)


def _unreadable(origin: str, why: str) -> RecipeError:
    return RecipeError(f"{origin} cannot be read: {why}.", _EXPORT)
