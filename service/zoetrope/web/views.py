"""Jobs, engines and GPUs as the API, the event stream and the CLI show them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import msgspec

from ..dispatch.pause import OutsideHours, Standstill
from ..domain.job import ENDED, Job, Progress, Stage, State
from ..domain.values import Failure, Ticket
from ..engine.flag_request import Asked
from ..errors import Reason
from ..gpu.card import Card, Sample
from ..gpu.wire import CardState
from ..jobs.fallbacks import seed_helps
from ..jobs.keep import KeepStatus
from ..jobs.outbox import Kind, Piece, folder_name, pieces
from ..jobs.progress import Live
from ..jobs.review_folder import REVIEW


class AttemptView(msgspec.Struct, frozen=True, kw_only=True):
    """One submission to an engine."""

    number: int
    engine: str
    state: str
    fallbacks: tuple[str, ...] = msgspec.field(default=(), name="relief")
    submitted: float = 0.0
    started: float | None = None
    ended: float | None = None
    failure: Failure | None = None


class StageView(msgspec.Struct, frozen=True, kw_only=True):
    """One stage with everything that was tried."""

    name: str
    state: str
    review: bool = False
    approved: bool = False
    fallbacks: tuple[str, ...] = msgspec.field(default=(), name="relief")
    attempts: tuple[AttemptView, ...] = ()


class PictureView(msgspec.Struct, frozen=True, kw_only=True):
    """A picture by its original name, and its size after its EXIF orientation is applied."""

    name: str
    width: int
    height: int


class JobView(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is shown of a job; `outbox` is a path on the host, empty while nothing is there."""

    id: str
    short: str
    name: str
    stem: str
    folder: str
    origin: str
    state: str
    recipe: str
    created: float
    updated: float
    seed: int
    reason: Reason | None = None
    unreturned: Annotated[
        Reason | None,
        msgspec.Meta(description="Why the picture of an ended job is not given back yet."),
    ] = None
    half: str = ""
    parent: str = ""
    pictures: tuple[PictureView, ...] = ()
    ticket: Ticket | None = None
    stages: tuple[StageView, ...] = ()
    live: Live | None = None
    outbox: str = ""
    removed: float | None = None  # when retention removed its files, as a unix time
    poster: str = ""  # an address, as `video` is: of the clip to show now
    video: str = ""
    warnings: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()
    seed_helps: bool = True  # whether the same again with another seed may end better


class JobPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some jobs, newest first; `next` is the cursor of the page after, if there is one."""

    jobs: tuple[JobView, ...]
    next: str | None = None


class ArtefactView(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a job; `url` is where its bytes are, in whole or in part."""

    name: str
    kind: Kind
    stage: str = ""
    type: str
    size: int
    url: str


class Artefacts(msgspec.Struct, frozen=True, kw_only=True):
    """Every file of a job that is there."""

    artefacts: tuple[ArtefactView, ...]


class EngineView(msgspec.Struct, frozen=True, kw_only=True):
    """One engine."""

    name: str
    url: str
    up: bool
    since: float
    reason: Reason | None = None
    version: str = ""
    device: str = ""
    vram_total: int = 0
    vram_free: int = 0
    rehearsal: bool = False
    capability: str = ""  # of the GPU's architecture, such as "12.0"
    attention: str = ""  # the kernel in use
    kernels: tuple[str, ...] | None = None  # those that passed the self-test
    flags: tuple[str, ...] = ()  # with which ComfyUI was started
    in_hand: tuple[str, ...] = ()
    others: int = 0  # prompts of other clients in its queue


class Engines(msgspec.Struct, frozen=True, kw_only=True):
    """Every engine of the settings."""

    engines: tuple[EngineView, ...]


class FlagsView(msgspec.Struct, frozen=True, kw_only=True):
    """The launch flags that are asked for an engine's next start, and what has just been forgotten of them."""

    engine: str
    asked: tuple[Asked, ...] = ()
    forgotten: tuple[Asked, ...] = ()
    next_step: str = ""


class CardView(msgspec.Struct, frozen=True, kw_only=True):
    """One GPU: what it is, its latest reading, and its profile."""

    card: Card
    reading: Sample | None = None
    lost: Reason | None = None
    state: CardState | None = None


class GpuView(msgspec.Struct, frozen=True, kw_only=True):
    """All GPUs; `problem` says why the driver or the helper does not answer."""

    cards: tuple[CardView, ...] = ()
    problem: Reason | None = None


class HeldView(msgspec.Struct, frozen=True, kw_only=True):
    """A picture that waits for something outside itself."""

    name: str
    reason: Reason


class InboxView(msgspec.Struct, frozen=True, kw_only=True):
    """The inbox folder."""

    path: str
    mode: str
    last_scan: float | None
    problem: Reason | None = None
    unreadable: tuple[str, ...] = ()  # the first few; `unreadable_count` says how many there are
    unreadable_count: int = 0
    held: tuple[HeldView, ...] = ()  # likewise
    held_count: int = 0


