"""Handing a stage over: its files are uploaded and its graph submitted, anew where the engine lost what it was given."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from ..engine.protocol import Engine
from ..errors import EngineRefused, ZoetropeError
from ..host import trouble
from .engine_disk import LOST
from .stage_request import StageRequest

log = logging.getLogger("zoetrope.jobs")

# What empties the input folder once may do so between two calls; an engine that loses every upload is out of order.
TRIES = 3


class NotSent(ZoetropeError):
    """A file that the stage needs cannot be read here, so the engine was not given the prompt."""

    key = "not-sent"


async def hand_over(
    engine: Engine,
    request: StageRequest,
    work: Path,
    prompt_id: str,
    *,
    tags: Mapping[str, str],
    standstill: Callable[[], bool],
) -> bool:
    """Upload and submit; false if no stage may start by the time that the files are there."""
    for tries in range(1, TRIES + 1):
        names = await _upload(engine, request, work)
        if standstill():
            return False
        try:
            await engine.submit(request.graph(names), prompt_id, tags=tags)
        except EngineRefused as error:
            if error.reason.key != LOST or tries == TRIES:
                raise
            about = {"job": tags["job"][:8], "action": LOST, "engine": engine.name}
            log.warning("%s It is sent again.", error.reason.sentence, extra=about)
        else:
            break
    return True


async def _upload(engine: Engine, request: StageRequest, work: Path) -> dict[str, str]:
    try:
        return {
            kind: await engine.upload(work / file, request.names()[kind])
            for kind, file in request.files().items()
        }
    except OSError as error:
        if (reason := trouble(error)) is None:
            raise
        raise NotSent(reason.sentence, reason.next_step, key=reason.key) from error
