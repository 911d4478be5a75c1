"""The sampling stages of a graph: what each runs with, where that is written, and which follows which."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, Literal

import msgspec

from ..graphs.document import Link
from .chains import Chain, ChainNodes, walk
from .graph_view import GraphView, as_number
from .sigma import DEFAULT_SHIFT

Runtime = Literal["core", "res4lyf", "wrapper"]
Place = tuple[str, str]

#: No more nodes than this are looked at around one sampler.
REACH = 500

#: Longer rows of chained samplers are not followed back.
_LONGEST_CHAIN = 16

_KSAMPLER = {"cfg": "cfg", "steps": "steps", "sampler": "sampler_name", "scheduler": "scheduler"}


class SamplerKind(msgspec.Struct, frozen=True):
    """One class of samplers: its runtime, its latent input, and where its settings are written."""

    runtime: Runtime
    latent: str
    settings: Mapping[str, str]


KINDS: Final[Mapping[str, SamplerKind]] = {
    "KSampler": SamplerKind("core", "latent_image", {**_KSAMPLER, "denoise": "denoise"}),
    "KSamplerAdvanced": SamplerKind(
        "core",
        "latent_image",
        {
            **_KSAMPLER,
            "start": "start_at_step",
            "end": "end_at_step",
            "noise": "add_noise",
            "leftover": "return_with_leftover_noise",
        },
    ),
    "SamplerCustom": SamplerKind("core", "latent_image", {"cfg": "cfg"}),
    "SamplerCustomAdvanced": SamplerKind("core", "latent_image", {}),
    "ClownsharKSampler_Beta": SamplerKind(
        "res4lyf",
        "latent_image",
        {**_KSAMPLER, "denoise": "denoise", "run": "steps_to_run"},
    ),
    "ClownsharkChainsampler_Beta": SamplerKind(
        "res4lyf",
        "latent_image",
        {"cfg": "cfg", "sampler": "sampler_name", "run": "steps_to_run"},
    ),
    "SharkSampler_Beta": SamplerKind(
        "res4lyf",
        "latent_image",
        {"cfg": "cfg", "steps": "steps", "scheduler": "scheduler", "run": "steps_to_run"},
    ),
    "SharkChainsampler_Beta": SamplerKind(
        "res4lyf", "latent_image", {"cfg": "cfg", "run": "steps_to_run"}
    ),
    "WanVideoSampler": SamplerKind(
        "wrapper",
        "samples",
        {
            "cfg": "cfg",
            "steps": "steps",
            "scheduler": "scheduler",
            "sampler": "scheduler",
            "shift": "shift",
            "start": "start_step",
            "end": "end_step",
            "denoise": "denoise_strength",
        },
    ),
    "WanVideoSamplerv2": SamplerKind("wrapper", "samples", {"cfg": "cfg"}),
}


class SamplerStage(msgspec.Struct, frozen=True, kw_only=True):
    """One sampler; a setting that is not known or that it does not have is None."""

    node: str
    class_type: str
    runtime: Runtime
    chain: Chain
    places: dict[str, Place]
    model: Link | None
    previous: str | None = None  # the sampler whose latent it goes on with
    latent: Link | None = None  # the node that its latent comes from
    cfg: int | float | None = None
    steps: int | None = None
    start: int | None = None
    end: int | None = None
    run: int | None = None  # how many steps it is told to run; -1 means all
    denoise: int | float | None = None
    sampler: str = ""
    scheduler: str = ""
    noise: bool | None = None
    leftover: bool | None = None
    own_shift: int | float | None = None  # the wrapper's samplers have one of their own

    @property
    def wan(self) -> bool:
        """Whether its weights are of the WAN family, as far as their name tells."""
        return self.chain.tag.wan

    @property
    def expert(self) -> str:
        """Which expert of the pair it runs: high, low, or empty."""
        return self.chain.tag.expert

    @property
    def shift(self) -> int | float | None:
        """The flow shift it runs with: a node's, its own, or what ComfyUI gives to WAN."""
        if self.runtime == "wrapper":
            return self.own_shift
        if self.chain.shift_node is not None:
            return self.chain.shift
        return DEFAULT_SHIFT if self.wan and self.chain.whole else None

    @property
    def shift_place(self) -> Place | None:
        """Where its shift is written, if anywhere."""
        if self.chain.shift_node is not None and self.runtime != "wrapper":
            return self.chain.shift_node, "shift"
        return self.places.get("shift")

    @property
    def ran(self) -> int | None:
        """How many steps it really runs."""
        if self.run is not None and self.run >= 0:
            return self.run
        known = {"run": self.run, "start": self.start, "end": self.end, "steps": self.steps}
        if self.steps is None or any(known[key] is None for key in known.keys() & self.places):
            return None
        end = self.steps if self.end is None or self.end < 0 else min(self.end, self.steps)
        return max(0, end - (self.start or 0))

    def place(self, setting: str) -> Place:
        """Say where a setting is written."""
        return self.places.get(setting, (self.node, setting))


def find(view: GraphView) -> dict[str, SamplerStage]:
    """Read every sampler of a graph, each by its node."""
    chains: dict[Link | None, Chain] = {}
    known: ChainNodes = {}
    stages: dict[str, SamplerStage] = {}
    for node_id in view.of(*KINDS):
        stages[node_id] = _stage(view, node_id, chains, known)
    for node_id, stage in list(stages.items()):
        if stage.steps is None and "steps" not in stage.places:
            stages[node_id] = _continued(stage, stages)
    return stages


