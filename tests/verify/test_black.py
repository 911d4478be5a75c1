"""Clips that show nothing."""

import numpy as np
import pytest

from tests.verify.clips import FRAMES, HEIGHT, KINDS, WIDTH, write


@pytest.mark.parametrize("kind", KINDS)
async def test_black_is_black_beside_every_still(tmp_path, image, kind, keys):
    black = [np.zeros((HEIGHT, WIDTH, 3), np.uint8)] * FRAMES
    assert await keys(write(tmp_path / "x.mp4", black), image=image(KINDS[kind]())) == ["black"]
