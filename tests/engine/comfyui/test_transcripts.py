"""Whole runs of real servers, recorded on three versions, played through the client."""

import uuid

import pytest

from tests.fakes.replay import VERSIONS, Replay
from zoetrope.engine.comfyui import ComfyEngine
from zoetrope.engine.protocol import Cached, Finished, Interrupted, PromptFailed, Started, Step
from zoetrope.settings import EngineSettings


async def events_of(version: str, run: str):
    replay = Replay(version, run)
    async with replay.serve() as url:
        engine = ComfyEngine(EngineSettings(name="e", url=url), "our-client")
        await engine.start()
        await replay.connected()
        prompt_id = str(uuid.uuid4())
        await engine.submit({}, prompt_id, tags={"job": "j"})
        events = [event async for event in engine.follow(prompt_id)]
        await engine.close()
    assert replay.posted["client_id"] == "our-client"
    assert replay.posted["extra_data"] == {"zoetrope": {"job": "j"}}
    return events


@pytest.mark.parametrize("version", VERSIONS)
class TestEveryVersion:
    async def test_a_success_shows_steps_and_ends_with_files(self, version):
        events = await events_of(version, "success")
        assert Started() in events
        steps = [event for event in events if isinstance(event, Step)]
        assert [s.value for s in steps if s.node == "13"] == sorted(
            s.value for s in steps if s.node == "13"
        )
        assert isinstance(events[-1], Finished)
        assert events[-1].outputs[0].node == "17"
        assert sum(isinstance(event, Finished) for event in events) == 1

    async def test_a_cached_run_is_a_success(self, version):
        events = await events_of(version, "all_cached")
        assert any(isinstance(event, Cached) for event in events)
        assert isinstance(events[-1], Finished)

    async def test_out_of_memory_ends_as_a_failure(self, version):
        events = await events_of(version, "oom")
        assert isinstance(events[-1], PromptFailed)
        assert events[-1].failure.kind == "oom"

    async def test_an_interruption_ends_as_one(self, version):
        assert (await events_of(version, "interrupted"))[-1] == Interrupted()
