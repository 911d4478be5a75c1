"""A stage that does not fit into the host's memory is not sent: it waits, gets other flags, becomes smaller, or says why."""

import json

import msgspec
import pytest

from tests.fakes.pipeline import Pipeline, Restartable
from zoetrope.domain.job import State
from zoetrope.domain.values import Ticket
from zoetrope.engine.comfyui import ComfyEngine
from zoetrope.engine.flag_request import FlagRequests
from zoetrope.graphs.shelf import Recipes, shipped
from zoetrope.health.checks.queue import QueueCheck
from zoetrope.jobs.lint_gate import LintGate
from zoetrope.jobs.memory_budget import GIB, HostMemory
from zoetrope.jobs.memory_gate import MemoryGate
from zoetrope.jobs.preflight import check_ticket
from zoetrope.settings import EngineSettings, Settings


def has(gigabytes, *, taken=0.0, held=0):
    """A host of so much memory, of which other programs hold some."""
    total = int(gigabytes * GIB)
    return HostMemory(total=total, available=total - int(taken * GIB), held=held)


def started(pipeline, *flags, number=0):
    """Let an engine's report say that it was started so."""
    found = {"schema": 1, "comfyui": "0.30.2", "mode": "gpu", "flags": flags}
    (pipeline.root / f"e{number}.json").write_text(json.dumps(found))


@pytest.fixture
async def sent(monkeypatch):
    """What the engines were sent, one prompt each, by their names; they pass for real ones."""
    names = []
    submit = ComfyEngine.submit

    async def stats(self):
        return msgspec.structs.replace(await ComfyEngine.stats(self), simulated=False)

    async def noted(self, *told, **tags):
        names.append(self.name)
        await submit(self, *told, **tags)

    monkeypatch.setattr(Restartable, "stats", stats)
    monkeypatch.setattr(Restartable, "submit", noted)
    return names


@pytest.fixture
async def pipeline(tmp_path, monkeypatch, sent):
    monkeypatch.setattr("zoetrope.jobs.settlement.HOST_SECONDS", 0.05)
    monkeypatch.setattr("zoetrope.jobs.settlement.LONGEST_WAIT", 0.1)
    pipeline = Pipeline(tmp_path, engines=1)
    pipeline.flag_folder = tmp_path / "flags"
    pipeline.flag_folder.mkdir()
    started(pipeline)
    await pipeline.start()
    yield pipeline
    await pipeline.close()


async def test_a_stage_waits_while_other_programs_hold_the_memory_and_says_so(pipeline, sent):
    pipeline.memory = has(64, taken=40)
    job = await pipeline.drop()
    waiting = await pipeline.waits(job, "host-memory-busy")
    assert "tiny, stage i2v: 3" in waiting.reason.sentence
    assert "other programs leave 23.0 GiB" in waiting.reason.sentence
    assert "Close what else needs memory" in waiting.reason.next_step
    assert sent == []
    # Between two tries it waits for nothing.
    await pipeline.until(lambda: job.id in pipeline.conductor.status().waiting)
    parts = type("Parts", (), {"conductor": pipeline.conductor, "ledger": pipeline.ledger})()
    verdict = await QueueCheck(parts).look()
    assert (verdict.level, "other programs leave" in verdict.found) == ("degraded", True)
    pipeline.memory = has(64, taken=2)
    done = await pipeline.becomes(job, State.DONE)
    # Nothing was tried, so nothing failed.
    assert [len(stage.attempts) for stage in done.stages] == [1, 1]
    assert sent == ["e0", "e0"]
    assert done.reason is None


async def test_what_the_engine_itself_holds_it_gives_up_for_the_stage(pipeline):
    pipeline.memory = has(64, taken=40, held=38 * GIB)
    await pipeline.becomes(await pipeline.drop(), State.DONE)


