"""Fallbacks: what to do after a failure, as a value decided from what was already tried."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ..domain.job import Job, Stage, State
from ..domain.values import Failure
from ..errors import Reason
from .engine_disk import ENGINE_DISK

FREE = "free"
RESTART = "restart"

# A failure that says nothing of memory may be a passing one; these are worth the same attempt again.
PASSING = frozenset(
    {"crash", "vanished", "engine-error", "wrong-answer", "upload-refused", "node", "doubtful"}
)
# An engine that keeps what its nodes made would give the same again: it has to free that first.
CACHED = frozenset({"node", "doubtful"})
# The GPU's or the process's state is broken; the same process would only fail again.
BROKEN = frozenset({"cuda", "wedged"})
# Another client of the engine stopped it; no user asked the service to. Worth one more attempt.
INTERRUPTED = frozenset({"interrupted"})
# Memory ran out: the GPU's, the host's, or what of the host's can be pinned.
# The kernel ended the engine's process for it: there is nothing to free, and the same again may end another one.
KILLED = "oom-kill"
# It was not sent, because it cannot fit: by the sums with no launch flags at all, or not with those in use.
TOO_LARGE, TOO_LARGE_AS_STARTED = "host-memory", "launch-flags"
UNSENT = frozenset({TOO_LARGE, TOO_LARGE_AS_STARTED})
HOST_MEMORY = frozenset({"host-oom", "pinned-memory", KILLED}) | UNSENT
MEMORY = HOST_MEMORY | {"oom"}
# The only fallback of recipes that needs less of the host's memory; the others move work there from the GPU.
SMALLER = "smaller"
# What needs less of the host's memory and takes a new process, with the launch flag for it, in order: pinned memory
# cannot be swapped out, caches can be made anew (ComfyUI #15255).
FLAGS = {"without-pinned-memory": "--disable-pinned-memory", "without-caches": "--cache-none"}
# It ran in a process that another job's failure had broken before: nothing is known of the job itself.
BYSTANDER = "bystander"

# What to try with a video that looks like this, whoever made it look so.
LOOKS = {
    "black": (
        "Where ComfyUI's log says `invalid value encountered in cast`, the model produced NaN:"
        " try the attention kernel sdpa, then weights that are less quantised."
    ),
    "frozen": "Ask for a definite action in the prompt, or try another seed; zoetrope lint checks the workflow.",
    "noise": "Look at the video in the work folder: zoetrope lint finds steps that do not meet, zoetrope health"
    " an attention kernel that is wrong on this GPU.",
}

# Another seed makes other pictures: it can end these, and nothing that is the same for every seed.
SEEDS_LOOKS = frozenset({"black", "saturated", "frozen", "bytes"})


class Again(msgspec.Struct, frozen=True):
    """Try again with these fallbacks in force, after freeing the engine's memory or restarting it, with another flag if it has to `ask` for one of FLAGS."""

    fallbacks: tuple[str, ...]
    free: bool = False
    restart: bool = False
    delay: float = 0.0
    ask: str = ""


class Hold(msgspec.Struct, frozen=True):
    """The host lacks something; the job waits without having failed, and is looked at again."""

    reason: Reason
    delay: float


class Blocked(msgspec.Struct, frozen=True):
    """The engine takes no work for now, whose ever: the job waits, and none of its tries is lost."""


class GiveUp(msgspec.Struct, frozen=True):
    """Nothing is left to try; with `restart`, the engine's process is of no use to the next job either."""

    reason: Reason
    restart: bool = False


class Refuse(msgspec.Struct, frozen=True):
    """The graph itself is rejected; only a person can fix the recipe or the ticket."""

    reason: Reason


Decision = Again | Hold | Blocked | GiveUp | Refuse


class Means(msgspec.Struct, frozen=True, kw_only=True):
    """What can be done at all: the fallbacks that the recipe offers, in order, whether the engine can be restarted, and how often to retry.

    `flags` are those of FLAGS that its engine is not yet asked for; None where there is no way to ask.
    """

    offered: tuple[str, ...] = ()
    can_restart: bool = False
    retries: int = 3
    flags: tuple[str, ...] | None = None


