"""Length and rate: short, slow and uneven clips."""

from tests.verify.clips import pan, scene, write


async def test_short_slow_and_uneven_are_told_apart(tmp_path, keys):
    picture = scene()
    assert await keys(write(tmp_path / "short.mp4", pan(picture, 9))) == ["frames"]
    assert await keys(write(tmp_path / "slow.mp4", pan(picture), fps=24)) == ["fps"]
    uneven = write(tmp_path / "uneven.mp4", pan(picture), gaps=(1, 1, 4))
    assert set(await keys(uneven)) <= {"fps", "duration"} != set()
