"""A begun job goes on only where its plan has room."""

import shutil
from unittest.mock import AsyncMock

import pytest

from tests.fakes.street import RECIPES, Street
from zoetrope.domain.job import State
from zoetrope.engine.comfyui import ComfyEngine
from zoetrope.engine.protocol import Stats

CLASSES = """
[memory.16]
pixels = 4096
[memory.80]
pixels = 16384
"""


def card(gigabytes: float) -> AsyncMock:
    return AsyncMock(
        return_value=Stats(version="0.27.1", device="a card", vram_total=int(gigabytes * 2**30))
    )


@pytest.fixture
async def street(tmp_path):
    shutil.copytree(RECIPES / "tiny", tmp_path / "recipes" / "tiny")
    with (tmp_path / "recipes" / "tiny" / "recipe.toml").open("a") as file:
        file.write(CLASSES)
    street = Street(tmp_path, recipes=tmp_path / "recipes")
    yield street
    await street.close()


async def test_a_begun_job_waits_for_a_card_as_large_as_its_plan(street, monkeypatch):
    monkeypatch.setattr(ComfyEngine, "stats", card(79.2))
    await street.start()
    job = await street.becomes(await street.drop(review=True), State.REVIEW)
    assert (job.plan.memory, job.plan.width) == (80, 128)
    await street.stop()
    monkeypatch.setattr(ComfyEngine, "stats", card(15.6))
    await street.start()
    await street.conductor.approve(job.id)
    await street.until(lambda: job.id in street.conductor.status().waiting)
    reason = street.conductor.status().waiting[job.id]
    assert reason.key == "gpu-too-small"
    assert "80 GB" in reason.sentence
    fresh = await street.becomes(await street.drop(stem="fresh", colour=7), State.DONE)
    assert (fresh.plan.memory, fresh.plan.width) == (16, 64), "a new one is made for what there is"
    assert (await street.ledger.get(job.id)).state is State.QUEUED
    await street.stop()
    monkeypatch.setattr(ComfyEngine, "stats", card(141.0))
    await street.start()
    done = await street.becomes(job, State.DONE)
    assert done.plan == job.plan
    assert not street.conductor.status().waiting
