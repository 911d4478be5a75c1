"""Clips that turn black on their way."""

import numpy as np

from tests.verify.clips import FRAMES, HEIGHT, WIDTH, pan, scene, write


async def test_a_fade_at_the_end_is_no_fault_and_half_a_black_video_is_one(tmp_path, image, keys):
    picture = scene()
    fade = [
        (frame * max(0.0, min(1.0, (FRAMES - 1 - n) / 5))).astype(np.uint8)
        for n, frame in enumerate(pan(picture))
    ]
    assert await keys(write(tmp_path / "fade.mp4", fade), image=image(picture)) == []
    half = [*pan(picture)[:8], *[np.zeros((HEIGHT, WIDTH, 3), np.uint8)] * 9]
    assert "black" in await keys(write(tmp_path / "half.mp4", half), image=image(picture))
