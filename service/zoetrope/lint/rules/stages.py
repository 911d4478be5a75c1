"""S, first half: whether two stages meet at the same step, with the right noise between them."""

from __future__ import annotations

from collections.abc import Iterator

from .. import stages as samplers
from ..classes import CANVASES
from ..findings import Hit, Put, quote
from ..registry import rule
from ..sigma import boundary, handoff, natural_split
from ..stages import SamplerStage
from ..subject import Subject

_REVERSE_ORDER = "experimental.low_to_high"
_ALL_STEPS = 10_000


@rule(
    "S001",
    "error",
    title="experts in reverse order",
    why="The high-noise expert was trained for the noisy steps only; run last, it puts new"
    " structure over finished detail.",
    fix=f"Sample with the high-noise expert first, or tag the recipe {_REVERSE_ORDER}.",
    source="two-pass notes; Wan-Video/Wan2.2 boundary 0.900",
)
def reverse_order(subject: Subject) -> Iterator[Hit]:
    """Find high-noise samplers that go on with the work of a low-noise one, over a latent or over frames."""
    if _REVERSE_ORDER in subject.context.recipe.tags:
        return
    for stage in subject.stages.values():
        if stage.expert == "high":
            above = samplers.before(subject.read, stage, subject.around(stage))
            for node_id in sorted({n for n in above if subject.stages[n].expert == "low"}):
                found = f"the low-noise sampler {node_id} runs before this high-noise one"
                yield Hit(node=stage.node, found=found)


@rule(
    "S002",
    "error",
    title="gap or overlap between the stages",
    why="The second stage must begin at the step where the first one ended: the latent has"
    " exactly that much noise.",
    fix="Let the second stage start where the first one ends.",
    source="official template; lightning notes",
)
def steps_do_not_meet(subject: Subject) -> Iterator[Hit]:
    """Find second stages that start at another step than the first one's last."""
    for first, second in subject.handoffs:
        if first.end is None or second.start is None or first.end == second.start:
            continue
        node_id, name = second.place("start")
        changes = (Put(node_id, name, first.end),) if first.end >= 0 else ()
        found = f"{name} = {second.start}, while {first.node} ends at {first.end}"
        yield Hit(node=node_id, input=name, found=found, changes=changes)


@rule(
    "S003",
    "error",
    title="stages with different step counts",
    why="The number of steps determines the noise schedule; two schedules do not match at any"
    " step.",
    fix="Set the same steps for both stages.",
    source="official template",
)
def different_steps(subject: Subject) -> Iterator[Hit]:
    """Find pairs whose samplers count different steps."""
    for first, second in subject.handoffs:
        if None not in {first.steps, second.steps} and first.steps != second.steps:
            node_id, name = second.place("steps")
            found = f"{name} = {second.steps}, while {first.node} has {first.steps}"
            put = (Put(node_id, name, first.steps),)
            yield Hit(node=node_id, input=name, found=found, changes=put)


@rule(
    "S004",
    "error",
    title="leftover noise is removed at the handover",
    why="The first stage denoises completely in its last step; the second gets a finished,"
    " blurred latent where it expects a noisy one.",
    fix="Set return_with_leftover_noise to enable on the first stage.",
    source="official template; kijai/ComfyUI-WanVideoWrapper #887",
)
def no_leftover_noise(subject: Subject) -> Iterator[Hit]:
    """Find first stages that hand over without leftover noise."""
    for first, _ in subject.handoffs:
        if first.leftover is False:
            node_id, name = first.place("leftover")
            put = (Put(node_id, name, "enable"),)
            yield Hit(node=node_id, input=name, found=f"{name} = 'disable'", changes=put)


@rule(
    "S005",
    "error",
    title="new noise at the handover",
    why="The latent already has its noise; more of it hides the result of the first stage.",
    fix="Set add_noise to disable on the second stage.",
    source="official template",
)
def noise_added_again(subject: Subject) -> Iterator[Hit]:
    """Find second stages that add noise to what they are handed."""
    for _, second in subject.handoffs:
        if second.noise is True:
            node_id, name = second.place("noise")
            put = (Put(node_id, name, "disable"),)
            yield Hit(node=node_id, input=name, found=f"{name} = 'enable'", changes=put)


@rule(
    "S006",
    "warn",
    title="noise is left in the video",
    why="The last stage stops before its last step or keeps the noise of that step.",
    fix="Set return_with_leftover_noise to disable, and end_at_step to the steps or more.",
    source="official template; kijai/ComfyUI-WanVideoWrapper #1629",
)
def noise_left_at_the_end(subject: Subject) -> Iterator[Hit]:
    """Find last stages that do not denoise to the end."""
    for stage in subject.stages.values():
        if stage.node not in subject.decoded or stage.runtime != "core":
            continue
        if stage.leftover is True:
            node_id, name = stage.place("leftover")
            put = (Put(node_id, name, "disable"),)
            yield Hit(node=node_id, input=name, found=f"{name} = 'enable'", changes=put)
        if stage.end is not None and stage.steps is not None and stage.end < stage.steps:
            node_id, name = stage.place("end")
            put = (Put(node_id, name, _ALL_STEPS),)
            found = f"{name} = {stage.end} of {stage.steps} steps"
            yield Hit(node=node_id, input=name, found=found, changes=put)


