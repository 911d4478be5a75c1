"""M: whether the files belong together, and to the nodes that use them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ...graphs.loaders import LOADERS
from ..chains import quantisation
from ..classes import FROM_PICTURE, VAES, WEIGHTS, WRAPPER_TEXT_ENCODERS
from ..filenames import tag
from ..findings import DropInput, Hit, Put, SwapNode, quote
from ..registry import rule
from ..subject import Subject

_OTHER = {"high": "low", "low": "high"}
_VAE22 = re.compile(r"wan_?2_?2_vae")
_VAE21 = re.compile(r"wan_?2_?1_vae")
_WRAPPERS_ENCODER = re.compile(r"umt5.*enc_(?:bf16|fp8)")


@rule(
    "M001",
    "error",
    title="one expert of the pair is missing",
    why="WAN 2.2 14B is two models: the high-noise expert generates motion and composition, the"
    " low-noise expert the detail. One alone gives noise or blur.",
    fix="Load the other expert as well, and sample with both.",
    source="hero document; official template",
)
def one_expert(subject: Subject) -> Iterator[Hit]:
    """Find loaders of an expert whose counterpart is not loaded."""
    # A model whose file is not known may be the one that is missed.
    chains = [stage.chain for stage in subject.stages.values()]
    if any(not chain.tag.name and not chain.dangling for chain in chains):
        return
    experts = {weights.tag.expert for weights in subject.weights if weights.tag.wan}
    for weights in subject.weights:
        other = _OTHER.get(weights.tag.expert)
        if other and weights.tag.family == "wan2.2" and other not in experts:
            found = f"{quote(weights.tag.name)}, and no {other}-noise expert"
            yield Hit(node=weights.node, input=weights.input, found=found)


@rule(
    "M002",
    "error",
    title="VAE of the other model",
    why="14B weights use the latents of wan_2.1_vae, the 5B weights those of wan2.2_vae; the"
    " wrong VAE ends in a channel mismatch or in garbage.",
    fix="Use wan_2.1_vae with 14B and wan2.2_vae with 5B.",
    source="Wan-Video/Wan2.2 configuration files",
)
def wrong_vae(subject: Subject) -> Iterator[Hit]:
    """Find VAEs that work for samplers of the other size."""
    for node_id, users in subject.vaes.items():
        name = VAES[subject.read.class_of(node_id)]
        file = subject.read.text(node_id, name) or ""
        plain = tag(file).plain
        sizes = {subject.stages[user].chain.tag.size for user in users if subject.stages[user].wan}
        wrong = "14b" if _VAE22.search(plain) else "5b" if _VAE21.search(plain) else ""
        if wrong in sizes:
            right = "wan_2.1_vae.safetensors" if wrong == "14b" else "wan2.2_vae.safetensors"
            yield Hit(
                node=node_id,
                input=name,
                found=f"{quote(file)} with {wrong.upper()} weights",
                fix=f"Load {right}.",
                changes=(Put(node_id, name, right),),
            )


@rule(
    "M003",
    "error",
    title="latent of the 5B model with 14B weights",
    why="Wan22ImageToVideoLatent makes latents of 48 channels at a sixteenth of the size; 14B"
    " weights need 16 channels at an eighth.",
    fix="Use WanImageToVideo.",
    source="ComfyUI nodes_wan.py",
)
def latent_of_5b(subject: Subject) -> Iterator[Hit]:
    """Find the 5B model's latent node above a sampler with 14B weights."""
    for stage in subject.wan_stages:
        if stage.chain.tag.large:
            for node_id in subject.near(stage, "Wan22ImageToVideoLatent"):
                yield Hit(node=node_id, found=f"it feeds {quote(stage.chain.tag.name)}")


@rule(
    "M004",
    "error",
    title="control node without control weights",
    why="Without fun_control weights the core keeps only the channels of the control video: the"
    " start picture is dropped silently, and the mask ends up in the wrong channel.",
    fix="Use WanImageToVideo, or load fun_control weights.",
    source="ComfyUI model_base.py, nodes_wan.py",
)
def control_without_weights(subject: Subject) -> Iterator[Hit]:
    """Find Wan22FunControlToVideo above a sampler whose weights are not fun_control."""
    for stage in subject.wan_stages:
        if stage.chain.tag.task == "fun_control":
            continue
        for node_id in subject.near(stage, "Wan22FunControlToVideo"):
            yield Hit(
                node=node_id,
                found=f"it feeds {quote(stage.chain.tag.name)}",
                changes=(SwapNode(node_id, "WanImageToVideo", _picture_inputs(subject, node_id)),),
            )


def _picture_inputs(subject: Subject, node_id: str) -> dict[str, object]:
    """Keep what WanImageToVideo has too; the reference picture becomes its start picture."""
    signature = subject.catalog.get("WanImageToVideo")
    known = signature.inputs if signature else {}
    inputs = subject.nodes[node_id].inputs
    kept = {name: value for name, value in inputs.items() if name in known}
    if "start_image" not in kept and "ref_image" in inputs:
        kept["start_image"] = inputs["ref_image"]
    return kept


