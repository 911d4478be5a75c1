"""The outcome of a stage run: the stage's files, a failure, or nothing left to do."""

from __future__ import annotations

import msgspec

from ..domain.values import Artefact, Failure
from ..domain.verdict import Verdict


class Succeeded(msgspec.Struct, frozen=True):
    """The stage's files are here, and verification has no doubt about them."""

    artefacts: tuple[Artefact, ...]
    handoff: Artefact | None = None
    verdicts: tuple[Verdict, ...] = ()
    poster: str = ""


class Failed(msgspec.Struct, frozen=True):
    """The attempt failed."""

    failure: Failure


class Obsolete(msgspec.Struct, frozen=True):
    """The job has ended meanwhile; there is nothing left to do."""


class Postponed(msgspec.Struct, frozen=True):
    """No stage may start now: the engine does not have the prompt, or was made to stop."""


Outcome = Succeeded | Failed | Obsolete | Postponed

# How an engine can lose a prompt that it had.
DIED = Failed(Failure(kind="crash", message="The engine died while it worked on this."))
FORGOTTEN = Failed(Failure(kind="crash", message="The engine keeps forgetting the prompt."))
INTERRUPTED = Failed(
    Failure(
        kind="interrupted",
        message="Another client of the engine interrupted it, not a user of the service.",
    )
)
REMOVED = Failed(
    Failure(kind="removed", message="Another client keeps removing it from the engine's queue.")
)
