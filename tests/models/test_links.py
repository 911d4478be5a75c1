"""Links among model files: where they lead, and what may be reported of it."""

import os

import pytest

from zoetrope.models.links import Way, follow, may_report

ROOT, SERVICE, ALICE, BOB = 0, 990, 1000, 1001


@pytest.fixture
def files(tmp_path):
    """A file for every user, and one in a folder that is closed to others."""
    (tmp_path / "disk").mkdir(mode=0o755)
    file = tmp_path / "disk/model"
    file.write_bytes(b"weights")
    file.chmod(0o644)
    return file


def test_every_link_on_the_way_is_followed(files, tmp_path):
    (tmp_path / "models").symlink_to("disk/../disk")
    (tmp_path / "disk/link").symlink_to(files)
    (tmp_path / "disk/again").symlink_to("./link")
    way = follow(tmp_path / "models/again")
    assert way.real == os.path.realpath(files)
    assert way.owners >= {os.geteuid()}
    assert follow(files.resolve()).owners == frozenset()


def test_links_that_lead_in_a_circle_are_an_error(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError, match="symbolic links"):
        follow(tmp_path / "a")


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
    # "/": every user can enter the folders on the way.
    about = os.stat_result((0o100000 | mode, 1, 1, 1, owner, 0, 7, 0, 0, 0))
    assert may_report(Way("/model", frozenset(owners)), about, SERVICE) is reported


def test_what_lies_in_a_closed_folder_is_not_for_every_user(files):
    files.parent.chmod(0o750)
    stranger = files.stat().st_uid + 1
    way = Way(str(files.resolve()), frozenset({stranger}))
    assert not may_report(way, files.stat(), stranger + 1)
