"""The noise at the hand-off is that of the official configurations and templates."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zoetrope.graphs.schedules import SCHEDULERS
from zoetrope.lint import sigma


@pytest.mark.parametrize(
    ("shift", "steps", "split", "level"),
    [
        (8, 20, 3, 0.978),
        (8, 20, 4, 0.970),
        (8, 20, 5, 0.960),
        (8, 20, 10, 0.889),
        (5, 4, 2, 0.833),
        (5, 20, 10, 0.833),
        (6, 4, 2, 0.857),
    ],
)
def test_the_noise_that_is_left_at_known_splits(shift, steps, split, level):
    assert sigma.handoff("simple", steps, float(shift), split) == pytest.approx(level, abs=5e-4)


@pytest.mark.parametrize(
    ("shift", "steps", "split"),
    [
        (5, 4, 2),
        (5, 6, 3),
        (5, 8, 3),
        (5, 20, 8),
        (5, 40, 15),
        (6, 4, 2),
        (6, 20, 8),
        (8, 4, 2),
        (8, 6, 3),
        (8, 8, 4),
        (8, 20, 10),
        (8, 40, 19),
        (12, 20, 12),
    ],
)
def test_the_steps_above_the_boundary_of_training(shift, steps, split):
    assert sigma.natural_split("simple", steps, float(shift)) == split


def test_text_to_video_changes_its_expert_later():
    assert sigma.boundary("t2v") < sigma.boundary("i2v")


def test_nothing_is_left_after_the_last_step():
    assert sigma.handoff("beta", 4, 8.0, 4) == 0.0


@pytest.mark.parametrize(
    ("scheduler", "steps", "shift", "step"),
    [
        ("nobody's", 20, 8.0, 5),
        ("simple", 0, 8.0, 0),
        ("simple", 10**18, 8.0, 5),
        ("simple", 20, 0.0, 5),
        ("simple", 20, 6.5e-108, 5),
        ("simple", 20, float("nan"), 5),
        ("simple", 20, 8.0, 21),
        ("simple", 20, 8.0, -1),
    ],
)
def test_what_is_not_known_is_none(scheduler, steps, shift, step):
    assert sigma.handoff(scheduler, steps, shift, step) is None


@settings(deadline=None)
@given(
    st.sampled_from(sorted(SCHEDULERS)),
    st.integers(-1, 250),
    st.floats(),
    st.integers(-1, 250),
)
def test_what_is_known_is_a_share_of_the_noise(scheduler, steps, shift, step):
    left = sigma.handoff(scheduler, steps, shift, step)
    assert left is None or -1e-9 <= left <= 1 + 1e-9