def around(view: GraphView, stage: SamplerStage) -> frozenset[str]:
    """List the nodes above a sampler that are neither its model nor above another sampler."""
    waiting = [
        link.node for name, link in view.links(stage.node) if name not in {"model", "guider"}
    ]
    guider = view.source(stage.node, "guider")
    if guider is not None:
        waiting += [link.node for name, link in view.links(guider.node) if name != "model"]
    seen: set[str] = set()
    while waiting and len(seen) < REACH:
        node_id = waiting.pop()
        if node_id in seen or view.class_of(node_id) in KINDS:
            continue
        seen.add(node_id)
        waiting += [link.node for name, link in view.links(node_id) if name != "model"]
    return frozenset(seen)


def before(view: GraphView, stage: SamplerStage, nodes: frozenset[str]) -> Iterator[str]:
    """List the samplers right above a sampler, by whatever way; `nodes` are those around it."""
    for node_id in (stage.node, *nodes):
        for name, link in view.links(node_id):
            if name != "model" and view.class_of(link.node) in KINDS:
                yield link.node


def _stage(
    view: GraphView, node_id: str, chains: dict[Link | None, Chain], known: ChainNodes
) -> SamplerStage:
    class_type = view.class_of(node_id)
    kind = KINDS[class_type]
    places: dict[str, Place] = {setting: (node_id, name) for setting, name in kind.settings.items()}
    places |= dict(_custom(view, node_id))
    holder = places.pop("model", (node_id, "model"))[0]
    model = view.source(holder, "model")
    chain = chains.get(model) if model is not None else None
    if chain is None:
        chain = chains[model] = walk(view, holder, known=known)
    latent = _latent(view, node_id, kind.latent)
    follows = latent is not None and view.class_of(latent.node) in KINDS

    def number(setting: str) -> int | float | None:
        return view.number(*places[setting]) if setting in places else None

    def whole(setting: str) -> int | None:
        found = number(setting)
        return None if found is None else int(found)

    def text(setting: str) -> str:
        return (view.text(*places[setting]) or "") if setting in places else ""

    def flag(setting: str) -> bool | None:
        return view.flag(*places[setting]) if setting in places else None

    return SamplerStage(
        node=node_id,
        class_type=class_type,
        runtime=kind.runtime,
        chain=chain,
        places=places,
        model=model,
        previous=latent.node if latent is not None and follows else None,
        latent=latent,
        cfg=number("cfg"),
        steps=whole("steps"),
        start=whole("start"),
        end=whole("end"),
        run=whole("run"),
        denoise=number("denoise"),
        sampler=text("sampler"),
        scheduler=text("scheduler"),
        noise=flag("noise"),
        leftover=flag("leftover"),
        own_shift=as_number(view.value(*places["shift"])) if "shift" in places else None,
    )


def _continued(stage: SamplerStage, stages: Mapping[str, SamplerStage]) -> SamplerStage:
    """Give a chained sampler the schedule that it goes on with, and the step it begins at."""
    before: list[SamplerStage] = []
    first = stages.get(stage.previous or "")
    while first is not None and len(before) < _LONGEST_CHAIN:
        before.append(first)
        if first.steps is not None or first.previous == stage.node:
            break
        first = stages.get(first.previous or "")
    if not before or before[-1].steps is None:
        return stage
    start = sum(other.ran or 0 for other in before)
    return msgspec.structs.replace(
        stage, steps=before[-1].steps, scheduler=before[-1].scheduler, start=start
    )


def _latent(view: GraphView, node_id: str, name: str) -> Link | None:
    """Find what a latent comes from, through nodes that only pass it on or resize it."""
    link = view.source(node_id, name)
    for _ in range(REACH):
        if link is None or view.class_of(link.node) in KINDS:
            return link
        signature = view.catalog.get(view.class_of(link.node))
        if signature is None or signature.outputs != ("LATENT",):
            return link
        names = [key for key, item in signature.inputs.items() if item.type == "LATENT"]
        if len(names) != 1 or not view.linked(link.node, names[0]):
            return link
        link = view.source(link.node, names[0])
    return None


def _custom(view: GraphView, node_id: str) -> Iterator[tuple[str, Place]]:
    """Find the settings that nodes before a custom sampler hold."""
    if (sampler := view.source(node_id, "sampler")) is not None:
        yield "sampler", (sampler.node, "sampler_name")
    sigmas = view.source(node_id, "sigmas")
    if sigmas is not None and view.class_of(sigmas.node) == "SplitSigmas":
        yield ("end" if sigmas.slot == 0 else "start"), (sigmas.node, "step")
        sigmas = view.source(sigmas.node, "sigmas")
    if sigmas is not None and view.class_of(sigmas.node) == "BasicScheduler":
        for setting in ("scheduler", "steps", "denoise"):
            yield setting, (sigmas.node, setting)
    schedule = view.source(node_id, "scheduler")
    if schedule is not None and view.class_of(schedule.node).startswith("WanVideoScheduler"):
        names = {"start": "start_step", "end": "end_step"}
        for setting in ("scheduler", "steps", "shift", "start", "end"):
            yield setting, (schedule.node, names.get(setting, setting))
    if (guider := view.source(node_id, "guider")) is not None:
        yield "model", (guider.node, "model")
        if view.class_of(guider.node) == "CFGGuider":
            yield "cfg", (guider.node, "cfg")
