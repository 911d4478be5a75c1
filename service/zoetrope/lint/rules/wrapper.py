"""W, first half: WanVideoWrapper's own traps, and VACE."""

from __future__ import annotations

from collections.abc import Iterator

from ..chains import selected
from ..findings import Hit, Put, quote
from ..registry import rule
from ..subject import Subject

#: Compute capability times ten from which on a GPU multiplies in fp8.
_FP8_CARD = 89

#: Where the wrapper scales a picture's latent, with the picture's input.
_STRENGTHS = (
    ("WanVideoImageToVideoEncode", "start_latent_strength", "start_image"),
    ("WanVideoImageToVideoEncode", "end_latent_strength", "end_image"),
    ("WanVideoEncode", "latent_strength", "image"),
    ("WanVideoImageClipEncode", "latent_strength", "image"),
)


@rule(
    "W001",
    "warn",
    title="VACE on image-to-video weights",
    why="VACE is an extension of text-to-video weights; on image-to-video weights it breaks the"
    " picture.",
    fix="Load text-to-video weights with VACE, or remove VACE.",
    source="community notes on VACE",
)
def vace_on_i2v(subject: Subject) -> Iterator[Hit]:
    """Find VACE's conditioning before samplers with i2v weights."""
    for stage in subject.wan_stages:
        if stage.chain.tag.task == "i2v":
            for node_id in subject.near(stage, "WanVaceToVideo", "WanVideoVACEEncode"):
                yield Hit(node=node_id, found=f"it feeds {quote(stage.chain.tag.name)}")


@rule(
    "W002",
    "error",
    title="empty embeds for image-to-video weights",
    why="WanVideoEmptyEmbeds has 16 channels and no picture; image-to-video weights need 36.",
    fix="Use WanVideoImageToVideoEncode.",
    source="community notes; kijai/ComfyUI-WanVideoWrapper #1341",
)
def empty_embeds(subject: Subject) -> Iterator[Hit]:
    """Find the wrapper's empty embeds before samplers with i2v weights."""
    for stage in subject.wan_stages:
        if stage.runtime == "wrapper" and stage.chain.tag.task == "i2v":
            link = subject.read.source(stage.node, "image_embeds")
            if link is not None and subject.read.class_of(link.node) == "WanVideoEmptyEmbeds":
                yield Hit(node=link.node, found=f"it feeds {quote(stage.chain.tag.name)}")


@rule(
    "W003",
    "error",
    title="denoise and start_step together",
    why="The wrapper's denoise is an alias of start_step; with both it fails.",
    fix="Set start_step, and leave denoise_strength at 1.",
    source="community notes; WanVideoWrapper sampler",
)
def two_starts(subject: Subject) -> Iterator[Hit]:
    """Find the wrapper's sampler with a denoise below 1 and a start step."""
    for stage in subject.stages.values():
        if stage.runtime != "wrapper" or stage.denoise is None or not stage.start:
            continue
        if stage.denoise < 1 and stage.start > 0:
            put = (Put(stage.node, "denoise_strength", 1.0),)
            found = f"denoise_strength = {quote(stage.denoise)}, start_step = {stage.start}"
            yield Hit(node=stage.node, input="denoise_strength", found=found, changes=put)


@rule(
    "W004",
    "info",
    title="PyTorch's norm in a compiled model",
    why="rms_norm_function pytorch saves time without compilation; compilation has the same"
    " gain, and the results change a little.",
    fix="Leave rms_norm_function at default, or do not compile.",
    source="community notes on rms_norm_function",
)
def idle_norm(subject: Subject) -> Iterator[Hit]:
    """Find the wrapper's loader with PyTorch's norm and with compilation."""
    for node_id in subject.read.of("WanVideoModelLoader"):
        compiled = subject.read.source(node_id, "compile_args") is not None
        if compiled and subject.read.text(node_id, "rms_norm_function") == "pytorch":
            put = (Put(node_id, "rms_norm_function", "default"),)
            found = "rms_norm_function = 'pytorch' with compile_args"
            yield Hit(node=node_id, input="rms_norm_function", found=found, changes=put)


@rule(
    "W005",
    "error",
    title="fp8 products on a GPU without fp8",
    why="The wrapper's `_fast` types multiply in fp8, which GPUs before compute capability 8.9"
    " cannot.",
    fix="Use the type without `_fast`.",
    source="community notes on fp8_fast; WanVideoWrapper nodes_model_loading.py",
)
def fast_on_older_card(subject: Subject) -> Iterator[Hit]:
    """Find `_fast` quantisation on hosts whose GPU is known to be older."""
    compute = subject.host.compute
    if compute is None or compute >= _FP8_CARD:
        return
    for node_id, kind in _fast(subject):
        found = f"quantization = {quote(kind)} on {subject.host.architecture}"
        yield _slower(node_id, kind, found)


