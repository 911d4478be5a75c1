"""Rejected pictures, as retention sees them."""

import asyncio
import os

import pytest

from tests.fakes.precious import make_precious, snapshot, swap_before_each_call
from zoetrope.beneath import Beneath
from zoetrope.inbox.rejected import RejectedPictures, grouped


def sizes(*_):
    return None


@pytest.mark.parametrize(
    ("files", "groups"),
    [
        (["cat.png", "cat.png.why.txt"], [["cat.png", "cat.png.why.txt"]]),
        (
            ["cat.png", "cat.toml", "cat.txt", "cat.png.why.txt", "cat.psd", "dog.png"],
            [["cat.png", "cat.toml", "cat.txt", "cat.png.why.txt"]],
        ),
        (
            ["a.start.png", "a.end.png", "a.toml", "a.start.png.why.txt"],
            [["a.end.png", "a.start.png", "a.toml", "a.start.png.why.txt"]],
        ),
        (
            ["x/cat.png", "x/cat.png.why.txt", "cat.png", "cat.png.why.txt"],
            [["cat.png", "cat.png.why.txt"], ["x/cat.png", "x/cat.png.why.txt"]],
        ),
        # Two pictures with one ticket go together.
        (
            ["cat.png", "cat.jpg", "cat.toml", "cat.jpg.why.txt", "cat.png.why.txt"],
            [["cat.jpg", "cat.png", "cat.toml", "cat.jpg.why.txt", "cat.png.why.txt"]],
        ),
        (
            ["cat (2).png", "cat (2).png.why.txt", "cat.png"],
            [["cat (2).png", "cat (2).png.why.txt"]],
        ),
        (
            ["cat.png", "cat.png (2).why.txt"],
            [["cat.png", "cat.png (2).why.txt"]],
        ),
        (["cat.png", "cat.toml"], []),
        (["cat.png.why.txt"], [["cat.png.why.txt"]]),
        (
            [f"{'n' * 250}.png", f"{'n' * 247}.why.txt"],
            [[f"{'n' * 250}.png", f"{'n' * 247}.why.txt"]],
        ),
        (["\udcff.png", "\udcff.png.why.txt"], [["\udcff.png", "\udcff.png.why.txt"]]),
    ],
)
def test_a_picture_goes_with_its_reason_and_its_ticket_and_with_nothing_of_a_person_s(
    files, groups
):
    found = [list(group.paths) for group in grouped(files)]
    assert [sorted(group) for group in found] == [sorted(group) for group in groups]
    for group in found:
        assert group[-1].endswith(".why.txt")


async def test_a_picture_that_was_rejected_anew_meanwhile_stays(tmp_path):
    folder = tmp_path / "rejected"
    folder.mkdir()
    for name in ("cat.png", "cat.png.why.txt"):
        (folder / name).write_text(f"{name.removesuffix('.why.txt')} was rejected.\n")
        os.utime(folder / name, (1000, 1000))
    pictures = RejectedPictures(tmp_path)
    (found,) = await pictures.look(sizes)
    (folder / "cat.png.why.txt").write_text("cat.png was not taken.\n")
    assert not await pictures.remove(found)
    assert len(list(folder.iterdir())) == 2
    (found,) = await pictures.look(sizes)
    assert await pictures.remove(found)
    assert list(folder.iterdir()) == []


async def test_a_file_that_is_only_called_like_a_reason_is_a_person_s(tmp_path):
    folder = tmp_path / "rejected"
    folder.mkdir()
    (folder / "cat.png").write_text("a picture")
    (folder / "cat.png.why.txt").write_text("why I like this cat")
    pictures = RejectedPictures(tmp_path)
    (found,) = await pictures.look(sizes)
    assert not await pictures.remove(found)
    assert len(list(folder.iterdir())) == 2


async def test_an_inbox_without_rejected_pictures_has_none(tmp_path):
    assert await RejectedPictures(tmp_path).look(sizes) == []
    with pytest.raises(FileNotFoundError):
        await RejectedPictures(tmp_path / "gone").look(sizes)


async def test_a_link_goes_and_what_it_leads_to_stays(tmp_path):
    precious = make_precious(tmp_path / "precious")
    before = snapshot(precious)
    folder = tmp_path / "rejected"
    folder.mkdir()
    (folder / "cat.png").symlink_to(precious / "cat.png")
    (folder / "cat.toml").symlink_to(precious / "secret.toml")
    (folder / "cat.png.why.txt").write_text("cat.png was rejected.\n")
    (folder / "dog.png").symlink_to(precious / "cat.png")
    (folder / "dog.png.why.txt").symlink_to(precious / "bad.png.why.txt")
    (folder / "plain").symlink_to(precious / "plain")
    pictures = RejectedPictures(tmp_path)
    found = await pictures.look(sizes)
    # Whoever put a link in a reason's place wrote no reason of ours.
    assert [await pictures.remove(each) for each in found] == [True, False]
    assert sorted(p.name for p in folder.iterdir()) == ["dog.png", "dog.png.why.txt", "plain"]
    assert snapshot(precious) == before


