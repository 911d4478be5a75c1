"""Failpoints strike where they were ordered."""

import pytest

from tests.endurance import failpoints
from tests.endurance.failpoints import POINTS, Order
from tests.endurance.kills import kill
from tests.endurance.part import Part
from tests.endurance.world import World


@pytest.mark.parametrize("target", [each for targets in POINTS.values() for each in targets])
def test_every_failpoint_is_a_function_of_the_product(target):
    owner, name = failpoints.found(target)
    assert callable(getattr(owner, name))


def test_a_service_dies_where_it_was_ordered_and_loses_nothing(tmp_path):
    world = World(Part("kills", seed=1, root=tmp_path, seconds=60))
    try:
        world.engine.start()
        for order in (
            Order(point="row", moment="after"),
            Order(point="publish", moment="inside", victim="both", step=3),
        ):
            assert kill(world, order, patience=120.0), order
        world.drop_pair()
        world.settle()
    finally:
        world.close()
    assert world.part.counts["videos"] == world.number
