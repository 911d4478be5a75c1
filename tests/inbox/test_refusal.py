"""The reason next to a rejected picture: plain words, one writer, and nothing of a person's is overwritten."""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path

import pytest

from tests.fakes.precious import ID
from tests.inbox.conftest import give_back
from tests.inbox.test_links import WHY, failed
from zoetrope.beneath import Beneath
from zoetrope.errors import Reason
from zoetrope.inbox.claim import Claims
from zoetrope.inbox.entry import ELSEWHERE
from zoetrope.inbox.refusal import Refusal, explain, text, withdraw
from zoetrope.settings import InboxSettings, OutboxSettings, Settings, StateSettings

PACKAGE = Path(__file__).parents[2] / "service" / "zoetrope"
REJECTED = Refusal(name="cat.png", reason=WHY, where="cat.png in the inbox")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "rejected").mkdir()
    return tmp_path / "rejected"


def told(folder: Path, refusal: Refusal = REJECTED) -> Path:
    with Beneath(folder.parent) as tree:
        return folder.parent / explain(tree, "rejected", refusal)


def test_a_rejection_says_what_is_wrong_where_and_what_to_do():
    assert text(REJECTED) == (
        "cat.png was rejected.\n"
        "\n"
        "What is wrong: The file is text.\n"
        "Where: cat.png in the inbox\n"
        "What to do: Check what was saved.\n"
        "\n"
        "To try again, move it back into the inbox: cat.png\n"
    )


def test_what_belongs_to_the_picture_and_its_folder_are_named():
    found = text(
        Refusal(
            name="cat.png",
            reason=Reason("k", "It is no picture."),
            where="hero/cat.png in the inbox",
            others=("cat.toml",),
            folder="hero",
        )
    )
    assert "into the folder hero of the inbox: cat.png, cat.toml" in found
    assert "What to do" not in found


def test_a_job_that_failed_can_go_on():
    found = text(Refusal(name="cat.png", reason=WHY, where="job 12345678", ending="failed", job="12345678"))  # fmt: skip
    assert found.startswith("cat.png failed.\n")
    assert "Where: job 12345678\n" in found
    assert found.endswith("zoetrope retry 12345678\n")


def test_a_file_that_stays_is_not_to_be_moved():
    found = text(Refusal(name="cat.png", reason=WHY, where="cat.png in the inbox", moved=False))
    assert "`touch`" in found
    assert "move it" not in found


def test_a_name_cannot_break_a_line_or_the_encoding(folder):
    why = told(folder, Refusal(name="\udcff\n.png", reason=WHY, where="\udcff\n.png"))
    assert os.fsencode(why.name) == b"\xff\n.png.why.txt"
    assert why.read_text(encoding="utf-8").splitlines()[0].endswith(".png was rejected.")


def test_an_earlier_reason_is_replaced(folder):
    first = told(folder)
    second = told(folder, Refusal(name="cat.png", reason=Reason("k", "Else."), where="cat.png"))
    assert second == first
    assert "Else." in second.read_text()
    assert "text" not in second.read_text()


@pytest.mark.parametrize(
    "first", ["cat.png was not taken.\n\nold", "cat.png did not become a video.\n\nold"]
)
def test_a_reason_of_an_earlier_version_is_replaced(folder, first):
    (folder / "cat.png.why.txt").write_text(first)
    assert "old" not in told(folder).read_text()


@pytest.mark.parametrize(
    "content", ["", "a person's notes", "dog.png was rejected.\n", "x" * 99_999]
)
def test_a_person_s_file_is_never_overwritten(folder, content):
    (folder / "cat.png.why.txt").write_text(content)
    why = told(folder)
    assert (folder / "cat.png.why.txt").read_text() == content
    assert why.name == "cat.png (2).why.txt"
    assert why.read_text() == text(REJECTED)
    with Beneath(folder.parent) as tree:
        withdraw(tree, "rejected", "cat.png")
    assert (folder / "cat.png.why.txt").exists()


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_what_is_no_file_stays_what_it_is(folder, kind):
    place = folder / "cat.png.why.txt"
    if kind == "link":
        place.symlink_to(folder / "nowhere")
    elif kind == "pipe":
        os.mkfifo(place)
    else:
        place.mkdir()
    before = place.lstat()
    why = told(folder)
    assert place.lstat().st_ino == before.st_ino
    assert why.read_text() == text(REJECTED)
    assert not (folder / "nowhere").exists()


def test_a_file_that_somebody_makes_at_that_moment_is_theirs(folder, monkeypatch):
    real = Beneath.create

    def create(tree: Beneath, path: str) -> int:
        if path.endswith("/cat.png.why.txt"):
            (folder / "cat.png.why.txt").write_text("theirs")
        return real(tree, path)

    monkeypatch.setattr(Beneath, "create", create)
    assert told(folder).name == "cat.png (2).why.txt"
    assert (folder / "cat.png.why.txt").read_text() == "theirs"


