"""Preflight: the stages of a ticket as an engine would get them, before there is a job or a picture."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

import msgspec

from ..domain.job import Job, Progress, Stage, State
from ..domain.values import Artefact, SourceImage, Ticket
from ..errors import Reason
from ..graphs.document import Document
from ..graphs.recipe import Recipe
from ..lint.effort import Effort
from ..lint.findings import Finding
from .lint_gate import LintGate
from .stage_request import StageRequest

if TYPE_CHECKING:
    from ..lint.facts import LintContext

# Where nobody has a picture yet: the shape that WAN was trained with most.
USUAL_SIZE = (1280, 720)
USUAL_FPS = 16.0
# Different ones, or a pair would be taken for one picture twice, which is a loop.
FIRST, LAST, BEFORE = "1" * 64, "2" * 64, "3" * 64


class PreflightFinding(Finding, frozen=True, kw_only=True):
    """A finding under its rule's name, in which stage of a recipe, and on which engines where not on all."""

    about: str = ""
    stage: str = ""
    engines: tuple[str, ...] = ()


class Preflight(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be said, the worst of each stage first; an error would have a job rejected.

    `nodes` is how many were read, `notes` what of the ticket would be corrected. A ticket with a
    `refusal` does not even come that far: a job with it is rejected in these words.
    """

    refusal: Reason | None = None

    findings: tuple[PreflightFinding, ...] = ()
    notes: tuple[str, ...] = ()
    nodes: int = 0


def check_ticket(
    gate: LintGate,
    recipe: Recipe,
    ticket: Ticket,
    cards: Mapping[str, float],
    size: tuple[int, int] | None = None,
    abandoned: Callable[[], bool] = lambda: False,
    memory_of: Callable[[StageRequest, str], Finding | None] = lambda *_: None,
    versions: Mapping[str, str] | None = None,
) -> Preflight:
    """Read what a ticket would become on every engine, by name with the memory of its GPU.

    `size` is the picture's, where there is one; `abandoned` says whether its sender has gone, `memory_of` what is to
    be said of the host's memory; `versions` are those of ComfyUI that engines report.
    """
    gate.need(recipe, versions or {})
    found = _Gathered()
    nodes: dict[str, int] = {}
    notes: dict[str, None] = {}
    for engine, memory in cards.items():
        for request in requests(recipe, ticket, memory, size):
            stage = request.spec.name
            nodes[stage] = len(request.graph(request.names()))
            notes |= dict.fromkeys(request.plan.notes)
            for finding in gate.findings(
                request, engine, pictured=size is not None, effort=Effort(abandoned=abandoned)
            ):
                found.add(finding, engine, stage)
            if (lacking := memory_of(request, engine)) is not None:
                found.add(lacking, engine, stage)
    return Preflight(findings=found.of(len(cards)), notes=tuple(notes), nodes=sum(nodes.values()))


def check_graph(
    gate: LintGate,
    document: Document,
    context: LintContext,
    cards: Mapping[str, float],
    abandoned: Callable[[], bool] = lambda: False,
) -> Preflight:
    """Read somebody's own graph for every engine, by name with the memory of its GPU."""
    # Late, so that an idle service does not hold a hundred rules.
    from ..lint.linter import lint

    found = _Gathered()
    # One for all engines: what a stranger's graph costs does not grow with their number.
    effort = Effort(abandoned=abandoned)
    for engine, memory in cards.items():
        on = msgspec.structs.replace(context, host=gate.host(engine, memory))
        for finding in lint(document, on, effort=effort):
            found.add(finding, engine)
    return Preflight(findings=found.of(len(cards)), nodes=len(document.nodes))


class _Gathered:
    """Findings of several engines, each but once."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, ...], tuple[Finding, list[str]]] = {}

    def add(self, finding: Finding, engine: str, stage: str = "") -> None:
        key = (stage, finding.rule, finding.node, finding.input, finding.found)
        self._found.setdefault(key, (finding, []))[1].append(engine)

    def of(self, all_engines: int) -> tuple[PreflightFinding, ...]:
        """Give them, each with its engines where those are not all."""
        from ..lint.rules import RULES

        return tuple(
            PreflightFinding(
                **msgspec.structs.asdict(finding),
                about=rule.title if (rule := RULES.get(finding.rule)) else "",
                stage=stage,
                engines=() if len(engines) == all_engines else tuple(engines),
            )
            for (stage, *_), (finding, engines) in self._found.items()
        )


def requests(
    recipe: Recipe, ticket: Ticket, memory: float, size: tuple[int, int] | None = None
) -> Iterator[StageRequest]:
    """Go through a ticket's stages on a GPU of so much memory, as if those before had been made.

    `size` is the picture's. What a recipe rejects of a real job is Rejected here, too.
    """
    job = _job(recipe, ticket, size or USUAL_SIZE)
    for number, stage in enumerate(job.stages):
        made = tuple(
            msgspec.structs.replace(each, state=Progress.DONE, artefacts=(_artefact(each),))
            for each in job.stages[:number]
        )
        at = msgspec.structs.replace(job, stages=(*made, stage, *job.stages[number + 1 :]))
        # What was noted of the engine's limits decides only which of two equal clips is sent.
        yield StageRequest(recipe, at, (), max_upload=0, memory=memory)


def _job(recipe: Recipe, ticket: Ticket, size: tuple[int, int]) -> Job:
    clip = recipe.file.clip
    frames, fps = (clip.frames, min(USUAL_FPS, clip.max_fps)) if clip is not None else (0, 0.0)
    hashes = (FIRST, LAST)[: recipe.file.pictures]
    return Job(
        id=FIRST[:32],
        created=0.0,
        updated=0.0,
        state=State.QUEUED,
        stem="picture",
        images=tuple(_image(each, size, frames, fps) for each in hashes),
        ticket=ticket,
        seed=ticket.seed or 0,
        stages=tuple(Stage(name=spec.name) for spec in recipe.file.stages),
    )


def _image(sha256: str, size: tuple[int, int], frames: int, fps: float) -> SourceImage:
    width, height = size
    file = f"{sha256[0]}.png"
    return SourceImage(
        name=file,
        sha256=sha256,
        size=1,
        format="PNG",
        width=width,
        height=height,
        source=file,
        file=file,
        frames=frames,
        fps=fps,
    )


def _artefact(stage: Stage) -> Artefact:
    return Artefact(file=f"{stage.name}.mp4", size=1, sha256=BEFORE)