@pytest.mark.parametrize("place", ["rejected", "rejected/plain"])
def test_a_folder_that_becomes_a_link_at_any_step_leads_nowhere(tmp_path, monkeypatch, place):
    def lay(root):
        (root / "rejected/plain").mkdir(parents=True)
        for name in ("bad.png", "bad.png.why.txt"):
            (root / "rejected" / name).write_text(
                f"{name.removesuffix('.why.txt')} was rejected.\n"
            )
            (root / "rejected/plain" / name).write_text(
                f"{name.removesuffix('.why.txt')} was rejected.\n"
            )
        pictures = RejectedPictures(root)

        def act():
            async def remove():
                for found in await pictures.look(sizes):
                    await pictures.remove(found)

            asyncio.run(remove())

        return act, root / place, make_precious(root / "precious", "plain/bad.png")

    swap_before_each_call(tmp_path, monkeypatch, lay, most=400)


def lay(folder, picture, why, modified):
    """Lay a rejected picture with its reason, both of one time."""
    folder.mkdir(exist_ok=True)
    (folder / picture).write_text("no picture")
    (folder / why).write_text(f"{picture} was rejected.\n")
    for name in (picture, why):
        os.utime(folder / name, (modified, modified))


async def test_of_two_names_that_are_too_long_for_a_reason_s_each_goes_with_its_own(tmp_path):
    folder, long = tmp_path / "rejected", "n" * 250
    lay(folder, f"{long}1.png", f"{'n' * 247}.why.txt", 2000)
    # Its reason's name was taken, so it got a number; the picture itself is of an earlier time.
    lay(folder, f"{long}2.png", f"{'n' * 243} (2).why.txt", 1000)
    pictures = RejectedPictures(tmp_path)
    found = {each.name: each for each in await pictures.look(sizes)}
    assert await pictures.remove(found[f"{folder}/{'n' * 247}.why.txt"])
    assert sorted(p.name for p in folder.iterdir()) == [
        f"{'n' * 243} (2).why.txt",
        f"{long}2.png",
    ]


async def test_another_file_that_was_moved_into_a_picture_s_place_is_young(tmp_path):
    folder = tmp_path / "rejected"
    lay(folder, "cat.png", "cat.png.why.txt", 2000)
    pictures = RejectedPictures(tmp_path)
    (found,) = await pictures.look(sizes)
    (tmp_path / "new.png").write_text("the only copy")
    os.utime(tmp_path / "new.png", (1000, 1000))
    (tmp_path / "new.png").rename(folder / "cat.png")
    (again,) = await pictures.look(sizes)
    assert again.mark != found.mark
    assert not await pictures.remove(found)


async def test_a_text_of_a_person_s_that_is_called_like_a_reason_stays_when_the_picture_goes(
    tmp_path,
):
    folder = tmp_path / "rejected"
    lay(folder, "cat.png", "cat.png (2).why.txt", 1000)
    (folder / "cat.png.why.txt").write_text("why I like this cat")
    pictures = RejectedPictures(tmp_path)
    (found,) = await pictures.look(sizes)
    assert await pictures.remove(found)
    assert [p.name for p in folder.iterdir()] == ["cat.png.why.txt"]


async def test_the_folder_is_not_listed_anew_for_each_picture_that_goes(tmp_path, monkeypatch):
    folder = tmp_path / "rejected"
    for number in range(30):
        lay(folder, f"{number}.png", f"{number}.png.why.txt", 1000 + number)
    pictures = RejectedPictures(tmp_path)
    found = await pictures.look(sizes)
    listed = []
    real = os.scandir

    def scandir(at):
        listed.append(at)
        return real(at)

    monkeypatch.setattr(os, "scandir", scandir)
    assert all([await pictures.remove(each) for each in found])
    assert len(listed) < 3
    monkeypatch.undo()
    assert list(folder.iterdir()) == []


async def test_as_many_reasons_of_one_picture_as_a_member_writes_are_each_read_once(
    tmp_path, monkeypatch
):
    folder = tmp_path / "rejected"
    lay(folder, "cat.png", "cat.png.why.txt", 1000)
    for number in range(2, 40):
        (folder / f"cat.png ({number}).why.txt").write_text("a cat")
    pictures = RejectedPictures(tmp_path)
    (found,) = await pictures.look(sizes)
    reads = []
    real = Beneath.read

    def read(tree, path, most, **asked):
        reads.append(path)
        return real(tree, path, most, **asked)

    monkeypatch.setattr(Beneath, "read", read)
    assert await pictures.remove(found)
    assert len(reads) == len(set(reads)) == 39


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to have a file of another user")
async def test_a_reason_that_a_member_wrote_takes_no_file_of_anybody(tmp_path):
    folder = tmp_path / "rejected"
    lay(folder, "cat.png", "cat.png.why.txt", 1000)
    lay(folder, "dog.png", "dog.png.why.txt", 1000)
    os.chown(folder / "cat.png.why.txt", 12345, -1)
    os.chown(folder / "dog.png", 12345, -1)
    pictures = RejectedPictures(tmp_path)
    found = await pictures.look(sizes)
    assert [await pictures.remove(each) for each in found] == [False, True]
    assert sorted(p.name for p in folder.iterdir()) == ["cat.png", "cat.png.why.txt"]
