"""The one check whether a node's inputs fit its signature, as ComfyUI checks a graph before it queues it.

The server fits values to the declared type first (`"64"` is a whole number, any value a text) and
then looks at bounds and choices. It does not ask whether the page would show a field or a socket
(`forceInput`), nor for what the page adds (`control_after_generate`), nor for inputs that no one
declares. Where it lets through what fails in the middle of a run, this check is the stricter one:
numbers that are not finite, options of a dynamic choice that there are not, a value where only
another node's output can be, links that no one declares and that lead nowhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from .catalog import INPUT_FOLDER, Catalog, Input, Option, Signature
from .document import Link, link_of, unwrapped
from .graph import Graph, Inputs, Node

#: Gives the options of a choice; None where no one can tell them.
Options = Callable[[Input], Sequence[Option] | None]

_ANY = frozenset({"*", "COMFY_MATCHTYPE_V3"})
#: What is never written into a graph, only handed from node to node.
_HANDED = frozenset(
    [
        "MODEL",
        "CLIP",
        "VAE",
        "CONDITIONING",
        "LATENT",
        "IMAGE",
        "MASK",
        "CLIP_VISION",
        "CLIP_VISION_OUTPUT",
        "CONTROL_NET",
        "SAMPLER",
        "SIGMAS",
        "NOISE",
        "GUIDER",
        "VIDEO",
        "WANVIDEOMODEL",
        "WANVAE",
        "WANVIDEOTEXTEMBEDS",
        "WANVIDIMAGE_EMBEDS",
        "SEEDVR2_DIT",
        "SEEDVR2_VAE",
    ]
)
_DYNAMIC = "COMFY_DYNAMICCOMBO_V3"
_CHOICES = frozenset({"COMBO", _DYNAMIC})


class MisfitKind(StrEnum):
    """What is wrong with an input."""

    MISSING = "missing"
    NO_LINK = "no link"  # a list that is not `[node, output]`
    NO_NODE = "no node"  # a link to a node that there is not
    NO_OUTPUT = "no output"  # a link to an output that its node does not have
    OTHER_TYPE = "other type"  # a link to an output of another type
    FILE = "file"  # a link where the name of a file of the input folder has to be
    HANDED = "handed"  # a value where only an output can be
    TYPE = "type"
    SMALL = "small"
    LARGE = "large"
    CHOICE = "choice"


class Misfit(NamedTuple):
    """An input that does not fit; `told` are the words for it, `value` is what was found."""

    input: str
    item: Input
    kind: MisfitKind
    value: Any = None
    told: str = ""


def faults(
    node: Node, signature: Signature, graph: Graph, catalog: Catalog, options: Options
) -> Iterator[Misfit]:
    """List the inputs of a node that do not fit, in the order of its signature."""
    inputs = node.inputs
    whole = signature.inputs.items() if not signature.grows else declared(signature, inputs)
    for name, item in whole:
        if name not in inputs:
            if item.required:
                yield Misfit(name, item, MisfitKind.MISSING)
        elif isinstance(raw := inputs[name], list):
            kind, told = _linked(raw, item, graph, catalog)
            if kind is not None:
                yield Misfit(name, item, kind, raw, told)
        else:
            value, kind, told = fitted(item, raw, options)
            if kind is not None:
                yield Misfit(name, item, kind, value, told)


def declared(signature: Signature, inputs: Inputs) -> list[tuple[str, Input]]:
    """List the inputs of a node to be checked: a growing group as its slots, a choice with what it asks for."""
    return [each for name, item in signature.inputs.items() for each in _each(name, item, inputs)]


def _each(name: str, item: Input, inputs: Inputs) -> Iterator[tuple[str, Input]]:
    if item.slots is not None:
        needed = [f"{name}.{slot}" for slot in item.slots.needed] if item.required else []
        yield from ((key, Input(type=item.slots.type)) for key in needed)
        slot = Input(type=item.slots.type, required=False)
        yield from ((k, slot) for k in inputs if k.startswith(f"{name}.") and k not in needed)
        return
    yield name, item
    chosen = inputs.get(name) if item.branches else None
    if isinstance(chosen, str):
        for inner, asked in item.branches.get(chosen, {}).items():
            # A choice within a choice is not asked for: SaveVideo's codec may stand beside its format, as in older graphs.
            if asked.type != _DYNAMIC or f"{name}.{inner}" in inputs:
                yield from _each(f"{name}.{inner}", asked, inputs)


def fitted(item: Input, raw: object, options: Options) -> tuple[Any, MisfitKind | None, str]:
    """Turn a value into an input's type; the second of the answer is what is wrong with it, if anything is."""
    kind = item.type
    value: Any = unwrapped(raw) if isinstance(raw, dict) else raw
    try:
        if kind == "INT":
            value = int(value)
        elif kind == "FLOAT":
            value = float(value)
            if not math.isfinite(value):
                return value, MisfitKind.TYPE, "it is no finite number"
        elif kind == "STRING":
            return str(value), None, ""
        elif kind == "BOOLEAN":
            return bool(value), None, ""
        elif kind in _CHOICES:
            return _chosen(item, value, options)
        elif kind in _HANDED and (value is not None or item.required):
            return value, MisfitKind.HANDED, "only a link to another node is allowed"
        elif isinstance(raw, dict) and link_of(value) is not None:
            # The server follows it all the same, and if it leads nowhere, its queue ends.
            return value, MisfitKind.HANDED, "a list that reads like a link is not allowed"
        if item.min is not None and value < item.min:
            return value, MisfitKind.SMALL, f"smaller than min of {item.min}"
        if item.max is not None and value > item.max:
            return value, MisfitKind.LARGE, f"bigger than max of {item.max}"
    except (TypeError, ValueError, OverflowError) as error:
        return value, MisfitKind.TYPE, str(error)
    return value, None, ""


