"""The way of a model from its file to a sampler: LoRAs, shifts and patches on it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from ..graphs.document import Link
from .classes import LORAS, WEIGHTS
from .filenames import Tag, tag
from .graph_view import GraphView

#: Longer chains are not followed to their end.
LONGEST = 256

_MODELS = ("MODEL", "WANVIDEOMODEL")


class Lora(msgspec.Struct, frozen=True):
    """One LoRA on a model."""

    node: str
    input: str  # where its file is named
    strength_input: str
    strength: int | float | None
    tag: Tag
    merged: bool | None = None  # whether the wrapper bakes it into the weights; None in the core

    @property
    def active(self) -> bool:
        """Whether it changes the model at all."""
        return self.strength != 0

    @property
    def listed(self) -> bool:
        """Whether it is certain that the wrapper has it in its list: those of no strength are left out."""
        return bool(self.tag.name) and self.strength is not None and round(self.strength, 4) != 0


class Chain(msgspec.Struct, frozen=True):
    """What a sampler's model is made of; nodes are listed from the sampler to the loader."""

    nodes: tuple[str, ...]
    loader: str | None  # None where the way to a file could not be followed
    tag: Tag
    loras: tuple[Lora, ...]
    shift: int | float | None  # None where no node sets it
    shift_node: str | None
    dangling: bool = False  # it ends in a link to nothing
    whole: bool = True  # every node and every file on it is known

    @property
    def distilled(self) -> bool:
        """Whether weights or a LoRA were trained to need few steps without guidance."""
        return self.tag.distilled or any(lora.tag.distilled and lora.active for lora in self.loras)

    @property
    def undistilled(self) -> bool:
        """Whether it is certain that nothing on it is distilled."""
        return self.whole and not self.distilled


class ChainNode(NamedTuple):
    """What one node does to the model that goes through it; the same for every sampler behind it."""

    link: Link | None  # where its own model comes from
    dangling: bool
    loras: tuple[Lora, ...]
    loads: bool
    sets_shift: bool
    whole: bool


ChainNodes = dict[str, ChainNode]


def walk(view: GraphView, user: str, name: str = "model", known: ChainNodes | None = None) -> Chain:
    """Follow a model from the input of a node that uses it back to the file it is loaded from.

    `known` are the nodes that were passed before: in a long row of samplers, each one's chain passes most of the others.
    """
    known = {} if known is None else known
    link = view.source(user, name)
    dangling = view.dangles(user, name)
    nodes: list[str] = []
    loras: list[Lora] = []
    seen: set[str] = set()
    shift: int | float | None = None
    shift_node: str | None = None
    loader: str | None = None
    whole = True
    while link is not None and link.node not in seen and len(nodes) < LONGEST:
        node_id = link.node
        seen.add(node_id)
        nodes.append(node_id)
        step = known.get(node_id)
        if step is None:
            step = known[node_id] = _step(view, node_id)
        if step.sets_shift and shift_node is None and whole:
            # The patch that is nearest to the sampler is the one that counts.
            shift, shift_node = view.number(node_id, "shift"), node_id
        whole &= step.whole
        loras += step.loras
        if step.loads:
            loader = node_id
            break
        link, dangling = step.link, step.dangling
    # Each LoRA is looked at again by the rules about its sampler.
    view.effort.look(len(nodes) // 4 + len(loras))
    file = view.text(loader, WEIGHTS[view.class_of(loader)]) if loader else None
    return Chain(
        nodes=tuple(nodes),
        loader=loader,
        tag=tag(file or ""),
        loras=tuple(loras),
        shift=shift,
        shift_node=shift_node,
        dangling=dangling and loader is None,
        whole=whole and bool(file) and all(lora.tag.name for lora in loras),
    )


def _step(view: GraphView, node_id: str) -> ChainNode:
    class_type = view.class_of(node_id)
    sets_shift = class_type == "ModelSamplingSD3"
    signature = view.catalog.get(class_type)
    # No model comes out of a sampler, whatever its model is: such a link is a mistake, and leads nowhere.
    known = signature is not None and any(kind in _MODELS for kind in signature.outputs)
    loads = class_type in WEIGHTS
    ends = loads or (signature is not None and not known)
    above = None if ends else _model_input(view, node_id)
    return ChainNode(
        link=view.source(node_id, above) if above else None,
        dangling=above is not None and view.dangles(node_id, above),
        loras=tuple(_loras(view, node_id)),
        loads=loads,
        sets_shift=sets_shift,
        whole=sets_shift or (known and not class_type.startswith("ModelSampling")),
    )


def quantisation(view: GraphView, chain: Chain) -> str:
    """Say how a chain's weights are quantised once they are loaded; empty where no one can tell."""
    chosen = view.text(chain.loader, "weight_dtype") if chain.loader else None
    if chosen and chosen != "default":
        return "fp8_e5m2" if "e5m2" in chosen else "fp8_e4m3" if "fp8" in chosen else chosen
    return chain.tag.quantisation


def _model_input(view: GraphView, node_id: str) -> str | None:
    """Name the one input that a node passes its model on from; a merge of two has none."""
    signature = view.catalog.get(view.class_of(node_id))
    if signature is None:
        return "model" if view.linked(node_id, "model") else None
    names = [name for name, item in signature.inputs.items() if item.type in _MODELS]
    return names[0] if len(names) == 1 else None


def _loras(view: GraphView, node_id: str) -> Iterator[Lora]:
    """List the LoRAs that a node of the chain adds; the wrapper's come over an input of their own."""
    class_type = view.class_of(node_id)
    if class_type in LORAS:
        yield _lora(view, node_id, "lora_name", LORAS[class_type])
    elif class_type in {"WanVideoModelLoader", "WanVideoSetLoRAs"}:
        yield from selected(view, node_id)


def selected(view: GraphView, node_id: str) -> Iterator[Lora]:
    """List the LoRAs that a node of the wrapper is given over its input `lora`."""
    link = view.source(node_id, "lora")
    seen: set[str] = set()
    while link is not None and link.node not in seen and len(seen) < LONGEST:
        seen.add(link.node)
        class_type = view.class_of(link.node)
        if class_type == "WanVideoLoraSelect":
            yield _lora(view, link.node, "lora", "strength")
        elif class_type == "WanVideoLoraSelectByName":
            yield _lora(view, link.node, "lora_name", "strength")
        elif class_type == "WanVideoLoraSelectMulti":
            for i in range(5):
                if view.text(link.node, f"lora_{i}") != "none":
                    yield _lora(view, link.node, f"lora_{i}", f"strength_{i}")
        link = view.source(link.node, "prev_lora")


def _lora(view: GraphView, node_id: str, name: str, strength: str) -> Lora:
    file = view.text(node_id, name) or ""
    merged = view.flag(node_id, "merge_loras")
    return Lora(node_id, name, strength, view.number(node_id, strength), tag(file), merged)
