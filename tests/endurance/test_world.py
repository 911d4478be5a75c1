"""How long a world that is attacked no more may take until all is quiet, and what is forgotten then."""

import pytest

from tests.endurance import world as module
from tests.endurance.part import BrokenPromise, Part
from tests.endurance.world import World


class Clock:
    """A clock that goes on by being waited for."""

    now = 0.0

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture
def world(tmp_path, monkeypatch):
    """A world without processes, for a clock's time."""
    monkeypatch.setattr(module, "time", Clock())
    world = World(Part("kills", seed=1, root=tmp_path, seconds=60))
    monkeypatch.setattr(world.engine, "revive", lambda: None)
    monkeypatch.setattr(world.service, "start", lambda **_: None)
    monkeypatch.setattr(world.service, "stop", lambda: 0)
    world.service.log.touch()
    return world


def test_a_world_in_which_nothing_ends_breaks_its_promise(world, monkeypatch):
    monkeypatch.setattr(world, "missing", lambda: ["cat1 has no job"])
    with pytest.raises(BrokenPromise, match="180 s without an attack brought none"):
        world.settle()


def test_a_world_that_gets_on_has_an_end_as_well(world, monkeypatch):
    world.wanted = {f"cat{n}" for n in range(5)}

    def missing():
        """One ends every two minutes."""
        return ["one has no job"] * (9 - int(module.time.now // 120))

    monkeypatch.setattr(world, "missing", missing)
    with pytest.raises(BrokenPromise, match="280 s without an attack did not bring all"):
        world.settle()


def test_a_world_has_to_have_a_row_for_every_video_again_once_it_has_settled(world, monkeypatch):
    monkeypatch.setattr(world, "recover", lambda: None)
    world.forgetful = True
    world.settle()
    assert not world.forgetful


def test_one_reason_is_enough_for_both_halves_of_a_pair(world):
    rejected = world.service.inbox / "rejected" / "pair"
    rejected.mkdir(parents=True)
    for name in ("cat1.start.png", "cat1.end.png", "cat2.png"):
        (rejected / name).touch()
    (rejected / "cat1.start.png.why.txt").touch()
    assert list(world.faults()) == ["rejected without a reason: cat2.png"]
