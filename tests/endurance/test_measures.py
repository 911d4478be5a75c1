"""What the soak computes."""

from tests.endurance.soak import slope_of


def test_the_slope_of_a_line_is_found_among_noise():
    noisy = [(x, 5.0 + 2.0 * x + (1 if x % 2 else -1)) for x in range(100)]
    assert abs(slope_of(noisy) - 2.0) < 0.01
    assert slope_of([(1, 7)]) == 0.0
