"""C: guidance, samplers and schedulers."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator

from ...graphs.samplers import evaluations
from ..classes import NAG
from ..findings import Hit, Put, quote
from ..prompts import Prompt, estimated_tokens, under_nag
from ..registry import rule
from ..stages import SamplerStage
from ..subject import Subject

_UNSHIFTED = {"karras", "exponential", "kl_optimal"}
_NOISY = re.compile(r"sde|ancestral")
_LCM = re.compile(r"lcm(?:/|$)")
_FEW_WORDS = 25


@rule(
    "C001",
    "error",
    title="guidance on distilled weights",
    why="Distilled weights have their guidance built in: more of it oversaturates and flashes,"
    " and takes twice as long.",
    fix="Use CFG 1.0.",
    source="official template; community notes: below 2 at most",
)
def guided_twice(subject: Subject) -> Iterator[Hit]:
    """Find distilled stages with CFG above 2."""
    for stage in subject.wan_stages:
        if stage.chain.distilled and stage.cfg is not None and stage.cfg > 2:
            yield _cfg(stage, 1.0)


@rule(
    "C002",
    "warn",
    title="little guidance on the high-noise expert",
    why="Motion is decided in the noisy steps; without guidance there, the model ignores the"
    " motion in the prompt.",
    fix="Use CFG 3.5 on the high-noise expert.",
    source="hero document",
)
def unguided_motion(subject: Subject) -> Iterator[Hit]:
    """Find undistilled high-noise stages with CFG below 2."""
    for stage in subject.wan_stages:
        undistilled = stage.expert == "high" and stage.chain.undistilled
        if undistilled and stage.cfg is not None and stage.cfg < 2:
            yield _cfg(stage, 3.5)


def _cfg(stage: SamplerStage, better: float) -> Hit:
    node_id, name = stage.place("cfg")
    found = f"{name} = {quote(stage.cfg)}"
    return Hit(node=node_id, input=name, found=found, changes=(Put(node_id, name, better),))


@rule(
    "C003",
    "info",
    title="negative prompt without effect",
    why="At CFG 1.0 the model does not evaluate the negative prompt at all.",
    fix="Raise CFG, use NAG, or leave the negative prompt empty.",
    source="ComfyUI samplers.py: cfg 1.0 drops the negative pass",
)
def unheard_negative(subject: Subject) -> Iterator[Hit]:
    """Find negative prompts that only stages at CFG 1.0 are given."""
    # A node that no one knows may listen to it.
    if subject.strangers:
        return
    users: dict[Prompt, list[SamplerStage]] = defaultdict(list)
    for stage in subject.stages.values():
        for prompt in subject.texts(stage, "negative"):
            users[prompt].append(stage)
    for prompt, stages in users.items():
        unheard = any(stage.wan for stage in stages) and all(
            stage.cfg == 1 and not _has_nag(subject, stage) for stage in stages
        )
        if unheard and prompt.text and prompt.text.strip():
            yield Hit(node=prompt.node, input=prompt.input, found="every stage has cfg = 1")


def _has_nag(subject: Subject, stage: SamplerStage) -> bool:
    classes = {subject.read.class_of(node_id) for node_id in stage.chain.nodes}
    return bool(classes & NAG) or any(subject.near(stage, "WanVideoApplyNAG"))


@rule(
    "C004",
    "warn",
    title="NAG together with CFG",
    why="NAG replaces the negative prompt where there is no guidance; steps with CFG above 1 do"
    " not use it.",
    fix="Use CFG 1.0, or remove NAG.",
    source="community notes on NAG",
)
def idle_nag(subject: Subject) -> Iterator[Hit]:
    """Find NAG on models that are sampled with CFG above 1."""
    for stage in subject.wan_stages:
        if stage.cfg is None or stage.cfg <= 1:
            continue
        nodes = [n for n in stage.chain.nodes if subject.read.class_of(n) == "WanVideoNAG"]
        for node_id in [*nodes, *subject.near(stage, "WanVideoApplyNAG")]:
            yield Hit(node=node_id, found=f"{stage.node} has cfg = {quote(stage.cfg)}")


@rule(
    "C005",
    "warn",
    title="scheduler that ignores the shift",
    why="These schedules only use the two ends of the noise range; the effect of the shift on"
    " the steps between is lost.",
    fix="Use simple or beta.",
    source="ComfyUI samplers.py; every official template uses simple",
)
def unshifted_schedule(subject: Subject) -> Iterator[Hit]:
    """Find WAN stages with karras, exponential or kl_optimal."""
    for stage in subject.wan_stages:
        if stage.scheduler in _UNSHIFTED:
            node_id, name = stage.place("scheduler")
            put = (Put(node_id, name, "simple"),)
            found = f"{name} = {quote(stage.scheduler)}"
            yield Hit(node=node_id, input=name, found=found, changes=put)


@rule(
    "C006",
    "warn",
    title="sampler that adds noise",
    why="It adds noise in each step; with few steps, or on a latent from an earlier stage, too"
    " few steps remain to remove it.",
    fix="Use euler.",
    source="community notes on sde samplers",
)
def noisy_sampler(subject: Subject) -> Iterator[Hit]:
    """Find sde and ancestral samplers on distilled weights or in second stages."""
    for stage in subject.wan_stages:
        if _NOISY.search(stage.sampler) and (stage.chain.distilled or stage.previous):
            node_id, name = stage.place("sampler")
            put = (Put(node_id, name, "euler"),) if name == "sampler_name" else ()
            own = () if stage.runtime == "res4lyf" else put
            found = f"{name} = {quote(stage.sampler)}"
            yield Hit(node=node_id, input=name, found=found, changes=own)


@rule(
    "C007",
    "info",
    title="several evaluations per step",
    why="The sampler evaluates the model several times per step, and takes that much longer;"
    " compare samplers at the same number of evaluations.",
    fix="Divide the steps by the evaluations per step.",
    source="RES4LYF; community notes on res_2s",
)
def costly_sampler(subject: Subject) -> Iterator[Hit]:
    """Find samplers that ask the model more than once in a step."""
    for stage in subject.wan_stages:
        times = evaluations(stage.sampler)
        if times is not None and times > 1:
            node_id, name = stage.place("sampler")
            steps = f": {stage.ran * times} for {stage.ran} steps" if stage.ran else ""
            found = f"{quote(stage.sampler)} evaluates the model {times} times per step{steps}"
            yield Hit(node=node_id, input=name, found=found)


@rule(
    "C008",
    "warn",
    title="strong guidance in few steps",
    why="Each step goes too far: the video oversaturates and flashes.",
    fix="Lower CFG, or use more steps.",
    source="community notes on oversaturation and flashes",
)
def burning_guidance(subject: Subject) -> Iterator[Hit]:
    """Find stages with CFG above 6 in twelve steps or fewer."""
    for stage in subject.wan_stages:
        if stage.cfg is None or stage.steps is None:
            continue
        if stage.cfg > 6 and stage.steps <= 12:
            node_id, name = stage.place("cfg")
            found = f"{name} = {quote(stage.cfg)} with {stage.steps} steps"
            yield Hit(node=node_id, input=name, found=found)


@rule(
    "C009",
    "error",
    title="RES4LYF's latent in a core sampler",
    why="RES4LYF passes its noise and its position in the schedule on inside the latent; a core"
    " sampler reads neither and begins at another level.",
    fix="Continue with ClownsharkChainsampler.",
    source="ClownsharkBatwing/RES4LYF #233",
)
def foreign_latent(subject: Subject) -> Iterator[Hit]:
    """Find core samplers that go on with the latent of a RES4LYF sampler."""
    for first, second in subject.pairs:
        if first.runtime == "res4lyf" and second.runtime == "core":
            found = f"latent of {first.class_type} {first.node}"
            yield Hit(node=second.node, input="latent_image", found=found)


@rule(
    "C010",
    "info",
    title="several evaluations per step on distilled weights",
    why="Such a sampler gains accuracy per step with further evaluations of the model; on"
    " weights that are distilled for few steps the gain is doubtful.",
    fix="Use euler, or compare with euler at the same number of evaluations.",
    source="community notes: most do not compare res_2s at twice the steps, doubtful with distill LoRAs",
)
def costly_distilled(subject: Subject) -> Iterator[Hit]:
    """Find samplers that ask distilled weights more than once in a step."""
    for stage in subject.wan_stages:
        times = evaluations(stage.sampler)
        if stage.chain.distilled and times is not None and times > 1:
            node_id, name = stage.place("sampler")
            found = f"{quote(stage.sampler)} evaluates the model {times} times per step"
            yield Hit(node=node_id, input=name, found=found)


@rule(
    "C011",
    "info",
    title="lcm on weights that are not distilled for it",
    why="lcm predicts the finished video in every step and adds new noise for the next:"
    " distilled weights predict well from the first step on, others do not, and earlier"
    " steps are lost.",
    fix="Use euler, or add the distillation LoRAs.",
    source="parameter document: lcm, beta, 4 steps and CFG 1, which are a distilled model's",
)
def lcm_undistilled(subject: Subject) -> Iterator[Hit]:
    """Find stages that sample undistilled weights with lcm."""
    for stage in subject.wan_stages:
        if stage.chain.undistilled and _LCM.match(stage.sampler):
            node_id, name = stage.place("sampler")
            yield Hit(node=node_id, input=name, found=f"{name} = {quote(stage.sampler)}")


@rule(
    "C012",
    "info",
    title="long negative prompt with NAG",
    why="NAG is attention within the positive pass and weaker than a real negative prompt: the"
    " usual list of all defects does less than the few things to avoid.",
    fix="Name in a few literal words what to avoid.",
    source="community notes on NAG: simple, no word salad",
)
def nag_word_salad(subject: Subject) -> Iterator[Hit]:
    """Find texts of more than 25 words that NAG steers away from."""
    for node_id in subject.read.of("WanVideoNAG", "WanVideoApplyNAG"):
        if subject.read.number(node_id, "nag_scale") == 0:
            continue
        for prompt in under_nag(subject.read, node_id):
            words = estimated_tokens(prompt.text or "")
            if words > _FEW_WORDS:
                yield Hit(node=prompt.node, input=prompt.input, found=f"about {words} words")
