"""What the attack on the share itself relies on: its canaries notice, and its foes do all that they count."""

import os
import random
from pathlib import Path

import pytest

from tests.endurance.foes import KINDS, Foe, Ground, put_back
from tests.endurance.share import Canary


@pytest.fixture
def canary(tmp_path):
    return Canary(tmp_path / "outside", "a marker")


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


@pytest.mark.parametrize("kind", KINDS)
def test_a_foe_can_do_what_it_counts_and_leaves_honest_pictures(kind, canary, tmp_path):
    inbox, outbox = tmp_path / "inbox", tmp_path / "outbox"
    claim = inbox / ".zoetrope" / ("ab" * 16)
    for folder in (claim, outbox, inbox / "rejected", inbox / "tiny"):
        folder.mkdir(parents=True)
    (claim / "cat1.png").write_text("honest")
    (inbox / "cat2.png").write_text("honest")
    ground = Ground(inbox=inbox, outbox=outbox, outside=canary.folder, open=canary.open)
    numbers = iter(range(10**6))
    here = Path.cwd()
    try:
        for seed in range(4):
            Foe(ground, random.Random(seed), lambda: next(numbers)).acts[kind]()
    finally:
        os.chdir(here)
    assert (claim / "cat1.png").read_text() == (inbox / "cat2.png").read_text() == "honest"
    assert not any(place.is_symlink() for place in (inbox / ".zoetrope", inbox / "rejected"))


def test_what_came_into_a_folder_meanwhile_stays_when_the_real_one_comes_back(tmp_path):
    (tmp_path / "aside/one").mkdir(parents=True)
    (tmp_path / "place/other").mkdir(parents=True)
    put_back(tmp_path / "aside", tmp_path / "place")
    assert {each.name for each in (tmp_path / "place").iterdir()} == {"one", "other"}
    assert not (tmp_path / "aside").exists()