def joins(item: Input, given: str) -> bool:
    """Say whether an output of a type may feed an input."""
    if item.type == "COMBO" and item.multiselect is None:
        return given in _ANY  # a choice in the older spelling is a list, which is no type's equal
    return accepts(given, item.type)


def accepts(given: str, wanted: str) -> bool:
    """Say whether an output of one type may feed an input of another; types may be unions, `INT,FLOAT`."""
    if given == wanted or given in _ANY or wanted in _ANY:
        return True
    left = {part.strip() for part in given.split(",")}
    right = {part.strip() for part in wanted.split(",")}
    return "*" in left | right or bool(left & right)


def astray(link: Link, graph: Graph, catalog: Catalog) -> tuple[MisfitKind, str] | None:
    """Say why a link leads to no output; None if it does, or no one knows its node."""
    above = graph.get(link.node)
    if above is None:
        return MisfitKind.NO_NODE, "which does not exist"
    signature = catalog.get(above.class_type)
    # ComfyUI counts a negative output from the end; no page writes one.
    if signature is not None and not 0 <= link.slot < len(signature.outputs):
        return MisfitKind.NO_OUTPUT, f"which has {len(signature.outputs)}"
    return None


def _linked(
    raw: list[Any], item: Input, graph: Graph, catalog: Catalog
) -> tuple[MisfitKind | None, str]:
    link = link_of(raw)
    if link is None:
        return MisfitKind.NO_LINK, ""
    if (found := astray(link, graph, catalog)) is not None:
        return found
    signature = catalog.get(graph[link.node].class_type)
    if signature is None:
        return None, ""  # whatever it gives, no one here knows it
    if item.files.startswith(INPUT_FOLDER):
        return MisfitKind.FILE, "the server looks for the file before any node runs"
    given = signature.outputs[link.slot]
    return (None, "") if joins(item, given) else (MisfitKind.OTHER_TYPE, given)


def _chosen(item: Input, value: Any, options: Options) -> tuple[Any, MisfitKind | None, str]:
    known = options(item)
    if known is None:
        return value, None, ""
    chosen = value if item.multiselect and isinstance(value, list) else (value,)
    bad = [each for each in chosen if each not in known]
    return (value, MisfitKind.CHOICE, ", ".join(map(repr, bad))) if bad else (value, None, "")