async def test_a_stage_that_fits_with_other_flags_gets_them_before_it_is_sent(
    pipeline, sent, monkeypatch
):
    pipeline.memory = has(24, taken=2)
    restart = Restartable.restart

    async def with_flags(self):
        requests = FlagRequests(pipeline.settings.engines, pipeline.settings.flag_requests)
        started(pipeline, *(each.words[0] for each in requests.asked("e0")))
        await restart(self)

    monkeypatch.setattr(Restartable, "restart", with_flags)
    job = await pipeline.becomes(await pipeline.drop(), State.DONE)
    first, second = job.stages[0].attempts
    assert first.failure.kind == "launch-flags"
    assert "as ComfyUI was started it needs" in first.failure.message
    assert second.failure is None
    assert job.stages[0].fallbacks == ("without-pinned-memory",)
    assert pipeline.clients[0].restarts == 1
    assert sent == ["e0", "e0"]


async def test_a_stage_that_no_flag_makes_fit_fails_with_the_numbers_and_is_never_sent(
    pipeline, sent
):
    pipeline.memory = has(6, taken=1)
    job = await pipeline.becomes(await pipeline.drop(), State.FAILED)
    assert job.reason.key == "host-memory"
    assert "the host has 2.0 GiB for ComfyUI: 1.0 GiB are missing" in job.reason.sentence
    assert "Tried: smaller." in job.reason.sentence
    assert "more memory or swap" in job.reason.next_step
    assert (sent, pipeline.clients[0].restarts) == ([], 0)


async def test_where_there_is_no_way_to_ask_the_flags_are_named(pipeline, sent, monkeypatch):
    monkeypatch.setattr(Restartable, "may_restart", False)
    pipeline.memory = has(24, taken=2)
    job = await pipeline.becomes(await pipeline.drop(), State.FAILED)
    assert job.reason.key == "launch-flags"
    assert "--disable-pinned-memory" in job.reason.next_step
    assert sent == []


@pytest.mark.parametrize("unknown", ["memory", "report", "elsewhere"])
async def test_what_is_not_known_keeps_no_stage(pipeline, monkeypatch, unknown):
    pipeline.memory = has(6, taken=1) if unknown != "memory" else None
    if unknown == "report":
        (pipeline.root / "e0.json").unlink()
    if unknown == "elsewhere":
        monkeypatch.setattr(ComfyEngine, "here", False)
    await pipeline.becomes(await pipeline.drop(), State.DONE)


async def test_an_idle_engine_gives_up_what_it_keeps_for_another_one(tmp_path, sent, monkeypatch):
    monkeypatch.setattr("zoetrope.jobs.settlement.HOST_SECONDS", 0.05)
    freed = []

    async def free(self):
        freed.append(self.name)
        pipeline.memory = has(64, taken=2)

    monkeypatch.setattr(Restartable, "free", free)
    pipeline = Pipeline(tmp_path, engines=2)
    started(pipeline, number=0)
    started(pipeline, number=1)
    pipeline.memory = has(64, taken=40)
    await pipeline.start()
    try:
        await pipeline.becomes(await pipeline.drop(), State.DONE)
    finally:
        await pipeline.close()
    # Whichever engine it is leased to when it is tried again.
    assert len(freed) == 1
    assert set(sent) <= {"e0", "e1"}


def told(tmp_path, memory, *, recipe="wan22-i2v-hero"):
    (tmp_path / "e0.json").write_text('{"schema": 1, "comfyui": "0.30.2", "flags": []}')
    settings = Settings(engines=(EngineSettings(name="e0", report=tmp_path / "e0.json"),))
    found = check_ticket(
        LintGate(settings),
        Recipes((shipped(),)).get(recipe),
        Ticket(recipe=recipe),
        {"e0": 16.0},
        memory_of=MemoryGate(settings, memory=lambda _: memory).finding,
    )
    return [each for each in found.findings if each.rule in ("host-memory", "launch-flags")]


def test_preflight_says_before_anything_is_made_which_stage_does_not_fit(tmp_path):
    found = told(tmp_path, has(16, taken=2))
    assert [(each.stage, each.severity) for each in found][:1] == [("i2v", "warn")]
    assert "GiB of model files" in found[0].found
    # What is busy now may not be when its turn comes.
    assert told(tmp_path, has(128, taken=120)) == []
    assert told(tmp_path, None) == []
