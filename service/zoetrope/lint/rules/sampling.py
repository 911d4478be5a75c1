"""S, second half: whether a stage's steps and shift suit its weights."""

from __future__ import annotations

from collections.abc import Iterator

from ...graphs.samplers import evaluations
from ..findings import Hit, Put, quote
from ..registry import rule
from ..sigma import DEFAULT_SHIFT
from ..subject import Pair, Subject

_TRAINED_SHIFT = 5.0


@rule(
    "S007",
    "warn",
    title="half of the steps or more on the high-noise expert",
    why="Without a distillation LoRA the expert keeps changing the composition, and motion"
    " freezes to paper cut-outs. The official split is 10 of 20 and keeps more of the"
    " picture; choose deliberately.",
    fix="Give the high-noise expert 4 or 5 of 20 steps, or keep the official split deliberately.",
    source="hero document; Comfy-Org/workflow_templates #196",
)
def frozen_motion(subject: Subject) -> Iterator[Hit]:
    """Find undistilled high-noise stages that run at least half of all steps."""
    for share, pair in _high_shares(subject):
        if share >= 0.5:
            yield _split(pair)


@rule(
    "S008",
    "info",
    title="very few steps on the high-noise expert",
    why="Without a distillation LoRA, three of twenty steps or fewer make the motion too fast.",
    fix="Give the high-noise expert 4 or 5 of 20 steps.",
    source="hero document",
)
def hasty_motion(subject: Subject) -> Iterator[Hit]:
    """Find undistilled high-noise stages that run at most three of twenty steps."""
    for share, pair in _high_shares(subject):
        if share <= 0.15:
            yield _split(pair)


@rule(
    "S016",
    "info",
    title="many steps on the high-noise expert",
    why="Without a distillation LoRA, motion slows down after five of twenty steps; at ten it"
    " freezes.",
    fix="Unless slow motion is intended, give the high-noise expert 4 or 5 of 20 steps.",
    source="hero document: no-LoRA table of high steps",
)
def slow_motion(subject: Subject) -> Iterator[Hit]:
    """Find undistilled high-noise stages that run over a quarter of all steps, but not half of them."""
    for share, pair in _high_shares(subject):
        if 0.25 < share < 0.5:
            yield _split(pair)


def _high_shares(subject: Subject) -> Iterator[tuple[float, Pair]]:
    for pair in subject.handoffs:
        first = pair.first
        if first.expert == "high" and first.chain.undistilled and first.steps and first.ran:
            yield first.ran / first.steps, pair


def _split(pair: Pair) -> Hit:
    first = pair.first
    node_id, name = first.place("end" if first.end is not None else "run")
    return Hit(node=node_id, input=name, found=f"{first.ran} of {first.steps} steps")


@rule(
    "S010",
    "warn",
    title="many steps with a distillation LoRA",
    why="The LoRA was trained for four steps; more of them only oversaturate the picture and"
    " take time.",
    fix="Use 4 steps, 2 on each expert.",
    source="two-pass notes; official template",
)
def needless_steps(subject: Subject) -> Iterator[Hit]:
    """Find distilled stages with more than eight steps."""
    for stage in subject.wan_stages:
        if stage.chain.distilled and stage.steps is not None and stage.steps > 8:
            node_id, name = stage.place("steps")
            yield Hit(node=node_id, input=name, found=f"{name} = {stage.steps}")


@rule(
    "S011",
    "warn",
    title="few steps without a distillation LoRA",
    why="Undistilled weights need about twenty evaluations; with few the video stays blurred and noisy.",
    fix="Use 20 steps, or add the distillation LoRAs.",
    source="official template",
)
def too_few_steps(subject: Subject) -> Iterator[Hit]:
    """Find undistilled stages with fewer than fifteen evaluations of the model."""
    for stage in subject.wan_stages:
        # The official graph for speech runs ten steps.
        if not stage.chain.undistilled or stage.chain.tag.task == "s2v":
            continue
        times = evaluations(stage.sampler)
        if stage.steps is not None and times is not None and stage.steps * times < 15:
            node_id, name = stage.place("steps")
            yield Hit(node=node_id, input=name, found=f"{name} = {stage.steps}")


@rule(
    "S013",
    "info",
    title="distillation LoRA at another shift",
    why="The LoRA's four steps are exactly those of shift 5; at another shift it gets noise"
    " levels that it was not trained on. Official graphs use 8 as well.",
    fix="Use shift 5.",
    source="ModelTC/LightX2V #248; official template",
)
def untrained_shift(subject: Subject) -> Iterator[Hit]:
    """Find distilled stages whose shift is not the one that the LoRA was trained with."""
    for stage in subject.wan_stages:
        if stage.chain.distilled and stage.shift not in {None, _TRAINED_SHIFT}:
            place = stage.shift_place
            yield Hit(
                node=place[0] if place else stage.node,
                input=place[1] if place else "model",
                found=f"shift {quote(stage.shift)}",
                severity=None if stage.shift == DEFAULT_SHIFT else "warn",
                changes=(Put(*place, _TRAINED_SHIFT),) if place else (),
            )


@rule(
    "S014",
    "warn",
    title="shift outside of the useful range",
    why="Below 3 too few steps are noisy enough for motion, above 12 none are left for detail.",
    fix="Use a shift from 5 to 8.",
    source="hero document; official templates",
)
def odd_shift(subject: Subject) -> Iterator[Hit]:
    """Find WAN stages with a shift below 3 or above 12."""
    for stage in subject.wan_stages:
        if stage.shift is not None and not 3 <= stage.shift <= 12:
            node_id, name = stage.shift_place or (stage.node, "model")
            usual = _TRAINED_SHIFT if stage.chain.distilled else DEFAULT_SHIFT
            put = (Put(node_id, name, usual),) if stage.shift_place else ()
            found = f"shift {quote(stage.shift)}"
            yield Hit(node=node_id, input=name, found=found, changes=put)


@rule(
    "S015",
    "warn",
    title="KSampler where a step range is needed",
    why="KSampler runs one expert over all of the noise, and its denoise reduces few steps to"
    " fewer; only KSamplerAdvanced has a step range.",
    fix="Use KSamplerAdvanced with start_at_step and end_at_step.",
    source="community notes on denoise and steps",
)
def plain_ksampler(subject: Subject) -> Iterator[Hit]:
    """Find KSampler with one expert of a pair, or with little denoising in few steps."""
    for stage in subject.wan_stages:
        if stage.class_type != "KSampler":
            continue
        if stage.expert:
            yield Hit(node=stage.node, found=f"the {stage.expert}-noise expert over all steps")
        elif stage.denoise is None or stage.steps is None:
            continue
        elif stage.denoise < 1 and stage.steps <= 8:
            found = f"denoise = {quote(stage.denoise)} with {stage.steps} steps"
            yield Hit(node=stage.node, input="denoise", found=found)
