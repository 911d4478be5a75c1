"""Haste: the product's pauses made short, in a process of the run's own; what is done between them stays."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import wraps
from typing import Any

import msgspec

from tests.endurance.failpoints import stand_in
from zoetrope.inbox.intake import Intake
from zoetrope.jobs.fallbacks import Again, Hold

PAUSES: dict[str, float] = {
    "zoetrope.jobs.room:DISK_SECONDS": 0.3,
    "zoetrope.jobs.settlement:HOST_SECONDS": 0.2,
    "zoetrope.jobs.settlement:LONGEST_WAIT": 0.5,
    "zoetrope.jobs.publisher:FIRST_PAUSE": 0.2,
    "zoetrope.jobs.publisher:LONGEST_PAUSE": 0.5,
    "zoetrope.jobs.engine_watch:PROBE_SECONDS": 0.5,
    "zoetrope.jobs.engine_watch:FIRST_RETRY": 0.05,
    "zoetrope.jobs.engine_watch:LONGEST_RETRY": 0.2,
    "zoetrope.jobs.engine_watch:HEAL_SECONDS": 0.5,
    "zoetrope.jobs.worker:FIRST_RETRY": 0.05,
    "zoetrope.jobs.worker:LONGEST_RETRY": 0.2,
    "zoetrope.jobs.wrong_answers:LONGEST_PAUSE": 0.2,
    "zoetrope.jobs.wrong_answers:SECONDS": 1.0,
}
LONGEST = 0.2  # what a fallback waits at most


def hasten(put: Callable[[Any, str, Any], None] = setattr) -> None:
    """Shorten every pause, and what fallbacks wait."""
    for place, seconds in PAUSES.items():
        module, _, name = place.partition(":")
        found = importlib.import_module(module)
        assert hasattr(found, name), place
        put(found, name, seconds)
    defaults = {**(Intake.__init__.__kwdefaults__ or {}), "retry_seconds": 0.2, "hold_seconds": 0.5}
    put(Intake.__init__, "__kwdefaults__", defaults)
    stand_in("zoetrope.jobs.fallbacks:decide", _soon, put)


def _soon(real: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(real)
    def decide(*args: Any, **kwargs: Any) -> Any:
        decision = real(*args, **kwargs)
        if isinstance(decision, Again | Hold):
            return msgspec.structs.replace(decision, delay=min(decision.delay, LONGEST))
        return decision

    return decide
