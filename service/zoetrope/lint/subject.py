"""A graph under the linter: everything that several rules ask about, worked out once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ..graphs.catalog import Input, Option
from ..graphs.document import Document
from ..graphs.fit import Misfit, faults
from ..graphs.graph import Node
from ..lazy import lazy
from . import pictures, prompts, stages, upscalers
from .classes import DECODERS, VAES, WEIGHTS
from .effort import Effort
from .facts import LintContext
from .filenames import Tag, tag
from .graph_view import GraphView
from .pictures import Canvas, Playback, Trail
from .prompts import Prompt, Side
from .stages import SamplerStage
from .upscalers import Upscaler


class Weights(NamedTuple):
    """A node that loads diffusion weights."""

    node: str
    input: str
    tag: Tag


class Pair(NamedTuple):
    """Two samplers, the second of which goes on with the first one's latent."""

    first: SamplerStage
    second: SamplerStage


class Subject:
    """What rules look at."""

    def __init__(
        self, document: Document, context: LintContext, effort: Effort | None = None
    ) -> None:
        self.document = document
        self.context = context
        self.catalog = context.catalog
        self.host = context.host
        self.effort = effort or Effort()
        self.read = GraphView(document.nodes, context.catalog, self.effort)
        self._around: dict[str, frozenset[str]] = {}
        self._texts: dict[tuple[str, Side], tuple[Prompt, ...]] = {}

    @property
    def nodes(self) -> dict[str, Node]:
        """All nodes that could be read."""
        return self.document.nodes

    @lazy
    def reachable(self) -> frozenset[str]:
        """The nodes that the server runs: outputs and all above them, or all if nothing is saved."""
        waiting = [node_id for node_id in self.nodes if self.is_output(node_id)]
        if not waiting:
            return frozenset(self.nodes)
        seen: set[str] = set()
        while waiting:
            node_id = waiting.pop()
            if node_id not in seen:
                seen.add(node_id)
                waiting += [link.node for _, link in self.read.links(node_id)]
        return frozenset(seen)

    @lazy
    def faults(self) -> tuple[tuple[str, Misfit], ...]:
        """The inputs that do not fit their nodes' signatures, of all nodes that the server looks into."""
        return tuple(
            (node_id, fault)
            for node_id, node in self.nodes.items()
            if (signature := self.catalog.get(node.class_type)) and node_id in self.reachable
            for fault in faults(node, signature, self.nodes, self.catalog, _options)
        )

    def is_output(self, node_id: str) -> bool:
        """Whether the server begins with this node."""
        signature = self.catalog.get(self.read.class_of(node_id))
        return signature is not None and signature.output_node

    @lazy
    def strangers(self) -> bool:
        """Whether there are nodes of classes that no one knows: what those do cannot be ruled out."""
        return any(self.catalog.get(node.class_type) is None for node in self.nodes.values())

    @lazy
    def decoded(self) -> frozenset[str]:
        """The samplers whose latents are decoded to frames."""
        found = (pictures.sampler_of(self.read, node_id) for node_id in self.read.of(*DECODERS))
        return frozenset(node_id for node_id in found if node_id is not None)

    @lazy
    def weights(self) -> tuple[Weights, ...]:
        """Every diffusion model that is loaded, with its file's tag."""
        found = (
            (node_id, WEIGHTS[self.read.class_of(node_id)]) for node_id in self.read.of(*WEIGHTS)
        )
        return tuple(
            Weights(node_id, name, tag(file))
            for node_id, name in found
            if (file := self.read.text(node_id, name))
        )

    @lazy
    def stages(self) -> dict[str, SamplerStage]:
        """Every sampler, by its node."""
        return stages.find(self.read)

    @lazy
    def wan_stages(self) -> tuple[SamplerStage, ...]:
        """Every sampler whose weights are of the WAN family."""
        return tuple(stage for stage in self.stages.values() if stage.wan)

    @lazy
    def pairs(self) -> tuple[Pair, ...]:
        """Every two samplers that are joined by a latent."""
        return tuple(
            Pair(self.stages[stage.previous], stage)
            for stage in self.stages.values()
            if stage.previous is not None and stage.previous != stage.node
        )

    @lazy
    def handoffs(self) -> tuple[Pair, ...]:
        """The pairs in which one expert of WAN 2.2 hands over to an expert."""
        return tuple(pair for pair in self.pairs if pair.first.expert and pair.second.expert)

    def around(self, stage: SamplerStage) -> frozenset[str]:
        """Give the nodes that condition a sampler."""
        if stage.node not in self._around:
            self._around[stage.node] = stages.around(self.read, stage)
        return self._around[stage.node]

    def near(self, stage: SamplerStage, *class_types: str) -> Iterator[str]:
        """List the nodes of some classes that condition a sampler."""
        nodes = self.around(stage)
        return iter(sorted(n for n in nodes if self.read.class_of(n) in class_types))

    def texts(self, stage: SamplerStage, side: Side) -> tuple[Prompt, ...]:
        """Give the texts behind one side of a sampler's conditioning."""
        key = (stage.node, side)
        if key not in self._texts:
            self._texts[key] = prompts.texts(self.read, stage, side)
        return self._texts[key]

    @lazy
    def canvases(self) -> dict[str, Canvas]:
        """Every node that decides size and length."""
        return pictures.canvases(self.read)

    def canvases_of(self, stage: SamplerStage) -> tuple[Canvas, ...]:
        """Give the canvases that condition a sampler."""
        nodes = sorted(node_id for node_id in self.around(stage) if node_id in self.canvases)
        return tuple(self.canvases[node_id] for node_id in nodes)

    @lazy
    def large_canvases(self) -> tuple[Canvas, ...]:
        """The canvases of clips that 14B weights make."""
        found = {
            canvas.node: canvas
            for stage in self.wan_stages
            if stage.chain.tag.large
            for canvas in self.canvases_of(stage)
        }
        return tuple(found.values())

    @lazy
    def playbacks(self) -> tuple[Playback, ...]:
        """Every node that gives frames a rate."""
        return pictures.playbacks(self.read)

    @lazy
    def upscalers(self) -> dict[str, Upscaler]:
        """Every SeedVR2 upscaler, by its node."""
        return upscalers.find(self.read)

    def canvas_of(self, trail: Trail) -> Canvas | None:
        """Find the canvas of the clip that a trail ends in."""
        stage = self.stages.get(trail.sampler or "")
        seen: set[str] = set()
        while stage is not None and stage.node not in seen:
            seen.add(stage.node)
            if found := self.canvases_of(stage):
                return found[0]
            stage = self.stages.get(stage.previous or "")
        return None

    @lazy
    def vaes(self) -> dict[str, frozenset[str]]:
        """The samplers that each VAE encodes or decodes for."""
        users: dict[str, set[str]] = {node_id: set() for node_id in self.read.of(*VAES)}
        for stage in self.stages.values():
            for node_id in self.near(stage, *VAES):
                users[node_id].add(stage.node)
        for decoder in self.read.of(*DECODERS):
            vae = self.read.source(decoder, "vae")
            sampler = pictures.sampler_of(self.read, decoder)
            if vae is not None and vae.node in users and sampler is not None:
                users[vae.node].add(sampler)
        return {node_id: frozenset(found) for node_id, found in users.items()}


def _options(item: Input) -> tuple[Option, ...] | None:
    """Give the options that are the same on every host; no one here knows what files one has."""
    return None if item.files else item.options