def decide(failure: Failure, stage: Stage, means: Means) -> Decision:
    """Choose the next fallback; `stage` holds every attempt so far, the failed one as its last."""
    kind = failure.kind
    if kind in ("model-missing", "node-missing"):
        return Hold(
            Reason(kind, failure.message, "The job goes on by itself once it is there."), 60
        )
    if kind == "graph-refused":
        return Refuse(Reason(kind, failure.message, "Fix the recipe or the ticket."))
    fallbacks = stage.fallbacks
    if kind in ENGINE_DISK:
        return Blocked()
    if kind in INTERRUPTED and _count(stage.attempts, INTERRUPTED) <= min(1, means.retries):
        return Again(fallbacks)
    if kind == BYSTANDER:
        return Again(fallbacks)
    if kind in MEMORY:
        return _next_fallback(failure, fallbacks, means)
    if kind in BROKEN:
        return _restart(failure, fallbacks, stage, means)
    if kind in PASSING and _count(stage.attempts, PASSING) <= _allowed(kind, means):
        # A growing pause lets a service manager bring the engine back before the next attempt.
        tries = _count(stage.attempts, PASSING)
        delay = 0.0 if kind in ("vanished", *CACHED) else min(60.0, 2.0 ** (tries - 1))
        return Again(fallbacks, free=kind in CACHED, delay=delay)
    return GiveUp(_last_word(failure, stage))


def seed_helps(job: Job) -> bool:
    """Tell whether another seed may end better: whatever was seen by somebody, and pictures that verification doubts.

    A file or a model that is missing, a disk, the memory, a rejected picture or workflow are the same for every seed.
    """
    if job.state is State.REJECTED:
        return False
    if job.state is not State.FAILED:
        return True
    attempts = [attempt for stage in job.stages for attempt in stage.attempts]
    failure = attempts[-1].failure if attempts else None
    return failure is not None and not SEEDS_LOOKS.isdisjoint(failure.looks)


def _next_fallback(failure: Failure, fallbacks: tuple[str, ...], means: Means) -> Decision:
    restart = (RESTART,) if means.can_restart else ()
    order = (FREE, *means.offered, *restart)
    if failure.kind == "pinned-memory":
        order = (FREE, *restart, *(each for each in means.offered if each == SMALLER))
    flags = means.flags or ()
    if failure.kind == TOO_LARGE:
        order = tuple(each for each in means.offered if each == SMALLER)
    elif failure.kind in (KILLED, TOO_LARGE_AS_STARTED):
        order = (*flags, *(each for each in means.offered if each == SMALLER))
    elif failure.kind in HOST_MEMORY and (flags or not FLAGS.keys().isdisjoint(fallbacks)):
        # Each flag takes a new process: another one without a new flag would be the same again.
        order = (FREE, *flags, *(each for each in means.offered if each == SMALLER))
    for fallback in order:
        if fallback not in fallbacks:
            ask = fallback if fallback in flags else ""
            anew = fallback == RESTART or bool(ask)
            free = not anew and failure.kind not in (KILLED, *UNSENT)
            return Again((*fallbacks, fallback), free=free, restart=anew, ask=ask)
    if failure.kind in UNSENT:
        tried = f" Tried: {', '.join(fallbacks)}." if fallbacks else ""
        return GiveUp(Reason(failure.kind, f"{failure.message}{tried}", _UNSENT[failure.kind]))
    tried = ", ".join(fallbacks) or "nothing"
    memory, step = _MEMORY_WORDS[failure.kind]
    if failure.kind in HOST_MEMORY and means.flags is not None:
        step = _ASKED
    return GiveUp(
        Reason(failure.kind, f"It does not fit into {memory}, even after: {tried}.", step)
    )


_FLAGS = (
    "Start ComfyUI with --disable-pinned-memory and, if that is not enough, with --cache-none (on NixOS:"
    " services.zoetrope.comfyui.extraArgs), then retry; or ask for a smaller size."
)
_ASKED = (
    "The service has asked ComfyUI's start for all flags that save the host's memory (zoetrope health says which are"
    " in use). Ask for a smaller size or fewer frames, or give the host more memory or swap, then retry."
)
MORE = (
    "Give the host that much more memory or swap, raise MemoryMax of ComfyUI's unit where it is set, or ask for a"
    " smaller size or fewer frames, then retry."
)
OTHER_FLAGS = (
    "Start ComfyUI with --disable-pinned-memory and without --disable-mmap (on NixOS:"
    " services.zoetrope.comfyui.extraArgs), or ask for a smaller size or fewer frames, then retry."
)
_UNSENT = {TOO_LARGE: MORE, TOO_LARGE_AS_STARTED: OTHER_FLAGS}
_MEMORY_WORDS = {
    "oom": (
        "the GPU's memory",
        "Ask for a smaller size or fewer frames, or use a recipe for less memory.",
    ),
    "host-oom": ("the host's memory", _FLAGS),
    KILLED: ("the host's memory", _FLAGS),
    "pinned-memory": ("the host's memory that can be pinned", _FLAGS),
}


