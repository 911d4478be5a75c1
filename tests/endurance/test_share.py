"""What the attack on the share itself relies on: its canaries notice, and its foes do all that they count."""

import os
import random
import signal
from pathlib import Path

import pytest

from tests.endurance import foes
from tests.endurance.foes import KINDS, Foe, Foes, Ground, put_back
from tests.endurance.part import UnfitMachineError
from tests.endurance.processes import FORK
from tests.endurance.share import Canary


@pytest.fixture
def canary(tmp_path):
    return Canary(tmp_path / "outside", "a marker")


@pytest.fixture
def ground(canary, tmp_path):
    inbox, outbox = tmp_path / "inbox", tmp_path / "outbox"
    for folder in (inbox / ".zoetrope", outbox, inbox / "rejected", inbox / "tiny"):
        folder.mkdir(parents=True)
    return Ground(inbox=inbox, outbox=outbox, outside=canary.folder, open=canary.open)


def test_whoever_reads_lists_or_changes_what_lies_outside_is_noticed(canary, tmp_path):
    secret = canary.folder / "secret.png"
    content = secret.read_bytes()
    if secret.stat().st_atime_ns == 10**18:
        pytest.skip("this file system does not note when a file was read")
    assert canary.check() == [str(secret)]
    assert canary.check() == []
    os.listdir(canary.folder / "tiny")  # noqa: PTH208 - as a walk does
    assert canary.check() == [str(canary.folder / "tiny")]
    (canary.folder / "secret.toml").write_text("another")
    assert str(canary.folder / "secret.toml") in canary.check()
    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox/link.png").symlink_to(secret)
    (tmp_path / "inbox/hard.png").hardlink_to(canary.open)
    assert canary.told((tmp_path / "inbox",)) == []
    (tmp_path / "inbox/copy.png").write_bytes(content)
    assert canary.told((tmp_path / "inbox",)) == [str(tmp_path / "inbox/copy.png")]


def test_a_canary_that_cannot_see_a_read_says_that_the_part_cannot_run(canary, monkeypatch):
    seen = {path: canary.state(path) for path in canary.paths}
    monkeypatch.setattr(canary, "state", seen.get)
    with pytest.raises(UnfitMachineError, match=r"cannot run.*secret\.png.*noatime"):
        canary.prove()


def test_a_foe_stands_in_no_ones_way_where_another_foe_stands(ground):
    place = ground.outbox / "cat1-abababab"
    os.mkfifo(place)

    def stand():
        foe = Foe(ground, random.Random(0), lambda: 1)
        for _ in range(30):  # of each kind
            with foe.standing(place) as stands:
                assert not stands
        os._exit(0)

    process = FORK.Process(target=stand)
    process.start()
    process.join(60)
    process.kill()
    process.join()
    assert process.exitcode == 0
    assert place.is_fifo()


def test_foes_that_do_not_come_back_are_ended_all_of_them(ground, monkeypatch):
    monkeypatch.setattr(foes, "CALLED_BACK", 0.2)
    some = Foes(ground)
    monkeypatch.setattr(some, "be", lambda _: signal.pause())
    some.begin([1, 2])
    processes = list(some.processes)
    with pytest.raises(AssertionError, match="-9, -9"):
        some.call_back()
    assert not any(process.is_alive() for process in processes)
    some.call_back()


@pytest.mark.parametrize("kind", KINDS)
def test_a_foe_can_do_what_it_counts_and_leaves_honest_pictures(kind, ground):
    inbox, claimed = ground.inbox, ground.claimed
    honest = [inbox / "cat2.png", claimed / ("ab" * 16) / "cat1.png"]
    own = claimed / ("cd" * 16) / "foe.png"
    for picture in (*honest, own):
        picture.parent.mkdir(exist_ok=True)
        picture.write_text("honest" if picture in honest else "a foe's own")
    numbers = iter(range(10**6))
    here, laid = Path.cwd(), 0
    try:
        for seed in range(4):
            laid += Foe(ground, random.Random(seed), lambda: next(numbers)).acts[kind]()
    finally:
        os.chdir(here)
    assert laid > 0
    assert [picture.read_text() for picture in honest] == ["honest", "honest"]
    assert not any(place.is_symlink() for place in (claimed, inbox / "rejected"))


def test_what_came_into_a_folder_meanwhile_stays_when_the_real_one_comes_back(tmp_path):
    (tmp_path / "aside/one").mkdir(parents=True)
    (tmp_path / "place/other").mkdir(parents=True)
    put_back(tmp_path / "aside", tmp_path / "place")
    assert {each.name for each in (tmp_path / "place").iterdir()} == {"one", "other"}
    assert not (tmp_path / "aside").exists()