def test_long_names_that_begin_alike_have_a_reason_each(folder):
    names = [f"{'x' * 248}{number}.png" for number in range(2)]
    found = [told(folder, Refusal(name=name, reason=WHY, where=name)) for name in names]
    assert len(set(found)) == 2
    for name, why in zip(names, found, strict=True):
        assert len(os.fsencode(why.name)) <= 255
        assert why.read_text().startswith(f"{name} was rejected.")


def test_the_reason_goes_when_the_picture_was_taken_after_all(folder):
    why = told(folder)
    (folder / "cat.png").write_text("a picture")
    with Beneath(folder.parent) as tree:
        withdraw(tree, "rejected", "cat.png")
        assert why.exists(), "the picture is still there"
        (folder / "cat.png").unlink()
        withdraw(tree, "rejected", "cat.png")
        withdraw(tree, "rejected", "cat.png")
    assert not why.exists()


@pytest.mark.parametrize(
    "name", ["cat.why.txt.png", "cat.png.WHY.TXT.png", f"{'w' * 243}.why.txt.png"]
)
async def test_a_picture_whose_name_looks_like_a_reason_is_a_picture(world, picture, name):
    picture(name)
    assert (await world.take(name)).state == "queued"
    (world.inbox / name).write_text("hello")
    assert (await world.take(name)).state == "rejected"
    assert (world.rejected / name).read_text() == "hello"
    (why,) = world.rejected.glob("*.why.txt")
    assert why.read_text().startswith(f"{name} was rejected.")
    # Moved back, it is a picture again and its reason goes.
    (world.rejected / name).unlink()
    picture(name, seed=2)
    assert (await world.take(name)).state == "queued"
    assert list(world.rejected.iterdir()) == []


def test_a_person_s_notes_next_to_a_rejected_picture_stay_when_it_is_taken(tmp_path):
    (tmp_path / "cat.png").write_text("x")
    (tmp_path / "rejected").mkdir()
    (tmp_path / "rejected/cat.png.why.txt").write_text("a person's notes")
    claims = Claims(tmp_path)
    claims.release(claims.take(("cat.png",)))
    assert (tmp_path / "rejected/cat.png.why.txt").read_text() == "a person's notes"


class TestAFailedJob:
    @pytest.fixture
    def settings(self, tmp_path: Path) -> Settings:
        for name in ("inbox", "outbox"):
            (tmp_path / name).mkdir()
        return Settings(
            inbox=InboxSettings(path=tmp_path / "inbox"),
            outbox=OutboxSettings(path=tmp_path / "outbox"),
            state=StateSettings(path=tmp_path / "state"),
        )

    def test_that_fails_again_and_again_lays_its_picture_down_once(self, settings):
        folder = settings.inbox.path / "rejected/plain"
        folder.mkdir(parents=True)
        (folder / "bad.png").write_text("another's")
        for _ in range(3):
            asyncio.run(give_back(settings, failed(settings)))
        name = f"bad-{ID[:8]}.png"
        assert sorted(path.name for path in folder.iterdir()) == sorted(
            ["bad.png", name, f"{name}.why.txt"]
        )
        assert (folder / "bad.png").read_text() == "another's"

    def test_overwrites_nobody_who_has_its_second_name_too(self, settings):
        folder = settings.inbox.path / "rejected/plain"
        folder.mkdir(parents=True)
        for name in ("bad.png", f"bad-{ID[:8]}.png"):
            (folder / name).write_text("another's")
        asyncio.run(give_back(settings, failed(settings)))
        assert (folder / f"bad-{ID[:8]}.png").read_text() == "another's"
        assert (folder / f"bad-{ID[:8]} (2).png").read_text() == "a picture"


def test_nothing_else_writes_reasons():
    assert [m.name for m in PACKAGE.rglob("*.py") if "why.txt" in m.read_text()] == ["entry.py"]
    inbox = (PACKAGE / "inbox").glob("*.py")
    # Retention removes rejected pictures together with their reasons.
    known = {"entry.py", "refusal.py", "rejected.py"}
    assert {m.name for m in inbox if "WHY" in m.read_text()} == known
    assert not re.search(
        r"\.(write|create|replacing)\(", (PACKAGE / "inbox/rejected.py").read_text()
    )


def test_a_picture_of_a_folder_that_is_no_recipe_is_not_to_go_back_there():
    found = text(
        Refusal(
            name="cat.png",
            reason=Reason("recipe-unknown", "The folder 'x' is not a recipe.", ELSEWHERE),
            where="x/cat.png in the inbox",
            others=("cat.toml",),
            folder="x",
        )
    )
    assert found.endswith(
        f"What to do: {ELSEWHERE}\n\nTo try again, move it there, and not back into x: cat.png, cat.toml\n"
    )
