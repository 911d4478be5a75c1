"""U, second half: whether SeedVR2 fits the host."""

from __future__ import annotations

from collections.abc import Iterator

from ...graphs.memory import CLASSES, class_of
from ..findings import Change, Hit, Put, quote
from ..registry import rule
from ..subject import Subject

_LOADERS = ("SeedVR2LoadDiTModel", "SeedVR2LoadVAEModel")
#: How many blocks there are to swap, by the model's size.
_BLOCKS = {"3b": 32, "7b": 36}
#: Which Python package each attention mode needs.
_PACKAGES = {
    "sageattn_2": "sageattention",
    "sageattn_3": "sageattn3",
    "flash_attn_2": "flash_attn",
    "flash_attn_3": "flash_attn_interface",
}
_LARGEST_BATCH_ON_16_GB = 21


@rule(
    "U001",
    "error",
    title="block swap without an offload device",
    why="Swapped blocks are kept on the offload device; the node rejects none, and also the GPU"
    " itself.",
    fix="Set offload_device to cpu.",
    source="SeedVR2 blockswap.py",
)
def nowhere_to_swap(subject: Subject) -> Iterator[Hit]:
    """Find block swapping without a device to offload to."""
    for node_id in subject.read.of("SeedVR2LoadDiTModel"):
        blocks = subject.read.whole(node_id, "blocks_to_swap") or 0
        swaps_io = subject.read.flag(node_id, "swap_io_components")
        device = subject.read.text(node_id, "device")
        offload = subject.read.text(node_id, "offload_device")
        if (blocks <= 0 and not swaps_io) or offload is None or offload not in {"none", device}:
            continue
        changes: tuple[Change, ...] = (Put(node_id, "offload_device", "cpu"),)
        if device == "cpu":
            changes = (
                Put(node_id, "blocks_to_swap", 0),
                Put(node_id, "swap_io_components", False),
            )
        found = f"offload_device = {quote(offload)} with {blocks} blocks to swap"
        yield Hit(node=node_id, input="offload_device", found=found, changes=changes)


@rule(
    "U002",
    "error",
    title="cached model without an offload device",
    why="A cached model is kept on the offload device; the node rejects none.",
    fix="Set offload_device to cpu, or cache_model to false.",
    source="SeedVR2 dit_model_loader.py",
)
def nowhere_to_cache(subject: Subject) -> Iterator[Hit]:
    """Find cached models without a device to offload to."""
    for node_id in subject.read.of(*_LOADERS):
        kept = subject.read.flag(node_id, "cache_model")
        if kept and subject.read.text(node_id, "offload_device") == "none":
            put = (Put(node_id, "offload_device", "cpu"),)
            found = "offload_device = 'none' with cache_model"
            yield Hit(node=node_id, input="offload_device", found=found, changes=put)


@rule(
    "U008",
    "warn",
    title="more blocks to swap than there are",
    why="The 3B model has 32 blocks, the 7B model 36; the node accepts no more.",
    fix="Use the number of blocks.",
    source="numz/ComfyUI-SeedVR2_VideoUpscaler README",
)
def too_many_blocks(subject: Subject) -> Iterator[Hit]:
    """Find more blocks to swap than the loaded model has."""
    for upscaler in subject.upscalers.values():
        most = _BLOCKS.get(upscaler.model.size)
        if upscaler.dit is None or most is None:
            continue
        blocks = subject.read.whole(upscaler.dit, "blocks_to_swap")
        if blocks is not None and blocks > most:
            put = (Put(upscaler.dit, "blocks_to_swap", most),)
            found = f"blocks_to_swap = {quote(blocks)}, of {most}"
            yield Hit(node=upscaler.dit, input="blocks_to_swap", found=found, changes=put)


@rule(
    "U009",
    "warn",
    title="too large for 16 GB",
    why="Decoding runs out of memory first: untiled, with the 7B model in fp16, or with large"
    " batches.",
    fix="Use the 3B model, batches of 13 frames with an overlap of 4, and tiles of 512.",
    source="hero document",
)
def too_much_for_16_gb(subject: Subject) -> Iterator[Hit]:
    """Find what does not fit a GPU of 16 GB."""
    memory = subject.host.memory_gb
    if memory is None or class_of(memory) > CLASSES[0]:
        return
    for upscaler in subject.upscalers.values():
        if upscaler.batch is not None and upscaler.batch > _LARGEST_BATCH_ON_16_GB:
            put = (Put(upscaler.node, "batch_size", 13),)
            found = f"batch_size = {quote(upscaler.batch)} on {memory:g} GB"
            yield Hit(node=upscaler.node, input="batch_size", found=found, changes=put)
        model = upscaler.model
        if upscaler.dit and model.size == "7b" and model.quantisation == "fp16":
            found = f"model = {quote(model.name)} on {memory:g} GB"
            yield Hit(node=upscaler.dit, input="model", found=found)
        for name in ("encode_tiled", "decode_tiled") if upscaler.vae else ():
            if upscaler.vae and subject.read.flag(upscaler.vae, name) is False:
                put = (Put(upscaler.vae, name, True),)
                found = f"{name} = false on {memory:g} GB"
                yield Hit(node=upscaler.vae, input=name, found=found, changes=put)


@rule(
    "U010",
    "warn",
    title="attention that this host does not have",
    why="The node silently falls back to another kernel, and the job takes longer than planned.",
    fix="Use sageattn_2 where SageAttention is installed, or sdpa.",
    source="SeedVR2 compatibility.py",
)
def missing_kernel(subject: Subject) -> Iterator[Hit]:
    """Find attention modes whose package or GPU the host lacks."""
    kernels, blackwell = subject.host.kernels, subject.host.blackwell
    for node_id in subject.read.of("SeedVR2LoadDiTModel"):
        mode = subject.read.text(node_id, "attention_mode") or ""
        package = _PACKAGES.get(mode)
        lacks_package = package is not None and kernels is not None and package not in kernels
        if lacks_package or (mode == "sageattn_3" and blackwell is False):
            put = (Put(node_id, "attention_mode", "sdpa"),)
            found = f"attention_mode = {quote(mode)}"
            yield Hit(node=node_id, input="attention_mode", found=found, changes=put)