@rule(
    "W006",
    "error",
    title="fp8 products with unmerged LoRAs",
    why="The `_fast` types replace the layers that an unmerged LoRA is added to: the wrapper"
    " fails on loading or before the first step.",
    fix="Give the LoRAs to the loader with merge_loras, or use the type without `_fast`.",
    source="community notes on fp8_fast; kijai/ComfyUI-WanVideoWrapper #1027",
)
def fast_unmerged(subject: Subject) -> Iterator[Hit]:
    """Find `_fast` quantisation under LoRAs that are not merged into the weights."""
    fast = dict(_fast(subject))
    for node_id, kind in fast.items():
        merged = [lora.merged for lora in selected(subject.read, node_id)]
        # One LoRA that is to be merged has the loader merge them all; a strange node may add one.
        if merged and all(flag is False for flag in merged) and not subject.strangers:
            yield _slower(node_id, kind, f"quantization = {quote(kind)}, and merge_loras is false")
    for stage in subject.stages.values():
        loader = stage.chain.loader
        for node_id in stage.chain.nodes if loader in fast else ():
            late = subject.read.class_of(node_id) == "WanVideoSetLoRAs"
            if loader and late and any(selected(subject.read, node_id)):
                found = f"quantization = {quote(fast[loader])}, and {node_id} merges nothing"
                yield _slower(loader, fast[loader], found)


def _fast(subject: Subject) -> Iterator[tuple[str, str]]:
    """List the loaders that are to multiply in fp8, each with the kind of quantisation."""
    for node_id in subject.read.of("WanVideoModelLoader"):
        kind = subject.read.text(node_id, "quantization") or ""
        if kind.endswith("_fast"):
            yield node_id, kind


def _slower(node_id: str, kind: str, found: str) -> Hit:
    put = (Put(node_id, "quantization", kind.removesuffix("_fast")),)
    return Hit(node=node_id, input="quantization", found=found, changes=put)


@rule(
    "W007",
    "info",
    title="weights quantised on loading",
    why="It is a workaround: the whole large file is read each time, cast slowly, and without"
    " the scales of an fp8 file.",
    fix="Load the scaled fp8 file or a GGUF file, or disable quantization and swap more blocks.",
    source="community notes on quantization",
)
def quantised_at_load(subject: Subject) -> Iterator[Hit]:
    """Find the wrapper's loader casting files of 16 or 32 bits to fp8."""
    for weights in subject.weights:
        if subject.read.class_of(weights.node) != "WanVideoModelLoader":
            continue
        kind = subject.read.text(weights.node, "quantization") or "disabled"
        # The scaled kinds are for scaled files alone; the loader rejects them for any other.
        if kind == "disabled" or "scaled" in kind:
            continue
        if weights.tag.unquantised:
            found = f"quantization = {quote(kind)} for {quote(weights.tag.name)}"
            yield Hit(node=weights.node, input="quantization", found=found)


@rule(
    "W008",
    "info",
    title="picture's latent scaled",
    why="The strength scales the latent of the picture: a lower one follows the picture less,"
    " and above 1 the weights get a latent that they were not trained on.",
    fix="Unless this is intended, use 1.0.",
    source="community notes on latent_strength",
)
def scaled_latent(subject: Subject) -> Iterator[Hit]:
    """Find pictures that the wrapper encodes with a strength other than 1."""
    for class_type, name, picture in _STRENGTHS:
        for node_id in subject.read.of(class_type):
            strength = subject.read.number(node_id, name)
            if strength not in {None, 1} and subject.read.linked(node_id, picture):
                yield Hit(node=node_id, input=name, found=f"{name} = {quote(strength)}")


@rule(
    "W009",
    "info",
    title="quantisation type set for a scaled file",
    why="It has no effect: the loader finds the file's scales, appends `_scaled` to the type by"
    " itself and keeps the weights as they are, so nothing is quantised twice. The notes"
    " still ask for disabled.",
    fix="Disable quantization, which detects the type by itself; for products in fp8 use"
    " `_scaled_fast`.",
    source="community notes on quantization; WanVideoWrapper nodes_model_loading.py: loadmodel",
)
def kind_for_scaled(subject: Subject) -> Iterator[Hit]:
    """Find the wrapper's plain kinds for files that are scaled already."""
    for weights in subject.weights:
        if subject.read.class_of(weights.node) != "WanVideoModelLoader":
            continue
        kind = subject.read.text(weights.node, "quantization") or "disabled"
        # The loader rejects every kind for GGUF, which another rule tells of.
        if not weights.tag.scaled or weights.tag.gguf or kind == "disabled" or "scaled" in kind:
            continue
        fast = kind.endswith("_fast")
        same = kind.replace("_fast", "_scaled_fast") if fast else "disabled"
        yield Hit(
            node=weights.node,
            input="quantization",
            found=f"quantization = {quote(kind)} for {quote(weights.tag.name)}",
            changes=(Put(weights.node, "quantization", same),),
        )