def _restart(failure: Failure, fallbacks: tuple[str, ...], stage: Stage, means: Means) -> Decision:
    tries = _count(stage.attempts, BROKEN)
    if tries <= max(1, means.retries):
        # A lost CUDA context fails every job of its process within a second (ComfyUI #15271): where
        # it may not be restarted, the engine waits for another process, and the jobs with it.
        if means.can_restart or failure.kind == "cuda":
            tried = fallbacks if RESTART in fallbacks else (*fallbacks, RESTART)
            return Again(tried, restart=True)
        return Again(fallbacks, free=True)
    step = (
        ""
        if means.can_restart
        else " With engines.restart set, the service does that, but for a driver that waits for the host's reboot."
    )
    return GiveUp(
        Reason(
            failure.kind,
            f"The engine's process is broken: {failure.message}",
            f"Restart the engine and look at the GPU's health, then retry the job.{step}",
        ),
        restart=failure.kind == "cuda",
    )


def needs_free(stage: Stage, engine: str) -> bool:
    """Tell whether an engine would give a bad result again from its cache, and has to free that before the open attempt."""
    before = [each for each in stage.attempts[:-1] if each.engine == engine]
    failure = before[-1].failure if before else None
    return failure is not None and failure.kind in CACHED


def _allowed(kind: str, means: Means) -> int:
    # A node's own error is nearly always the same again: one more attempt tells.
    return min(1, means.retries) if kind in ("node", "doubtful") else means.retries


def _count(attempts: Sequence[object], kinds: frozenset[str]) -> int:
    return sum(
        1
        for attempt in attempts
        if (failure := getattr(attempt, "failure", None)) is not None and failure.kind in kinds
    )


def _last_word(failure: Failure, stage: Stage) -> Reason:
    where = f" in {failure.node_type}" if failure.node_type else ""
    steps = {
        "model": "A model file is missing or damaged: check it against its hash, then retry.",
        "package": "The engine lacks a Python package: check its installation, then retry.",
        "file": "The engine misses a file: look at its log, then retry.",
        "crash": "The engine keeps dying: look at its log and the host's memory, then retry.",
        "wrong-answer": "Check that engines.url leads to ComfyUI, and look at its log, then retry.",
        "engine-error": "Look at the log of the engine, and at a proxy before it if there is one, then retry.",
        "engine-old": "Update ComfyUI, then retry.",
        "interrupted": "Interrupt only prompts of your own there (ComfyUI's page interrupts whatever runs), then"
        " retry the job. To stop a job, cancel it here.",
        "removed": "Remove only prompts of your own from the engine's queue, then retry the job. To stop a job,"
        " cancel it here.",
        "vanished": "Something removes the engine's outputs: look at its output folder, then retry.",
        "doubtful": _doubtful(failure.looks),
    }
    tries = len(stage.attempts) - _count(stage.attempts, ENGINE_DISK)
    count = f" after {tries} attempts" if tries > 1 else ""
    return Reason(
        failure.kind,
        f"The stage {stage.name} failed{where}{count}: {failure.message}",
        steps.get(failure.kind, "Look at the engine's log, then retry."),
    )


def _doubtful(looks: Sequence[str]) -> str:
    """Say what to do about a video that is no good, by what is wrong with it."""
    if (step := next((LOOKS[look] for look in looks if look in LOOKS), "")) != "":
        return step
    if not SEEDS_LOOKS.isdisjoint(looks):
        return "Look at the video in the work folder; another seed may help."
    if "unreadable" in looks or "empty" in looks:
        return "Look at the engine's log and its disk, then retry."
    return "Look at the video in the work folder: the recipe's workflow makes something else than its recipe.toml expects."
