"""The hero graph on the simulated engine: a sound hand-over passes verification, a broken one leaves noise."""

import uuid

import numpy as np
import pytest
from PIL import Image, ImageDraw

from tests.fakes.source_image import plain_image
from zoetrope.domain.values import Ticket
from zoetrope.engine.comfyui import ComfyEngine
from zoetrope.engine.protocol import Finished
from zoetrope.engine.simulated import SimulatedEngine
from zoetrope.graphs.graph import put
from zoetrope.graphs.shelf import load, shipped
from zoetrope.settings import EngineSettings
from zoetrope.verify.check import check
from zoetrope.verify.expected import Expected

HERO = load(shipped() / "wan22-i2v-hero")
SIZE = (384, 256)
FRAMES = 21
EXPECTED = Expected(frames=FRAMES, fps=16, width=SIZE[0], height=SIZE[1])


def drawn(kind: str) -> Image.Image:
    noise = np.random.default_rng(5)
    if kind == "flat":
        return Image.new("RGB", SIZE, (120, 150, 180))
    if kind == "lines":
        paper = Image.new("RGB", SIZE, "white")
        pen = ImageDraw.Draw(paper)
        for n in range(14):
            pen.line([(10 + 27 * n, 20), (60 + 20 * n, SIZE[1] - 20)], "black", 2)
        pen.ellipse([120, 40, 260, 180], outline="black", width=3)
        return paper
    if kind == "night":
        sky = np.full((SIZE[1], SIZE[0], 3), 4, np.uint8)
        sky[noise.integers(0, SIZE[1], 150), noise.integers(0, SIZE[0], 150)] = 230
        return Image.fromarray(sky)
    coarse = noise.integers(20, 230, (9, 13, 3), dtype=np.uint8)
    pixels = np.asarray(Image.fromarray(coarse).resize(SIZE, Image.Resampling.BICUBIC)) * 1.0
    pixels[90:170, 120:260] = (235, 225, 60)
    if kind == "grainy":
        pixels += noise.normal(0, 10, pixels.shape)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


@pytest.fixture
async def verdict_of(tmp_path):
    engine = SimulatedEngine(tmp_path / "engine")
    client = ComfyEngine(EngineSettings(name="e", url=await engine.start()), "test")
    await client.start()

    async def run(kind: str = "drawn", **changes):
        picture = tmp_path / "cat.png"
        drawn(kind).save(picture)
        image = plain_image(width=SIZE[0], height=SIZE[1])
        ticket = Ticket(recipe="wan22-i2v-hero", frames=FRAMES, width=SIZE[0], height=SIZE[1])
        plan = HERO.plan(ticket, image, 11)
        stage = HERO.stage("i2v")
        name = await client.upload(picture, "cat.png")
        graph = HERO.build(plan, stage, files={"picture": name}, prefix="zoetrope/x")
        graph = put(graph, {place.replace("__", "."): v for place, v in changes.items()})
        prompt_id = str(uuid.uuid4())
        await client.submit(graph, prompt_id, tags={})
        *_, last = [event async for event in client.follow(prompt_id)]
        assert isinstance(last, Finished)
        clip = next(output for output in last.outputs if output.node == stage.output)
        await client.fetch(clip, tmp_path / "clip.mp4")
        return await check(tmp_path / "clip.mp4", EXPECTED, image=picture)

    yield run
    await client.close()
    await engine.stop()


@pytest.mark.parametrize("kind", ["drawn", "flat", "grainy", "lines", "night"])
async def test_a_sound_hand_over_passes(verdict_of, kind):
    verdict = await verdict_of(kind)
    # A flat picture has nothing to move; that it stands still is true, and no noise is in it.
    keys = {finding.key for finding in verdict.findings}
    assert keys <= ({"frozen"} if kind == "flat" else set()), verdict


@pytest.mark.parametrize("kind", ["drawn", "lines", "night"])
@pytest.mark.parametrize(
    "broken",
    [
        pytest.param({"ks_low__start_at_step": 4}, id="S002 overlap by one step"),
        pytest.param({"ks_low__start_at_step": 8}, id="S002 gap in the steps"),
        pytest.param({"ks_low__start_at_step": 3}, id="S002 overlap of the steps"),
        pytest.param({"ks_low__steps": 30}, id="S003 other number of steps"),
        pytest.param({"ks_high__return_with_leftover_noise": "disable"}, id="S004 no leftover"),
        pytest.param({"ks_low__add_noise": "enable", "ks_low__noise_seed": 4}, id="S005 twice"),
        pytest.param(
            {"ks_low__end_at_step": 14, "ks_low__return_with_leftover_noise": "enable"},
            id="S006 noise kept at the end",
        ),
    ],
)
async def test_a_broken_hand_over_is_rejected_as_noise(verdict_of, kind, broken):
    verdict = await verdict_of(kind, **broken)
    assert "noise" in {finding.key for finding in verdict.findings}, verdict.measured