@rule(
    "S009",
    "info",
    title="handover away from the trained boundary",
    why="The experts were trained to change where 0.900 of the noise is left (0.875 for text to"
    " video); elsewhere one of them works outside of its range, sometimes on purpose.",
    fix="Unless this is intended, move the split to the step of the boundary.",
    source="Wan-Video/Wan2.2 configuration: boundary",
)
def far_from_boundary(subject: Subject) -> Iterator[Hit]:
    """Find hand-offs whose noise is further than 0.05 from the boundary of training."""
    for first, second in subject.handoffs:
        if first.steps is None or first.shift is None or first.ran is None:
            continue
        task = first.chain.tag.task
        split = (first.start or 0) + first.ran
        shift = float(first.shift)
        left = handoff(first.scheduler, first.steps, shift, split)
        if left is not None and abs(left - boundary(task)) > 0.05:
            natural = natural_split(first.scheduler, first.steps, shift, task)
            node_id, name = first.place("end" if first.end is not None else "run")
            yield Hit(
                node=node_id,
                input=name,
                found=f"{left:.3f} of the noise is left when {second.node} begins",
                fix=f"The boundary {boundary(task):.3f} falls after step {natural}.",
            )


@rule(
    "S012",
    "warn",
    title="stages with different shifts",
    why="The shift determines the noise schedule: with two shifts the noise that one stage"
    " leaves is not what the other begins with.",
    fix="Set the same shift for both stages.",
    source="official template: 5 and 5, or 8 and 8",
)
def different_shifts(subject: Subject) -> Iterator[Hit]:
    """Find pairs whose stages bend their noise tables differently."""
    for first, second in subject.handoffs:
        if None in {first.shift, second.shift} or first.shift == second.shift:
            continue
        place = second.shift_place
        yield Hit(
            node=place[0] if place else second.node,
            input=place[1] if place else "",
            found=f"shift {quote(second.shift)}, while {first.node} has {quote(first.shift)}",
            changes=(Put(*place, first.shift),) if place else (),
        )


@rule(
    "S017",
    "error",
    title="second stage that does not continue the first",
    why="It begins in the middle of the steps with an empty latent: the result of the first"
    " stage is discarded.",
    fix="Connect the first stage's latent to it, or let it start at step 0 with noise.",
    source="two-pass notes: the second pass reads the first one's output",
)
def goes_on_with_nothing(subject: Subject) -> Iterator[Hit]:
    """Find stages past step 0 that no stage has handed anything to."""
    followed = {stage.previous for stage in subject.stages.values()}
    for stage in subject.wan_stages:
        if not stage.start or stage.start < 0 or not _begins_empty(subject, stage):
            continue
        firsts = [
            other.node
            for other in subject.wan_stages
            if other.end == stage.start and other.node not in followed and other.node != stage.node
        ]
        above = list(samplers.before(subject.read, stage, subject.around(stage)))
        if stage.noise is False or (firsts and not above):
            name = "samples" if stage.runtime == "wrapper" else "latent_image"
            apart = f", and nothing goes on with {firsts[0]}" if firsts else ""
            found = f"begins at step {stage.start} with an empty latent{apart}"
            yield Hit(node=stage.node, input=name, found=found)


def _begins_empty(subject: Subject, stage: SamplerStage) -> bool:
    """Whether it is certain that a sampler's latent has nothing in it."""
    if stage.runtime == "wrapper":
        return "samples" not in subject.nodes[stage.node].inputs
    # Right before it: a node between might bring noise.
    latent = subject.read.source(stage.node, "latent_image")
    return latent is not None and subject.read.class_of(latent.node) in CANVASES


@rule(
    "S018",
    "warn",
    title="stage whose result is not used",
    why="No output depends on this sampler, so the server skips it: only the other stage makes"
    " the video.",
    fix="Connect its latent or its frames to the next stage, or remove the sampler.",
    source="two-pass notes: the second pass reads the first one's output",
)
def work_thrown_away(subject: Subject) -> Iterator[Hit]:
    """Find samplers that no output descends from, next to samplers that one does."""
    # A node that no one knows may be the output that is missed.
    if subject.strangers or not any(stage in subject.reachable for stage in subject.stages):
        return
    followed = {stage.previous for stage in subject.stages.values()}
    for stage in subject.wan_stages:
        if stage.node not in subject.reachable and stage.node not in followed:
            yield Hit(node=stage.node, found="no output depends on it")