@rule(
    "M005",
    "error",
    title="weights for another task",
    why="Text-to-video weights silently ignore a start picture; image-to-video weights without"
    " a picture get zeros for it.",
    fix="Load weights for the task of the nodes.",
    source="kijai/ComfyUI-WanVideoWrapper #1341",
)
def other_task(subject: Subject) -> Iterator[Hit]:
    """Find picture nodes with t2v weights, and empty latents with i2v weights."""
    for stage in subject.wan_stages:
        pictures = list(subject.near(stage, *FROM_PICTURE))
        file = quote(stage.chain.tag.name)
        if stage.chain.tag.task == "t2v":
            for node_id in pictures:
                yield Hit(node=node_id, found=f"a start picture for {file}")
        latent = stage.latent.node if stage.latent else ""
        empty = latent and subject.read.class_of(latent) == "EmptyHunyuanLatentVideo"
        if stage.chain.tag.task == "i2v" and empty and not pictures:
            yield Hit(node=latent, found=f"no picture for {file}")


@rule(
    "M006",
    "error",
    title="wrong text encoder",
    why="WAN only works with the text encoder umt5-xxl, loaded with the type wan.",
    fix="Load umt5_xxl_fp8_e4m3fn_scaled.safetensors with the type wan.",
    source="ComfyUI nodes.py: CLIPLoader",
)
def wrong_text_encoder(subject: Subject) -> Iterator[Hit]:
    """Find text encoders of other models behind a WAN sampler's prompts."""
    for stage in subject.wan_stages:
        for node_id in subject.near(stage, "CLIPLoader", "CLIPLoaderGGUF"):
            kind = subject.read.text(node_id, "type")
            file = subject.read.text(node_id, "clip_name")
            if kind is not None and kind != "wan":
                put = (Put(node_id, "type", "wan"),)
                yield Hit(node=node_id, input="type", found=f"type = {quote(kind)}", changes=put)
            if file is not None and "umt5" not in tag(file).plain:
                found = f"clip_name = {quote(file)}"
                yield Hit(node=node_id, input="clip_name", found=found)


@rule(
    "M007",
    "error",
    title="text encoder file of the other runtime",
    why="The wrapper's umt5-xxl-enc-* files and the core's umt5_xxl_* files name their tensors"
    " differently; each runtime only reads its own.",
    fix="Core: umt5_xxl_*; WanVideoWrapper: umt5-xxl-enc-*.",
    source="community notes on umt5-xxl-enc files",
)
def text_encoder_of_other_runtime(subject: Subject) -> Iterator[Hit]:
    """Find the wrapper's encoder files in the core's loader, and the reverse."""
    for node_id in subject.read.of("CLIPLoader"):
        file = subject.read.text(node_id, "clip_name")
        if file is not None and _WRAPPERS_ENCODER.search(tag(file).plain):
            yield Hit(node=node_id, input="clip_name", found=f"clip_name = {quote(file)}")
    for node_id in subject.read.of(*WRAPPER_TEXT_ENCODERS):
        file = subject.read.text(node_id, "model_name")
        if file is not None and "enc" not in file.lower():
            yield Hit(node=node_id, input="model_name", found=f"model_name = {quote(file)}")


@rule(
    "M008",
    "error",
    title="scaled fp8 file in the GGUF loader",
    why="CLIPLoaderGGUF rejects files with scaled fp8 weights.",
    fix="Load the file with CLIPLoader.",
    source="city96/ComfyUI-GGUF nodes.py",
)
def scaled_in_gguf_loader(subject: Subject) -> Iterator[Hit]:
    """Find scaled fp8 text encoders in CLIPLoaderGGUF."""
    for node_id in subject.read.of("CLIPLoaderGGUF"):
        file = subject.read.text(node_id, "clip_name") or ""
        if tag(file).scaled and "fp8" in tag(file).plain:
            kept = {**subject.nodes[node_id].inputs}
            yield Hit(
                node=node_id,
                input="clip_name",
                found=f"clip_name = {quote(file)}",
                changes=(SwapNode(node_id, "CLIPLoader", kept),),
            )


@rule(
    "M009",
    "error",
    title="model that this host denies",
    why="The operator of this host denies these weights: all-in-one merges, and WAN 2.1.",
    fix="Load an allowed model, or ask the operator to change the list.",
    source="host guide: only WAN 2.2, no rapid merges",
)
def denied_model(subject: Subject) -> Iterator[Hit]:
    """Find diffusion weights and LoRAs that the host denies."""
    denied = [re.compile(pattern) for pattern in subject.host.denied_models]
    named = [(w.node, w.input, w.tag) for w in subject.weights]
    for stage in subject.stages.values():
        named += [(lora.node, lora.input, lora.tag) for lora in stage.chain.loras]
    for node_id, name, file in named:
        is_lora = subject.read.class_of(node_id) not in WEIGHTS
        # What a LoRA of WAN 2.1 does to 2.2 is for another rule to say.
        if is_lora and file.family == "wan2.1":
            continue
        if any(pattern.search(file.plain) for pattern in denied):
            yield Hit(node=node_id, input=name, found=f"{name} = {quote(file.name)}")


