"""L: whether LoRAs belong to the weights that they are put on."""

from __future__ import annotations

from collections.abc import Iterator

from ..chains import quantisation, walk
from ..findings import Hit, Put, quote
from ..registry import rule
from ..subject import Subject

_TASKS = {"i2v", "t2v"}
_MOST = 3


@rule(
    "L001",
    "error",
    title="LoRA of the other expert",
    why="Each LoRA of a pair was trained on its own expert; on the other expert it degrades the"
    " video.",
    fix="Put the high-noise LoRA on the high-noise expert and the low-noise LoRA on the other.",
    source="two-pass notes: high with high, low with low",
)
def other_expert(subject: Subject) -> Iterator[Hit]:
    """Find LoRAs whose name says one expert on weights whose name says the other."""
    for stage in subject.stages.values():
        for lora in stage.chain.loras:
            if lora.tag.expert and stage.expert and lora.tag.expert != stage.expert:
                found = f"{quote(lora.tag.name)} on the {stage.expert}-noise expert"
                yield Hit(node=lora.node, input=lora.input, found=found)


@rule(
    "L002",
    "error",
    title="LoRA for another task",
    why="Text-to-video and image-to-video weights differ in their inputs, and so do their LoRAs.",
    fix="Load the LoRA that was made for this task.",
    source="official templates; deepbeepmeep/Wan2GP #627",
)
def other_task(subject: Subject) -> Iterator[Hit]:
    """Find t2v LoRAs on i2v weights, and the reverse."""
    for stage in subject.stages.values():
        task = stage.chain.tag.task
        for lora in stage.chain.loras:
            if {task, lora.tag.task} == _TASKS:
                found = f"{quote(lora.tag.name)} on {task} weights"
                yield Hit(node=lora.node, input=lora.input, found=found)


@rule(
    "L003",
    "error",
    title="only one of two stages distilled",
    why="Both stages run with the same steps and CFG, but one has weights for few steps without"
    " guidance and the other does not.",
    fix="Put the LoRA on both experts or on none, or give each stage its own steps and CFG.",
    source="official template",
)
def half_distilled(subject: Subject) -> Iterator[Hit]:
    """Find pairs in which one stage alone is distilled, with settings that both share."""
    for first, second in subject.handoffs:
        shared = first.steps == second.steps and first.cfg == second.cfg
        for bare, other in ((first, second), (second, first)):
            if not (shared and bare.chain.undistilled and other.chain.distilled):
                continue
            found = f"no distillation LoRA on the {bare.expert}-noise expert alone"
            yield Hit(node=bare.node, input="model", found=found)


@rule(
    "L004",
    "warn",
    title="WAN 2.1 LoRA on WAN 2.2",
    why="It has keys for an image attention that 2.2 does not have; they are not loaded, and"
    " the rest works in part.",
    fix="Load the LoRA for WAN 2.2.",
    source="kijai/ComfyUI-WanVideoWrapper #1710, #940",
)
def older_lora(subject: Subject) -> Iterator[Hit]:
    """Find distillation LoRAs of WAN 2.1 on weights of 2.2."""
    for stage in subject.wan_stages:
        for lora in stage.chain.loras:
            older = lora.tag.family == "wan2.1" and lora.tag.distilled
            if older and stage.chain.tag.family == "wan2.2":
                found = f"{quote(lora.tag.name)} on {quote(stage.chain.tag.name)}"
                yield Hit(node=lora.node, input=lora.input, found=found)


@rule(
    "L005",
    "warn",
    title="unusual strength of a distillation LoRA",
    why="Official graphs use 1.0; below 0.7 a few steps are not enough, above 1.5 the picture"
    " oversaturates.",
    fix="Use 1.0.",
    source="official template; ModelTC/LightX2V #248 uses 1.5 on the high expert",
)
def odd_strength(subject: Subject) -> Iterator[Hit]:
    """Find distillation LoRAs outside the strengths that are known to work."""
    for stage in subject.stages.values():
        for lora in stage.chain.loras:
            strength = lora.strength
            if lora.tag.distilled and strength is not None and not 0.7 <= strength <= 1.5:
                yield Hit(
                    node=lora.node,
                    input=lora.strength_input,
                    found=f"{lora.strength_input} = {quote(strength)}",
                    changes=(Put(lora.node, lora.strength_input, 1.0),),
                )


@rule(
    "L006",
    "info",
    title="many LoRAs on one model",
    why="LoRAs change the same weights and interfere with each other.",
    fix="Keep the three most important ones, or merge some.",
    source="community notes on LoRA stacks",
)
def many_loras(subject: Subject) -> Iterator[Hit]:
    """Find models with more than three LoRAs."""
    for stage in subject.stages.values():
        if len(stage.chain.loras) > _MOST:
            yield Hit(node=stage.node, input="model", found=f"{len(stage.chain.loras)} LoRAs")


@rule(
    "L007",
    "warn",
    title="second stage without its own model",
    why="RES4LYF's samplers pass the model on with the latent: a second stage without a model"
    " continues with the expert of the first stage.",
    fix="Connect the low-noise expert to the second sampler's model input.",
    source="RES4LYF: state carried in the latent",
)
def inherited_model(subject: Subject) -> Iterator[Hit]:
    """Find RES4LYF samplers that go on with an expert's latent and have no model."""
    for first, second in subject.pairs:
        if second.runtime == "res4lyf" and second.model is None and first.expert:
            found = f"no model; it continues with the {first.expert}-noise expert of {first.node}"
            yield Hit(node=second.node, input="model", found=found)


@rule(
    "L008",
    "error",
    title="LoRA extracted from fp8 weights",
    why="LoraExtractKJ subtracts the weights of two models; fp8 weights have too little"
    " precision for that.",
    fix="Extract from the fp16 or bf16 files of both models.",
    source="community notes on LoraExtractKJ",
)
def extracted_from_fp8(subject: Subject) -> Iterator[Hit]:
    """Find fp8 weights behind the models that LoraExtractKJ compares."""
    for node_id in subject.read.of("LoraExtractKJ"):
        for name, _ in subject.read.links(node_id):
            chain = walk(subject.read, node_id, name)
            if quantisation(subject.read, chain).startswith("fp8"):
                yield Hit(node=node_id, input=name, found=f"{quote(chain.tag.name)} in fp8")
