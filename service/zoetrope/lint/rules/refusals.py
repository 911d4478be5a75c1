"""W, second half: what WanVideoWrapper's loader and samplers refuse."""

from __future__ import annotations

from collections.abc import Iterator

from ..chains import LONGEST, Lora, selected
from ..classes import WRAPPER_EMBEDS
from ..findings import Hit, Put, quote
from ..graph_view import GraphView
from ..registry import rule
from ..subject import Subject

#: Nodes that add modules to the loader's weights, with the input that names the file.
_EXTRAS = {"WanVideoVACEModelSelect": "vace_model", "WanVideoExtraModelSelect": "extra_model"}

#: Nodes that hold a schedule of their own, and hand it to a sampler.
_SCHEDULERS = ("WanVideoScheduler", "WanVideoSchedulerv2")

#: Embeds for a clip that a sampler makes in a loop, window after window.
_MULTITALK = frozenset({"WanVideoImageToVideoMultiTalk", "WanVideoImageToVideoSkyreelsv3_audio"})

_DISTILLED_STEPS = 4


@rule(
    "W010",
    "error",
    title="scaled type for a file without scales",
    why="The wrapper's `_scaled` types read a scale for every weight, and the loader fails if"
    " there is none.",
    fix="Use the type without `_scaled`, or load the scaled file.",
    source="WanVideoWrapper nodes_model_loading.py: loadmodel",
)
def scaled_kind_without_scales(subject: Subject) -> Iterator[Hit]:
    """Find the wrapper's scaled kinds for files whose names say that they are not scaled."""
    for weights in subject.weights:
        if subject.read.class_of(weights.node) != "WanVideoModelLoader" or weights.tag.scaled:
            continue
        kind = subject.read.text(weights.node, "quantization") or ""
        unquantised = weights.tag.unquantised
        if "scaled" not in kind or not (unquantised or "fp8" in weights.tag.quantisation):
            continue
        put = (Put(weights.node, "quantization", kind.replace("_scaled", "")),)
        yield Hit(
            node=weights.node,
            input="quantization",
            found=f"quantization = {quote(kind)} for {quote(weights.tag.name)}",
            # A file in fp8 may have scales that its name is silent of.
            severity=None if unquantised else "warn",
            changes=put,
        )


@rule(
    "W011",
    "error",
    title="LoRA to be merged after loading",
    why="WanVideoSetLoRAs adds LoRAs while the model runs and cannot merge any: it fails where"
    " the last of them is to be merged.",
    fix="Set merge_loras to false, or give the LoRAs to the loader.",
    source="WanVideoWrapper nodes_model_loading.py: setlora",
)
def merged_late(subject: Subject) -> Iterator[Hit]:
    """Find merge_loras on the LoRA that WanVideoSetLoRAs asks."""
    for node_id in subject.read.of("WanVideoSetLoRAs"):
        lora = _last(subject.read, node_id)
        # A node that no one knows may have put another LoRA after it.
        if lora is not None and lora.merged and not subject.strangers:
            put = (Put(lora.node, "merge_loras", False),)
            found = f"merge_loras = true, and {node_id} merges nothing"
            yield Hit(node=lora.node, input="merge_loras", found=found, changes=put)


def _last(view: GraphView, node_id: str) -> Lora | None:
    """Give the LoRA that comes last in a list, without those of no strength; None if it is not certain."""
    for lora in selected(view, node_id):
        if lora.listed:
            return lora
        if not lora.tag.name or lora.strength is None:
            break
    return None


@rule(
    "W012",
    "error",
    title="GGUF together with another file type",
    why="The loader joins the tensors of the model and of its extensions, such as VACE: it"
    " fails unless both are GGUF or neither is.",
    fix="Load the model and the extra model in the same file type.",
    source="WanVideoWrapper nodes_model_loading.py: loadmodel",
)
def mixed_files(subject: Subject) -> Iterator[Hit]:
    """Find extra models for the wrapper's loader of which one is GGUF and the model is not, or the reverse."""
    for node_id in subject.read.of("WanVideoModelLoader"):
        model = subject.read.text(node_id, "model")
        for extra, name in _extras(subject.read, node_id) if model else ():
            file = subject.read.text(extra, name)
            if model and file and file.endswith(".gguf") != model.endswith(".gguf"):
                found = f"{name} = {quote(file)} with {quote(model)}"
                yield Hit(node=extra, input=name, found=found)


def _extras(view: GraphView, node_id: str) -> Iterator[tuple[str, str]]:
    """List the nodes that add modules to a loader's weights, with the input that names the file."""
    link = view.source(node_id, "extra_model")
    seen: set[str] = set()
    while link is not None and link.node not in seen and len(seen) < LONGEST:
        seen.add(link.node)
        if name := _EXTRAS.get(view.class_of(link.node)):
            yield link.node, name
        link = view.source(link.node, "prev_model")


