"""Every shipped recipe that the simulated engine can play makes a video without a doubt."""

import uuid

import numpy as np
import pytest
from PIL import Image

from tests.fakes.source_image import plain_image
from zoetrope.domain.job import Job, Stage, State
from zoetrope.domain.values import SourceImage
from zoetrope.engine.comfyui import ComfyEngine
from zoetrope.engine.protocol import Finished
from zoetrope.engine.simulated import SimulatedEngine
from zoetrope.engine.simulated.nodes import REGISTRY
from zoetrope.graphs.shelf import Recipes, shipped
from zoetrope.inbox.ticket import resolve
from zoetrope.jobs.stage_request import expectation
from zoetrope.settings import EngineSettings
from zoetrope.verify.check import check

SIZE = (384, 256)
SHELF = Recipes((shipped(),))
ASKED = [
    ("wan22-i2v-hero", {"preset": "faithful"}),
    ("wan22-i2v-hero-native", {}),
    ("wan22-i2v-lightning", {}),
    ("wan22-i2v-lightning", {"preset": ["lcm", "no-talking"]}),
    ("wan22-flf", {}),
    ("wan22-i2v-gguf", {}),
    ("wan22-i2v-clownshark", {}),
    ("wan22-i2v-clownshark", {"preset": "equal-budget"}),
    ("wan22-two-pass", {}),
    ("wan22-two-pass", {"order": "low-high"}),
]


def draw(folder, name: str, seed: int) -> SourceImage:
    coarse = np.random.default_rng(seed).integers(20, 230, (9, 13, 3), dtype=np.uint8)
    pixels = np.array(Image.fromarray(coarse).resize(SIZE, Image.Resampling.BICUBIC))
    pixels[90:170, 120:260] = (235, 225, 60)
    Image.fromarray(pixels).save(folder / name)
    return plain_image(name, sha256=f"{seed}" * 64, width=SIZE[0], height=SIZE[1])


@pytest.fixture
async def verdict_of(tmp_path):
    engine = SimulatedEngine(tmp_path / "engine")
    client = ComfyEngine(EngineSettings(name="e", url=await engine.start()), "test")
    await client.start()

    async def run(name: str, asked: dict[str, object], *, pair: bool = False):
        recipe = SHELF.get(name)
        first = draw(tmp_path, "first.png", 5)
        last = draw(tmp_path, "last.png", 6) if pair else first
        ticket = resolve({"frames": 21, "width": SIZE[0], "height": SIZE[1], **asked}, recipe)
        spec = recipe.file.stages[0]
        job = Job(
            id="0" * 32,
            created=1.0,
            updated=1.0,
            state=State.QUEUED,
            stem="cat",
            images=(first, last),
            ticket=ticket,
            seed=11,
            stages=(Stage(name=spec.name),),
        )
        files = {
            "picture": await client.upload(tmp_path / first.file, first.file),
            "end_picture": await client.upload(tmp_path / last.file, last.file),
        }
        plan = recipe.plan(ticket, first, 11, end=last)
        prompt_id = str(uuid.uuid4())
        await client.submit(recipe.build(plan, spec, files=files, prefix="x"), prompt_id, tags={})
        *_, end = [event async for event in client.follow(prompt_id)]
        assert isinstance(end, Finished), end
        clip = next(output for output in end.outputs if output.node == spec.output)
        await client.fetch(clip, tmp_path / "clip.mp4")
        return await check(
            tmp_path / "clip.mp4", expectation(recipe, spec, job), image=tmp_path / first.file
        )

    yield run
    await client.close()
    await engine.stop()


@pytest.mark.parametrize(("name", "asked"), ASKED, ids=lambda value: str(value))
async def test_a_recipe_makes_a_sound_video(verdict_of, name, asked):
    verdict = await verdict_of(name, asked)
    assert verdict.passed, verdict.sentence


async def test_a_pair_becomes_a_sound_video_with_all_its_frames(verdict_of):
    verdict = await verdict_of("wan22-flf", {}, pair=True)
    assert verdict.passed, verdict.sentence
    assert verdict.measured.frames == 21


async def test_a_loop_is_one_frame_shorter(verdict_of):
    assert (await verdict_of("wan22-flf", {})).measured.frames == 20


def test_no_recipe_that_the_rehearsal_knows_is_left_out():
    playable = {
        name
        for name in SHELF.names()
        if SHELF.get(name).file.size
        and {node.class_type for node in first_graph(name).values()} <= set(REGISTRY)
    }
    assert playable == {name for name, _ in ASKED}
    assert set(SHELF.names()) - playable == {
        "wan22-i2v-wrapper",
        "seedvr2-rife-native",
        "seedvr2-rife-upscale",
    }


def first_graph(name: str):
    recipe = SHELF.get(name)
    return recipe.graphs[recipe.file.stages[0].graph]
