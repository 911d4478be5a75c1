"""Bytes for each pixel."""

import msgspec

from tests.verify.test_film import SOUND
from zoetrope.verify.expected import Expected
from zoetrope.verify.film import judge


def test_frames_without_loss_may_be_large():
    assert judge(msgspec.structs.replace(SOUND, codec="ffv1", size=10**9), Expected()) == ()
