"""Noise that is left in a clip."""

import numpy as np
import pytest
from PIL import Image

from tests.verify.clips import EXPECTED, HEIGHT, KINDS, WIDTH, pan, scene, write
from zoetrope.verify.check import check


@pytest.mark.parametrize("kind", ["scene", "drawing", "night"])
async def test_noise_that_the_picture_does_not_have_is_found(tmp_path, image, kind, keys):
    """Noise as latents leave it: in patches."""
    picture = KINDS[kind]()
    noise = np.random.default_rng(5)
    noisy = []
    for frame in pan(picture):
        patches = noise.normal(0, 30, (HEIGHT // 4, WIDTH // 4, 1)).repeat(4, 0).repeat(4, 1)
        noisy.append(np.clip(frame + patches, 0, 255).astype(np.uint8))
    assert "noise" in await keys(write(tmp_path / "x.mp4", noisy), image=image(picture))


async def test_fine_noise_is_found_as_well(tmp_path, image, keys):
    picture = scene()
    noise = np.random.default_rng(7)
    noisy = [
        np.clip(f + noise.normal(0, 14, f.shape), 0, 255).astype(np.uint8) for f in pan(picture)
    ]
    assert "noise" in await keys(write(tmp_path / "x.mp4", noisy), image=image(picture))


async def test_noise_of_the_colours_alone_is_found(tmp_path, image, keys):
    picture = scene()
    noise = np.random.default_rng(6)
    frames = []
    for frame in pan(picture):
        ycc = np.asarray(Image.fromarray(frame).convert("YCbCr")).astype(np.float32)
        patches = noise.normal(0, 40, (HEIGHT // 4, WIDTH // 4, 2)).repeat(4, 0).repeat(4, 1)
        ycc[..., 1:] += patches
        loud = Image.fromarray(np.clip(ycc, 0, 255).astype(np.uint8), "YCbCr").convert("RGB")
        frames.append(np.asarray(loud))
    verdict = await check(write(tmp_path / "x.mp4", frames), EXPECTED, image=image(picture))
    assert [finding.key for finding in verdict.findings] == ["noise"]
    assert "colour" in verdict.sentence