@rule(
    "M010",
    "warn",
    title="file that is not in the catalogue",
    why="Its size and hash are not in the catalogue of models, so a broken or changed file"
    " would not be noticed.",
    fix="Add the file with its size and hash to the models of this host.",
    source="models.toml",
)
def unpinned_file(subject: Subject) -> Iterator[Hit]:
    """Find model files without a known size and hash."""
    pinned = subject.context.pinned
    if pinned is None:
        return
    for node_id in subject.read.of(*LOADERS):
        loader = LOADERS[subject.read.class_of(node_id)]
        file = subject.read.text(node_id, loader.input)
        if file and f"{loader.folder}/{file}" not in pinned:
            yield Hit(node=node_id, input=loader.input, found=f"{loader.input} = {quote(file)}")


@rule(
    "M011",
    "warn",
    title="experts with different quantisation",
    why="Quantisation losses differ, so the look of the clip changes at the handover between"
    " the experts.",
    fix="Load both experts with the same quantisation.",
    source="community notes on mixed quantisation",
)
def mixed_quantisation(subject: Subject) -> Iterator[Hit]:
    """Find pairs of experts that are not quantised alike."""
    for first, second in subject.handoffs:
        kinds = [quantisation(subject.read, stage.chain) for stage in (first, second)]
        if all(kinds) and kinds[0] != kinds[1]:
            node_id = second.chain.loader or second.node
            yield Hit(node=node_id, found=f"{kinds[0]} hands over to {kinds[1]}")


@rule(
    "M012",
    "warn",
    title="quantised twice, or in the worst format",
    why="Weights that are already scaled lose precision again when they are cast; fp8_e5m2"
    " without scales loses the most.",
    fix="Leave the conversion at its default and load a scaled file.",
    source="community notes on fp8 kinds",
)
def quantised_twice(subject: Subject) -> Iterator[Hit]:
    """Find conversions of scaled files, and fp8_e5m2."""
    for weights in subject.weights:
        wrapper = subject.read.class_of(weights.node) == "WanVideoModelLoader"
        name, default = ("quantization", "disabled") if wrapper else ("weight_dtype", "default")
        chosen = subject.read.text(weights.node, name) or default
        # The wrapper appends `_scaled` to the kind of a scaled file by itself, and casts nothing.
        kept = wrapper and weights.tag.scaled
        twice = weights.tag.scaled and chosen != default
        if "scaled" not in chosen and not kept and (twice or "e5m2" in chosen):
            yield Hit(
                node=weights.node,
                input=name,
                found=f"{name} = {quote(chosen)} for {quote(weights.tag.name)}",
                changes=(Put(weights.node, name, default),),
            )
        elif weights.tag.quantisation == "fp8_e5m2" and not weights.tag.scaled:
            found = f"{weights.input} = {quote(weights.tag.name)}"
            yield Hit(node=weights.node, input=weights.input, found=found)


@rule(
    "M013",
    "info",
    title="CLIP vision that is not used",
    why="WAN 2.2 does not attend to the embedding of a picture: the input changes nothing and"
    " costs memory.",
    fix="Remove the CLIP vision input.",
    source="official template; kijai/ComfyUI-WanVideoWrapper #889, #1710",
)
def unused_clip_vision(subject: Subject) -> Iterator[Hit]:
    """Find CLIP vision outputs that go to WAN 2.2 image-to-video weights."""
    for stage in subject.wan_stages:
        if (stage.chain.tag.family, stage.chain.tag.task) != ("wan2.2", "i2v"):
            continue
        for node_id in subject.near(stage, *FROM_PICTURE):
            for name, _ in subject.read.links(node_id):
                if name.startswith("clip_vision"):
                    drop = (DropInput(node_id, name),)
                    yield Hit(node=node_id, input=name, found=f"{name} is linked", changes=drop)


@rule(
    "M014",
    "warn",
    title="two runtimes in one clip",
    why="WanVideoWrapper uses black for an empty picture and the core uses gray, and their"
    " masks are inverted: one misreads what the other prepares.",
    fix="Stay in one runtime from the picture to the decoded frames.",
    source="community notes on null pictures",
)
def mixed_runtimes(subject: Subject) -> Iterator[Hit]:
    """Find what one runtime prepares the input of the other's sampler, and samplers of both that are joined."""
    for stage in subject.stages.values():
        for node_id in sorted(subject.around(stage)):
            class_type = subject.read.class_of(node_id)
            if stage.runtime == "wrapper":
                foreign = class_type in FROM_PICTURE
            else:
                signature = subject.catalog.get(class_type)
                outputs = signature.outputs if signature else ()
                foreign = "WANVIDIMAGE_EMBEDS" in outputs or class_type == "WanVideoEncode"
            if foreign:
                yield Hit(
                    node=node_id, found=f"{class_type} prepares the input of {stage.class_type}"
                )
    for first, second in subject.pairs:
        if (first.runtime == "wrapper") != (second.runtime == "wrapper"):
            found = f"{second.class_type} continues with the latent of {first.class_type}"
            yield Hit(node=second.node, found=found)
