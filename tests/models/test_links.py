"""Links among model files: where they lead, and what may be reported of it."""

import os
from pathlib import Path

import msgspec
import pytest

from zoetrope.models.links import DEEPEST, Way, follow, may_report

ROOT, SERVICE, ALICE, BOB = 0, 990, 1000, 1001


@pytest.fixture
def files(tmp_path):
    """A file for every user, and one in a folder that is closed to others."""
    (tmp_path / "disk").mkdir(mode=0o755)
    file = tmp_path / "disk/model"
    file.write_bytes(b"weights")
    file.chmod(0o644)
    return file


def way_of(file):
    with follow(file) as reached:
        return reached.way


def held_below(folder) -> list[str]:
    """Name what this process holds open there."""
    held = (each for each in Path("/proc/self/fd").iterdir() if each.is_symlink())
    found = [str(each.readlink()) for each in held]
    return [each for each in found if each.startswith(str(folder))]


def test_every_link_on_the_way_is_followed(files, tmp_path):
    (tmp_path / "models").symlink_to("disk/../disk")
    (tmp_path / "disk/link").symlink_to(files)
    (tmp_path / "disk/again").symlink_to("./link")
    way = way_of(tmp_path / "models/again")
    assert way.real == os.path.realpath(files)
    assert way.owners >= {os.geteuid()}
    assert os.path.samestat(way.about, files.stat())
    assert way_of(files.resolve()).owners == frozenset()
    assert way_of(files.parent / "../.." / tmp_path.name / "disk" / files.name).real == way.real


@pytest.mark.parametrize("target", ["/", ".", "..", "disk/..", "/.."])
def test_a_way_that_ends_above_is_no_file(files, tmp_path, target):
    (tmp_path / "link").symlink_to(target)
    with pytest.raises(IsADirectoryError):
        way_of(tmp_path / "link")


def test_a_file_is_no_folder_on_the_way(files, tmp_path):
    (tmp_path / "link").symlink_to(files)
    for place in (files / "any", tmp_path / "link" / "any"):
        with pytest.raises(NotADirectoryError):
            way_of(place)


def test_a_way_holds_so_many_folders_open_and_leaves_none(files, tmp_path):
    deep = files.parent.joinpath(*["d"] * DEEPEST)
    deep.mkdir(parents=True)
    (deep / "model").touch()
    with pytest.raises(OSError, match="too long"):
        way_of(deep / "model")
    with follow(files):
        assert held_below(tmp_path)
    assert not held_below(tmp_path)


def test_what_was_reached_is_opened_and_nothing_that_took_its_place(files):
    with follow(files) as reached:
        with os.fdopen(reached.open(), "rb") as content:
            assert content.read() == b"weights"
        other = files.with_name("other")
        other.write_bytes(b"weights")
        other.replace(files)
        with pytest.raises(OSError, match="another file"):
            reached.open()
        files.unlink()
        files.symlink_to("other")
        with pytest.raises(OSError, match="symbolic links"):
            reached.open()


def test_links_that_lead_in_a_circle_are_an_error(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError, match="symbolic links"):
        way_of(tmp_path / "a")


@pytest.mark.parametrize(
    ("owners", "owner", "mode", "reported"),
    [
        ((), ALICE, 0o600, True),
        ((ROOT,), ALICE, 0o600, True),
        ((SERVICE, ROOT), ROOT, 0o600, True),
        ((ALICE,), ALICE, 0o600, True),
        ((ALICE, ROOT), ALICE, 0o600, True),
        ((ALICE,), ROOT, 0o640, False),
        ((ALICE, BOB), BOB, 0o600, False),
        ((ROOT, ALICE), SERVICE, 0o600, False),
        ((ALICE,), ROOT, 0o644, True),
    ],
)
def test_whose_links_may_lead_to_whose_files(owners, owner, mode, reported):
    about = os.stat_result((0o100000 | mode, 1, 1, 1, owner, 0, 7, 0, 0, 0))
    assert may_report(Way("/model", frozenset(owners), about, True), SERVICE) is reported
    assert not may_report(Way("/model", frozenset((BOB,)), about, False), SERVICE) or owner == BOB


def test_what_lies_in_a_closed_folder_is_not_for_every_user(files):
    files.parent.chmod(0o750)
    stranger = files.stat().st_uid + 1
    way = way_of(files)
    assert not way.open_to_all
    assert not may_report(msgspec.structs.replace(way, owners=frozenset({stranger})), stranger + 1)
