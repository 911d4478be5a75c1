"""Sizes that were not asked for."""

import msgspec

from tests.verify.clips import EXPECTED, pan, scene, write


async def test_a_wrong_size_is_found(tmp_path, keys):
    file = write(tmp_path / "size.mp4", pan(scene()))
    assert await keys(file, msgspec.structs.replace(EXPECTED, width=640, height=384)) == ["size"]
    larger = msgspec.structs.replace(EXPECTED, size="larger")
    assert await keys(file, larger) == ["size"]
    assert await keys(file, msgspec.structs.replace(larger, width=160, height=96)) == []
    assert await keys(file, msgspec.structs.replace(larger, width=9999, size="any")) == []
