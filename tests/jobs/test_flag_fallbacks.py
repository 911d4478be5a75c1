"""Fallbacks that are launch flags: asked of the engine's start, and remembered for all that it runs."""

import asyncio
import json
import os
import time

import msgspec
import pytest

from tests.fakes.pipeline import PATIENCE, Restartable, hold, order
from zoetrope.domain.job import State
from zoetrope.engine import report
from zoetrope.engine.comfyui import ComfyEngine
from zoetrope.engine.flag_request import FlagRequests
from zoetrope.jobs.kernel_log import Kill


@pytest.fixture
async def asking(pipeline, tmp_path):
    """A pipeline whose engine's start can be asked for flags."""
    await pipeline.stop()
    pipeline.flag_folder = tmp_path / "flags"
    pipeline.flag_folder.mkdir()
    await pipeline.start()
    return pipeline


def asked(pipeline):
    requests = FlagRequests(pipeline.settings.engines, pipeline.settings.flag_requests)
    return [(each.by, *each.words) for each in requests.asked("e0")]


async def test_where_the_hosts_memory_runs_out_the_engine_is_started_with_one_flag_after_the_other(
    asking,
):
    order(asking, "host_oom", node="KSamplerAdvanced", times=3)
    job = await asking.becomes(await asking.drop(), State.DONE)
    assert job.stages[0].fallbacks == ("free", "without-pinned-memory", "without-caches")
    assert asking.clients[0].restarts == 2
    assert asked(asking) == [
        ("fallback", "--disable-pinned-memory"),
        ("fallback", "--cache-none"),
    ]
    # They are the engine's now, and no recipe's: the next job has nothing to do with them.
    later = await asking.becomes(await asking.drop(stem="dog", colour=7), State.DONE)
    assert later.stages[0].fallbacks == ()


async def test_flags_that_are_in_force_or_cannot_be_asked_for_leave_the_other_fallbacks(
    asking, monkeypatch
):
    file = asking.settings.engines[0].report
    file.write_text('{"schema": 1, "flags": ["--disable-pinned-memory"]}')
    assert "--disable-pinned-memory" in report.read(file).flags

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(FlagRequests, "ask", full)
    order(asking, "host_oom", node="KSamplerAdvanced", times=2)
    job = await asking.becomes(await asking.drop(), State.DONE)
    assert job.stages[0].fallbacks[0] == "free"
    assert not {"without-pinned-memory", "without-caches"} & set(job.stages[0].fallbacks)
    assert asked(asking) == []


async def test_without_a_way_to_ask_nothing_is_asked_for(pipeline):
    order(pipeline, "host_oom", node="KSamplerAdvanced", times=2)
    job = await pipeline.becomes(await pipeline.drop(), State.DONE)
    assert not {"without-pinned-memory", "without-caches"} & set(job.stages[0].fallbacks)


@pytest.fixture(autouse=True)
def _notes_may_lie_ahead(monkeypatch):
    """Notes are written here before the stage begins that they explain, however long that takes."""
    monkeypatch.setattr("zoetrope.engine.report.AHEAD", 7200.0)


def killed(pipeline, at):
    """Let the engine's next start say that the kernel killed it then."""
    ended = {"schema": 1, "ended": [{"how": "oom-kill", "at": at}]}
    pipeline.settings.engines[0].report.write_text(json.dumps(ended))


async def dies(pipeline):
    """Let the engine's process end while it works on a job, and another one take its place."""
    hold(pipeline)
    job = await pipeline.drop()

    async def started():
        attempt = (await pipeline.ledger.get(job.id)).attempt
        return attempt is not None and attempt.started is not None

    async with asyncio.timeout(PATIENCE):
        while not await started():
            await asyncio.sleep(0.02)
    pipeline.engines[0].faults.clear()
    await pipeline.engines[0].restart()
    return job


async def test_an_engine_that_the_kernel_kills_gets_another_flag_and_not_the_same_again(asking):
    killed(asking, time.time() + 3600)
    job = await asking.becomes(await dies(asking), State.DONE)
    first, second = job.stages[0].attempts
    assert first.failure.kind == "oom-kill"
    assert second.failure is None
    assert job.stages[0].fallbacks == ("without-pinned-memory",)
    assert asked(asking) == [("fallback", "--disable-pinned-memory")]
    assert asking.clients[0].restarts == 1


async def test_an_engine_that_is_no_unit_is_found_in_the_kernels_log(asking, monkeypatch):
    async def real(self):
        return msgspec.structs.replace(await ComfyEngine.stats(self), simulated=False)

    monkeypatch.setattr(Restartable, "stats", real)
    # The simulated engine listens in this process.
    asking.killed = [Kill(at=time.time() + 3600, group="/other.scope", pid=os.getpid())]
    job = await asking.becomes(await dies(asking), State.DONE)
    assert job.stages[0].attempts[0].failure.kind == "oom-kill"
    assert asked(asking) == [("fallback", "--disable-pinned-memory")]


async def test_what_the_kernel_says_of_another_program_is_none_of_the_engines(asking):
    asking.killed = [Kill(at=time.time() + 3600, group="/other.scope", pid=1)]
    job = await asking.becomes(await dies(asking), State.DONE)
    assert job.stages[0].attempts[0].failure.kind == "crash"
    assert asked(asking) == []


async def test_an_engine_on_the_cpu_has_no_pinned_memory_to_do_without(asking):
    found = {"schema": 1, "mode": "cpu", "ended": [{"how": "oom-kill", "at": time.time() + 3600}]}
    asking.settings.engines[0].report.write_text(json.dumps(found))
    await asking.becomes(await dies(asking), State.DONE)
    assert asked(asking) == [("fallback", "--cache-none")]


async def test_a_kill_of_long_ago_has_nothing_to_do_with_a_crash_of_today(asking):
    killed(asking, time.time() - 3600)
    job = await asking.becomes(await dies(asking), State.DONE)
    assert job.stages[0].attempts[0].failure.kind == "crash"
    assert asked(asking) == []