@rule(
    "W013",
    "error",
    title="encoded picture for text-to-video weights",
    why="Text-to-video weights have 16 channels and none for a picture: the wrapper's sampler"
    " fails.",
    fix="Load image-to-video weights, or use WanVideoEmptyEmbeds.",
    source="WanVideoWrapper nodes_sampler.py: process",
)
def picture_for_text(subject: Subject) -> Iterator[Hit]:
    """Find the wrapper's picture embeds before samplers with t2v weights."""
    for stage in subject.wan_stages:
        if stage.runtime == "wrapper" and stage.chain.tag.task == "t2v":
            link = subject.read.source(stage.node, "image_embeds")
            if (
                link is not None
                and subject.read.class_of(link.node) == "WanVideoImageToVideoEncode"
            ):
                yield Hit(node=link.node, found=f"it feeds {quote(stage.chain.tag.name)}")


@rule(
    "W014",
    "error",
    title="stage that ends where it begins",
    why="There is no step between start_step and end_step, and the wrapper fails when it"
    " computes the schedule.",
    fix="Set end_step after start_step, or to -1 for all remaining steps.",
    source="WanVideoWrapper wanvideo/schedulers: get_scheduler",
)
def no_steps(subject: Subject) -> Iterator[Hit]:
    """Find the wrapper's schedules whose end is not after their start."""
    for node_id in _scheduling(subject.read):
        # With a denoise below 1 the sampler takes another start than the one that is written.
        if subject.read.class_of(node_id) == "WanVideoSampler" and (
            subject.read.number(node_id, "denoise_strength") != 1
        ):
            continue
        start = subject.read.whole(node_id, "start_step")
        end = subject.read.whole(node_id, "end_step")
        if start is not None and end is not None and 0 <= end <= start:
            found = f"start_step = {start}, end_step = {end}"
            yield Hit(node=node_id, input="end_step", found=found)


@rule(
    "W015",
    "error",
    title="flowmatch_distill with other than four steps",
    why="The schedule is a list of four steps, and the wrapper fails for any other number.",
    fix="Set 4 steps, or use another scheduler.",
    source="WanVideoWrapper wanvideo/schedulers: get_scheduler",
)
def not_four_steps(subject: Subject) -> Iterator[Hit]:
    """Find the schedule for four steps with another number of them."""
    for node_id in _scheduling(subject.read):
        steps = subject.read.whole(node_id, "steps")
        distilled = subject.read.text(node_id, "scheduler") == "flowmatch_distill"
        if distilled and steps not in {None, _DISTILLED_STEPS}:
            found = f"steps = {quote(steps)} with flowmatch_distill"
            yield Hit(node=node_id, input="steps", found=found)


def _scheduling(view: GraphView) -> Iterator[str]:
    """List the nodes that make a schedule from their own inputs."""
    for node_id in view.of("WanVideoSampler", *_SCHEDULERS):
        # A sampler that is given a schedule makes none; MultiTalk's has steps of its own.
        if view.text(node_id, "scheduler") not in {None, "multitalk"}:
            yield node_id


@rule(
    "W016",
    "error",
    title="MultiTalk scheduler and loop in the wrong combination",
    why="The scheduler multitalk is only for that loop, which makes its own windows: the"
    " wrapper fails for the scheduler without the loop, and for context windows with it.",
    fix="Use another scheduler, or remove context_options.",
    source="WanVideoWrapper nodes_sampler.py: process",
)
def not_of_the_loop(subject: Subject) -> Iterator[Hit]:
    """Find the scheduler multitalk outside MultiTalk's loop, and context windows inside it."""
    for node_id in subject.read.of(*_SCHEDULERS):
        if subject.read.text(node_id, "scheduler") == "multitalk":
            yield _other_scheduler(node_id, f"{node_id} cannot compute its schedule")
    for node_id in subject.read.of("WanVideoSampler"):
        link = subject.read.source(node_id, "image_embeds")
        embeds = subject.read.class_of(link.node) if link is not None else ""
        multitalk = subject.read.text(node_id, "scheduler") == "multitalk"
        if multitalk and embeds in WRAPPER_EMBEDS:
            yield _other_scheduler(node_id, f"scheduler = 'multitalk' with {embeds}")
        if embeds in _MULTITALK and subject.read.linked(node_id, "context_options"):
            found = f"context_options with {embeds}"
            yield Hit(node=node_id, input="context_options", found=found)


def _other_scheduler(node_id: str, found: str) -> Hit:
    return Hit(node=node_id, input="scheduler", found=found)
