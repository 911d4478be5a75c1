"""A: attention kernels, compilation, caches."""

from __future__ import annotations

from collections.abc import Iterator

from ..chains import Chain, selected
from ..classes import CACHES, COMPILERS, WRAPPER_CACHES
from ..findings import Hit, Put, quote
from ..registry import rule
from ..subject import Subject

#: Where SageAttention can be chosen, by class.
_SAGE_INPUTS = {
    "PathchSageAttentionKJ": "sage_attention",
    "DiffusionModelLoaderKJ": "sage_attention",
    "GGUFLoaderKJ": "attention_override",
    "WanVideoModelLoader": "attention_mode",
}
_SAGE_3 = ("sageattn3", "sageattn_3")
_FEW_STEPS = 8
_ROOMY_GB = 48


def _sage(subject: Subject, chain: Chain) -> bool:
    """Whether a node of the chain turns SageAttention on."""
    modes = (
        subject.read.text(node_id, _SAGE_INPUTS[class_type]) or ""
        for node_id in chain.nodes
        if (class_type := subject.read.class_of(node_id)) in _SAGE_INPUTS
    )
    return any(mode == "auto" or "sage" in mode for mode in modes)


@rule(
    "A001",
    "warn",
    title="SageAttention 3 on WAN 2.2",
    why="Its 4-bit attention leaves artifacts on WAN 2.2's experts, and it only runs on"
    " Blackwell GPUs.",
    fix="Use auto, or SageAttention 3 on the middle steps only.",
    source="Comfy-Org/ComfyUI #10076",
)
def four_bit_attention(subject: Subject) -> Iterator[Hit]:
    """Find SageAttention 3 in patches and loaders."""
    for class_type, name in _SAGE_INPUTS.items():
        for node_id in subject.read.of(class_type):
            mode = subject.read.text(node_id, name) or ""
            if mode.startswith(_SAGE_3):
                better = "sageattn" if class_type == "WanVideoModelLoader" else "auto"
                put = (Put(node_id, name, better),)
                yield Hit(node=node_id, input=name, found=f"{name} = {quote(mode)}", changes=put)


@rule(
    "A002",
    "info",
    title="SageAttention on one expert alone",
    why="The stages differ in speed and a little in look.",
    fix="Patch both models, or none.",
    source="lightning notes",
)
def half_patched(subject: Subject) -> Iterator[Hit]:
    """Find pairs in which one model alone has SageAttention."""
    if subject.host.everywhere_sage:
        return
    for first, second in subject.handoffs:
        patched = [stage for stage in (first, second) if _sage(subject, stage.chain)]
        if len(patched) == 1:
            found = f"only {patched[0].node} samples with SageAttention"
            yield Hit(node=patched[0].node, input="model", found=found)


@rule(
    "A003",
    "warn",
    title="SageAttention, compilation and half-precision accumulation together",
    why="Each works alone; all three together are known to give pure noise.",
    fix="Remove one of them.",
    source="Comfy-Org/ComfyUI #8689; thu-ml/SageAttention #162",
)
def noisy_trio(subject: Subject) -> Iterator[Hit]:
    """Find compiled models with SageAttention on hosts or models that add up in half precision."""
    for stage in subject.wan_stages:
        classes = {subject.read.class_of(node_id) for node_id in stage.chain.nodes}
        compiled = bool(classes & COMPILERS)
        sums = subject.host.half_sums or any(
            subject.read.flag(node_id, "enable_fp16_accumulation") for node_id in stage.chain.nodes
        )
        sage = subject.host.everywhere_sage or _sage(subject, stage.chain)
        if compiled and sums and sage:
            found = "compiled, with SageAttention and fp16 accumulation"
            yield Hit(node=stage.node, input="model", found=found)


@rule(
    "A004",
    "warn",
    title="sageattn_compiled",
    why="It is reported to leave a grid of noise, and has no advantage over sageattn.",
    fix="Use sageattn.",
    source="kijai/ComfyUI-WanVideoWrapper #1686",
)
def compiled_sage(subject: Subject) -> Iterator[Hit]:
    """Find the wrapper's sageattn_compiled."""
    for node_id in subject.read.of("WanVideoModelLoader"):
        if subject.read.text(node_id, "attention_mode") == "sageattn_compiled":
            put = (Put(node_id, "attention_mode", "sageattn"),)
            found = "attention_mode = 'sageattn_compiled'"
            yield Hit(node=node_id, input="attention_mode", found=found, changes=put)


