"""What an engine has besides a graph: worked out from what it reports, its report, and the models that this host sees."""

from __future__ import annotations

import msgspec

from ..address import is_local
from ..domain.environment import Environment, ModelFile, NodePack
from ..domain.job import Job, Stage
from ..engine.protocol import Stats
from ..engine.report import EngineReport
from ..graphs.graph import Graph
from ..graphs.loaders import loaded
from ..models.hashes import Hashes

SIMULATED = "the simulated engine reads no model files"
ELSEWHERE = "the engine runs on another host, whose model files the service does not see"
THEIRS = "another file than the service's stands in the engine's own folder"
NO_REPORT = "the engine has no report of pre-start.sh"
NO_VERSION = "the pack names no version"
NOT_LOADED = "it was missing when the engine started"


async def environment(
    hashes: Hashes, url: str, stats: Stats, names: tuple[str, ...]
) -> Environment:
    """Say what an engine has now, of models these; nothing is waited for that would have to be computed."""
    report = stats.runtime
    packs, unknown = packs_of(stats)
    return Environment(
        gpu=stats.device,
        driver=report.driver if report is not None else "",
        runtime=report.runtime
        if report is not None and report.runtime
        else _reported_versions(stats),
        flags=report.flags if report is not None else (),
        dynamic_vram=report.dynamic_vram if report is not None else "",
        models=await models_of(hashes, url, stats, names),
        packs=packs,
        packs_unknown=unknown,
    )


def names_in(graph: Graph) -> tuple[str, ...]:
    """Name the model files that a graph loads, each with its folder."""
    return tuple(dict.fromkeys(f"{loader.folder}/{name}" for loader, name in loaded(graph)))


async def models_of(
    hashes: Hashes, url: str, stats: Stats, names: tuple[str, ...]
) -> tuple[ModelFile, ...]:
    """Say which files an engine has under these names, as far as the service can see them."""
    if stats.simulated or not _is_here(url, stats.runtime):
        why = SIMULATED if stats.simulated else ELSEWHERE
        return tuple(ModelFile(name=name, unknown=why) for name in names)
    return tuple(
        ModelFile(name=file.name, unknown=THEIRS) if _is_theirs(file, stats.runtime) else file
        for file in await hashes.look(names)
    )


def packs_of(stats: Stats) -> tuple[tuple[NodePack, ...], str]:
    """List the node packs that an engine was started with, or say why nobody knows them."""
    if stats.simulated:
        return (), "the simulated engine has no node packs"
    if stats.runtime is None or not stats.runtime.packs:
        return (), NO_REPORT if stats.runtime is None else "the report of pre-start.sh lists none"
    return tuple(
        NodePack(
            name=pack.name,
            version=pack.version,
            source=pack.source,
            unknown=NOT_LOADED
            if pack.state == "missing"
            else ""
            if pack.version or pack.source
            else NO_VERSION,
        )
        for pack in stats.runtime.packs
    ), ""


def _is_here(url: str, report: EngineReport | None) -> bool:
    """Return whether an engine loads from this host's folders: it was started here, or listens here alone."""
    return report is not None or is_local(url)


def _is_theirs(file: ModelFile, report: EngineReport | None) -> bool:
    """Return whether pre-start.sh found a person's own file where it would have put its link."""
    return report is not None and any(
        warning.key == "yours" and f"/models/{file.name} " in warning.sentence
        for warning in report.warnings
    )


def _reported_versions(stats: Stats) -> str:
    """Name what an engine without a report says of its packages."""
    said = {"python": stats.python.split()[0] if stats.python else "", "torch": stats.torch}
    return ", ".join(f"{name} {version}" for name, version in said.items() if version)


async def hashed(hashes: Hashes, job: Job) -> Job:
    """Give a job with the hashes of models that were computed since its attempts were submitted."""
    stages = tuple([await _hashed_stage(hashes, stage) for stage in job.stages])
    return msgspec.structs.replace(job, stages=stages)


async def _hashed_stage(hashes: Hashes, stage: Stage) -> Stage:
    attempts = []
    for attempt in stage.attempts:
        if (has := attempt.environment) is not None:
            models = await hashes.completed(has.models)
            has = msgspec.structs.replace(has, models=models)
        attempts.append(msgspec.structs.replace(attempt, environment=has))
    return msgspec.structs.replace(stage, attempts=tuple(attempts))
