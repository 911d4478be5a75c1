"""Clips that stand still, or stop soon."""

import msgspec
import pytest

from tests.verify.clips import EXPECTED, FRAMES, KINDS, WIDTH, pan, scene, write


@pytest.mark.parametrize("kind", KINDS)
async def test_a_video_that_stands_still_is_found(tmp_path, image, kind, keys):
    picture = KINDS[kind]()
    file = write(tmp_path / "x.mp4", [picture[:, :WIDTH]] * FRAMES)
    assert await keys(file, image=image(picture)) == ["frozen"]
    may = msgspec.structs.replace(EXPECTED, motion=False)
    assert await keys(file, may, image=image(picture)) == []


async def test_a_video_that_stops_soon_is_found(tmp_path, keys):
    moved = pan(scene())[:3]
    assert await keys(write(tmp_path / "x.mp4", [*moved, *[moved[-1]] * 14])) == ["frozen"]
