"""The results of a stage: fetched from the engine, measured, and judged before they count."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from pathlib import Path

import msgspec

from ..domain.job import Job
from ..domain.values import Artefact, Failure
from ..domain.verdict import Verdict
from ..engine.protocol import Engine, Finished
from ..errors import OutputVanished, Oversized
from ..graphs.recipe import Recipe
from ..places import Kind, Places
from ..store.protocol import JobIndex
from ..verify.check import check
from .outcome import Failed, Obsolete, Outcome, Succeeded
from .progress import Brings
from .stage_request import expectation, most_bytes


async def bring(
    engine: Engine,
    finished: Finished,
    recipe: Recipe,
    job: Job,
    work: Path,
    *,
    say: Callable[[str, Brings], None],
    index: JobIndex,
    places: Places,
    embed_graph: bool,
) -> Outcome:
    """Fetch what the job's stage made into its work folder, and say whether it is a valid video."""
    stage, attempt = job.stage, job.attempt
    if stage is None or attempt is None:
        return Obsolete()
    spec = recipe.stage(stage.name)
    name = f"{stage.name}-{attempt.number}"
    expected = expectation(recipe, spec, job)
    most = most_bytes(expected)
    say(stage.name, "fetch")
    try:
        videos = await _fetch(engine, finished, spec.output, work / name, most)
        # What the next stage works on, if the recipe has something better than the clip.
        handoff = spec.handoff and await _fetch(
            engine, finished, spec.handoff.output, work / f"{name}-whole", most
        )
    except OutputVanished as error:
        return Failed(Failure(kind="vanished", message=error.reason.sentence))
    except Oversized as error:
        return Failed(Failure(kind="doubtful", message=error.reason.sentence))
    poster = work / f"{name}.jpg"
    say(stage.name, "check")
    # Engines finish more stages than the host can check at once.
    async with places.take(Kind.VIDEO):
        verdicts = [
            await check(
                work / video.file,
                expected,
                image=work / job.images[0].file,
                poster=poster if video is videos[0] else None,
                strip=not embed_graph,
            )
            for video in videos
        ]
        if handoff:
            # The clip was measured; of the same frames only their number and size are left to doubt.
            plain = msgspec.structs.replace(expected, quality=False)
            verdicts.append(await check(work / handoff[0].file, plain))
    if (failure := _doubts(verdicts)) is not None:
        return Failed(failure)
    if not embed_graph:
        videos = [await asyncio.to_thread(identify, work / video.file) for video in videos]
    if (failure := await _of_another(index, job, videos)) is not None:
        return Failed(failure)
    made = poster.name if await asyncio.to_thread(poster.exists) else ""
    return Succeeded(tuple(videos), handoff[0] if handoff else None, tuple(verdicts), made)


async def _of_another(index: JobIndex, job: Job, made: list[Artefact]) -> Failure | None:
    """Return a failure if a result is, byte by byte, what another job published that was made of another picture.

    The same bytes may well come out of the same picture again, whatever its file is like; so only pictures that
    are known to look different count.
    """
    for artefact in made:
        other = await index.find_publisher(artefact.sha256)
        if other is not None and other.id != job.id and _differ(other, job):
            message = f"The engine gave the video of job {other.short}, which was made of another picture."
            return Failure(kind="wrong-answer", message=message)
    return None


def _differ(one: Job, other: Job) -> bool:
    seen = [tuple(image.pixels for image in job.images) for job in (one, other)]
    return all(map(all, seen)) and seen[0] != seen[1]


def identify(file: Path) -> Artefact:
    """Say what a work file is now."""
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    return Artefact(file=file.name, size=file.stat().st_size, sha256=digest)


async def _fetch(
    engine: Engine, finished: Finished, node: str, stem: Path, most: int
) -> list[Artefact]:
    """Fetch every file of one node, or raise OutputVanished."""
    outputs = [output for output in finished.outputs if output.node == node]
    if not outputs:
        raise OutputVanished(f"The node {node!r} made no file.")
    artefacts = []
    for count, output in enumerate(outputs):
        more = f"-{count + 1}" if count else ""
        name = f"{stem.name}{more}{output.suffix}"
        artefacts.append(await engine.fetch(output, stem.with_name(name), most))
    return artefacts


def _doubts(verdicts: list[Verdict]) -> Failure | None:
    doubts = [verdict.sentence for verdict in verdicts if not verdict.passed]
    if not doubts:
        return None
    looks = tuple(finding.key for verdict in verdicts for finding in verdict.findings)
    return Failure(kind="doubtful", message=" ".join(doubts), looks=looks)
