import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoetrope.engine.simulated.motion import beats as read_by_the_simulated_engine
from zoetrope.errors import Rejected
from zoetrope.inbox.beats import SHORTEST, timed
from zoetrope.lint.prompts import last_beat


def test_beats_divide_the_clip_evenly():
    assert timed(["she looks up", "a slow smile!"], 5.0) == (
        "Beat 1 (0-2.5s): she looks up. Beat 2 (2.5-5s): a slow smile!"
    )


def test_one_beat_is_the_whole_clip():
    assert timed([" she turns "], 3.0) == "Beat 1 (0-3s): she turns."


@given(
    st.lists(st.sampled_from(["she turns", "wind moves the grass.", "a smile"]), min_size=1),
    st.integers(2, 200).map(lambda frames: (4 * frames) / 16),
)
def test_beats_follow_one_another_and_end_with_the_clip(told, seconds):
    if len(told) > max(1, int(seconds / SHORTEST)):
        with pytest.raises(Rejected, match="room for"):
            timed(told, seconds)
        return
    text = timed(told, seconds)
    found = read_by_the_simulated_engine(text, seconds)
    assert len(found) == len(told)
    assert found[0].start == 0
    assert all(one.end == other.start for one, other in itertools.pairwise(found))
    assert all(beat.start < beat.end for beat in found)
    # The linter's P002 allows a quarter of a second.
    end = last_beat(text)
    assert end is not None
    assert end == seconds


@pytest.mark.parametrize(
    ("told", "seconds", "words"),
    [([], 5.0, "without a beat"), (["a", " "], 5.0, "empty beat"), (["a"], 0.0, "no length")],
)
def test_beats_that_say_nothing_are_refused_with_what_to_do(told, seconds, words):
    with pytest.raises(Rejected, match=words) as refused:
        timed(told, seconds)
    assert refused.value.reason.next_step