@rule(
    "A005",
    "warn",
    title="cache over few steps",
    why="A cache skips steps; with eight or fewer none can be skipped.",
    fix="Remove the cache.",
    source="community notes on TeaCache, MagCache and EasyCache",
)
def cache_over_few_steps(subject: Subject) -> Iterator[Hit]:
    """Find step caches on models that are sampled in at most eight steps."""
    for stage in subject.stages.values():
        if stage.steps is None or stage.steps > _FEW_STEPS:
            continue
        nodes = [n for n in stage.chain.nodes if subject.read.class_of(n) in CACHES]
        link = subject.read.source(stage.node, "cache_args")
        if link is not None and subject.read.class_of(link.node) in WRAPPER_CACHES:
            nodes.append(link.node)
        for node_id in nodes:
            yield Hit(node=node_id, found=f"{stage.node} has {stage.steps} steps")


@rule(
    "A006",
    "warn",
    title="14B weights kept in GPU memory",
    why="Both experts in GPU memory at once leave no memory for the clip.",
    fix="Set load_device to offload_device.",
    source="community notes on main_device",
)
def kept_on_card(subject: Subject) -> Iterator[Hit]:
    """Find the wrapper's loader keeping 14B weights on a GPU with less than 48 GB."""
    memory = subject.host.memory_gb
    if memory is None or memory >= _ROOMY_GB:
        return
    for weights in subject.weights:
        kept = subject.read.text(weights.node, "load_device") == "main_device"
        if kept and weights.tag.large:
            put = (Put(weights.node, "load_device", "offload_device"),)
            found = f"load_device = 'main_device' on {memory:g} GB"
            yield Hit(node=weights.node, input="load_device", found=found, changes=put)


@rule(
    "A007",
    "error",
    title="loader settings that exclude each other",
    why="The wrapper's loader fails before the first step.",
    fix="Keep one of the two.",
    source="WanVideoWrapper nodes_model_loading.py",
)
def exclusive_settings(subject: Subject) -> Iterator[Hit]:
    """Find settings of the wrapper's loader that it rejects together."""
    for node_id in subject.read.of("WanVideoModelLoader"):
        if all(
            subject.read.linked(node_id, f"{n}_args") for n in ("block_swap", "vram_management")
        ):
            found = "block_swap_args and vram_management_args"
            yield Hit(node=node_id, input="vram_management_args", found=found)
        if not (subject.read.text(node_id, "model") or "").lower().endswith(".gguf"):
            continue
        quantisation = subject.read.text(node_id, "quantization")
        if quantisation not in {None, "disabled"}:
            put = (Put(node_id, "quantization", "disabled"),)
            found = f"a GGUF file with quantization = {quote(quantisation)}"
            yield Hit(node=node_id, input="quantization", found=found, changes=put)
        if subject.read.linked(node_id, "vram_management_args"):
            found = "a GGUF file with vram_management_args"
            yield Hit(node=node_id, input="vram_management_args", found=found)
        # One LoRA that is to be merged has the loader merge them all; those of no strength do not count.
        merged = {
            lora.node: None
            for lora in selected(subject.read, node_id)
            if lora.merged and lora.listed
        }
        for lora_id in merged:
            put = (Put(lora_id, "merge_loras", False),)
            found = "merge_loras on a GGUF file"
            yield Hit(node=lora_id, input="merge_loras", found=found, changes=put)


@rule(
    "A008",
    "warn",
    title="fullgraph compilation",
    why="fullgraph is for debugging: it speeds up nothing, and fails at the first part of a"
    " model that cannot be compiled.",
    fix="Set fullgraph to false.",
    source="community notes on torch.compile",
)
def full_graph(subject: Subject) -> Iterator[Hit]:
    """Find fullgraph turned on in any node that compiles."""
    for node_id, node in subject.nodes.items():
        signature = subject.catalog.get(node.class_type)
        known = signature is not None and "fullgraph" in signature.inputs
        if known and subject.read.flag(node_id, "fullgraph"):
            put = (Put(node_id, "fullgraph", False),)
            yield Hit(node=node_id, input="fullgraph", found="fullgraph = true", changes=put)
