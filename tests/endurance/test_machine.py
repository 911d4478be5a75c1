"""A short run of the stateful property test; `make endurance` runs it for minutes."""

from tests.endurance.machine import act


def test_whatever_happens_in_whatever_order_every_promise_holds():
    act(1834, examples=3, steps=15)
