"""Pictures burnt to black and white."""

import numpy as np

from tests.verify.clips import FRAMES, HEIGHT, WIDTH, scene, write


async def test_burnt_pictures_are_found_and_a_drawing_is_not_burnt(tmp_path, image, keys):
    noise = np.random.default_rng(1)
    small = [noise.integers(0, 2, (HEIGHT // 8, WIDTH // 8, 1)) * 255 for _ in range(FRAMES)]
    frames = [each.astype(np.uint8).repeat(8, 0).repeat(8, 1).repeat(3, 2) for each in small]
    file = write(tmp_path / "burnt.mp4", frames)
    assert "saturated" in await keys(file, image=image(scene()))