class OutboxView(msgspec.Struct, frozen=True, kw_only=True):
    """The outbox folder; `problem` says why videos wait for it."""

    path: str
    problem: Reason | None = None


class FailureView(msgspec.Struct, frozen=True, kw_only=True):
    """A job that failed or was rejected."""

    id: str
    short: str
    state: str
    name: str
    ended: float
    reason: Reason | None = None


class FailuresView(msgspec.Struct, frozen=True, kw_only=True):
    """What failed or was rejected within the last 24 hours: how much, as a sentence too, and the last few to end."""

    counts: dict[str, int]
    sentence: str = ""  # empty where nothing did
    last: tuple[FailureView, ...] = ()


class StatusView(msgspec.Struct, frozen=True, kw_only=True):
    """The service in short; `summary` is the sentence that systemd shows too."""

    version: str
    summary: str
    started: float
    counts: dict[str, int]
    paused: Reason | None = None  # why no stage starts, whoever or whatever keeps it
    standstill: Standstill | None = None  # the same where a user's pause or the working hours do
    outside_hours: OutsideHours | None = None  # stages start although the hours say otherwise
    problem: Reason | None = None
    engines: tuple[EngineView, ...] = ()
    inbox: InboxView | None = None
    outbox: OutboxView | None = None
    keep: KeepStatus | None = None
    failures: FailuresView | None = None  # none while the ledger is not open


def view(job: Job, outbox: Path, live: Live | None = None) -> JobView:
    """Show a job; `outbox` is the folder of the settings.

    While something keeps the job, it makes no progress and has no time that is left.
    """
    # The first of each kind is the one that is shown.
    shown = {piece.kind: piece for piece in reversed(pieces(job))}
    playable = shown.get("video" if job.outbox else "review")
    return JobView(
        id=job.id,
        short=job.short,
        name=job.name,
        stem=job.stem,
        folder=job.folder,
        origin=job.origin,
        state=str(job.state),
        recipe=job.ticket.recipe,
        created=job.created,
        updated=job.updated,
        seed=job.seed,
        reason=job.reason,
        unreturned=job.unreturned,
        half=job.half,
        parent=job.parent,
        pictures=tuple(
            PictureView(name=image.name, width=image.width, height=image.height)
            for image in job.images
        ),
        ticket=job.ticket,
        stages=tuple(_stage(stage) for stage in job.stages),
        live=live if job.state in (State.QUEUED, State.RUNNING) and job.reason is None else None,
        outbox=_place(job, outbox),
        removed=job.removed or None,
        poster=address(job, shown.get("poster")),
        video=address(job, playable),
        warnings=warnings(job),
        actions=actions(job),
        seed_helps=seed_helps(job),
    )


def actions(job: Job) -> tuple[str, ...]:
    """Give what a user may do with a job now."""
    match job.state:
        case State.REVIEW:
            return ("approve", "decline", "cancel")
        case State.WAITING | State.QUEUED | State.RUNNING:
            return ("cancel",)
        case State.FAILED | State.CANCELLED if can_repeat(job):
            return ("retry", "again")
        case _ if can_repeat(job):
            return ("again",)
        case _:
            return ()


def can_repeat(job: Job) -> bool:
    """Return whether a job still has its pictures and stages, so that it can run again."""
    return job.state in ENDED and bool(job.stages and job.images) and not job.removed


def address(job: Job, piece: Piece | None) -> str:
    """Give the address of a file of a job; it changes when the file becomes another one."""
    if piece is None:
        return ""
    version = f"?v={quote(piece.work, safe='')}" if piece.work else ""
    return f"/api/v1/jobs/{job.id}/artefacts/{quote(piece.name, safe='')}{version}"


def warnings(job: Job) -> tuple[str, ...]:
    """Give what differs from the request, or could be better."""
    found = list(job.notes)
    for image in dict.fromkeys(job.images):
        found += [f"{image.name}: {change}" for change in image.changes]
    for stage in job.stages:
        if stage.fallbacks and stage.state is Progress.DONE:
            means = ", ".join(stage.fallbacks)
            found.append(f"The stage {stage.name} succeeded with fallbacks: {means}.")
    return tuple(found)


def _stage(stage: Stage) -> StageView:
    return StageView(
        name=stage.name,
        state=str(stage.state),
        review=stage.review,
        approved=stage.approved,
        fallbacks=stage.fallbacks,
        attempts=tuple(
            AttemptView(
                number=attempt.number,
                engine=attempt.engine,
                state=str(attempt.state),
                fallbacks=attempt.fallbacks,
                submitted=attempt.submitted,
                started=attempt.started,
                ended=attempt.ended,
                failure=attempt.failure,
            )
            for attempt in stage.attempts
        ),
    )


def _place(job: Job, outbox: Path) -> str:
    if job.removed:
        return ""
    if job.outbox:
        return str(outbox / job.outbox)
    if job.state is State.REVIEW:
        return str(outbox / REVIEW / folder_name(job))
    return ""
