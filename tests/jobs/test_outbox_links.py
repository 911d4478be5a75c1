"""A member of the share may put a link at any name of the outbox: nothing outside is touched, and videos appear."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from tests.fakes.precious import buried, make_precious, snapshot, swap_before_each_call, swapping
from tests.jobs.test_outbox import JOB, names, paper
from zoetrope.beneath import Linked
from zoetrope.domain.job import Progress, Stage, State
from zoetrope.domain.values import Artefact
from zoetrope.errors import ZoetropeError
from zoetrope.jobs.outbox import RECEIPT, Outbox, folder_name

pytestmark = pytest.mark.usefixtures("both_forms")

NAME = folder_name(JOB)
WHOLE = folder_name(JOB, whole=True)
HALF = msgspec.structs.replace(
    JOB, stages=(JOB.stages[0], Stage(name="upscale")), state=State.REVIEW
)


@pytest.fixture
def precious(tmp_path: Path) -> Path:
    return make_precious(tmp_path / "precious", f"{NAME}/cat.mp4", "stages/i2v.mp4", "receipt.json")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    out = tmp_path / "out"
    out.mkdir()
    return out


def make_work(root: Path) -> Path:
    work = root / "work"
    work.mkdir()
    for name in ("cat.jpeg", "upright.png", "i2v-1.mp4", "upscale-2.mp4"):
        (work / name).write_text(name)
    return work


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return make_work(tmp_path)


def linked(place: Path, target: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(target)


@pytest.mark.parametrize(
    "place",
    [
        NAME,
        f".{NAME}.part",
        f".{JOB.id}.part",
        "review",
        f"review/{NAME}",
        f"review/.{NAME}.part",
        f"review/.{JOB.id}.part",
    ],
)
def test_a_link_in_the_outbox_is_not_followed_and_the_video_appears(out, work, precious, place):
    linked(out / place, precious)
    before = snapshot(precious)
    outbox = Outbox(out)
    with pytest.raises(Linked) if place == "review" else contextlib.nullcontext():
        assert outbox.show_review(HALF, work).startswith("review/")
    outbox.clear_review(HALF, work)
    assert snapshot(precious) == before
    name = outbox.publish(JOB, work, paper())
    assert snapshot(precious) == before
    assert not (out / name).is_symlink()
    assert names(out / name) == {"cat.mp4", "source.jpeg", "stages/i2v.mp4", "receipt.json"}
    assert outbox.publish(JOB, work, paper()) == name
    assert snapshot(precious) == before


def test_both_names_of_a_folder_may_be_links(out, work, precious):
    for name in (NAME, WHOLE):
        linked(out / name, precious)
    before = snapshot(precious)
    name = Outbox(out).publish(JOB, work, paper())
    assert name not in (NAME, WHOLE)
    assert json.loads((out / name / RECEIPT).read_text())["job"] == JOB.id
    assert Outbox(out).publish(JOB, work, paper()) == name
    assert snapshot(precious) == before


def test_a_receipt_behind_a_link_or_a_pipe_does_not_say_whose_folder_it_is(out, work, precious):
    (precious / RECEIPT).write_bytes(paper())
    linked(out / NAME / RECEIPT, precious / RECEIPT)
    assert Outbox(out).publish(JOB, work, paper()) == WHOLE
    (out / NAME / RECEIPT).unlink()
    os.mkfifo(out / NAME / RECEIPT)
    assert Outbox(out).publish(JOB, work, paper()) == WHOLE


@pytest.mark.parametrize(
    "text", [b"[" * 50_000, b'{"job": ' + b"[" * 50_000, b"\xff", b"[]", b"{}"]
)
def test_a_receipt_that_nobody_can_read_is_somebody_else_s(out, work, text):
    (out / NAME).mkdir(parents=True)
    (out / NAME / RECEIPT).write_bytes(text)
    assert Outbox(out).publish(JOB, work, paper()) == WHOLE


def test_a_review_that_cannot_be_shown_is_said(out, work, precious):
    linked(out / "review", precious)
    before = snapshot(precious)
    with pytest.raises(Linked, match=f"{out / 'review'} is a link"):
        Outbox(out).show_review(HALF, work)
    Outbox(out).clear_review(HALF, work)
    assert snapshot(precious) == before


def test_a_review_folder_is_emptied_without_entering_links(out, work, precious):
    outbox = Outbox(out)
    shown = out / outbox.show_review(HALF, work)
    (shown / "link").symlink_to(precious)
    (shown / "i2v.mp4").unlink()
    (shown / "i2v.mp4").symlink_to(precious / "ledger.db")
    before = snapshot(precious)
    outbox.clear_review(HALF, work)
    assert sorted(path.name for path in shown.iterdir()) == ["i2v.mp4", "link"]
    assert snapshot(precious) == before


def test_a_review_folder_that_goes_deeper_than_any_path_stops_nothing(out, work):
    outbox = Outbox(out)
    shown = out / outbox.show_review(HALF, work)
    with buried(shown, "d", 1200):
        outbox.clear_review(HALF, work)
        assert [path.name for path in shown.iterdir()] == ["d"]
        assert outbox.publish(JOB, work, paper()) == NAME


def test_a_file_of_the_job_that_is_missing_is_said_as_such(out, work):
    (work / "upscale-2.mp4").unlink()
    with pytest.raises(FileNotFoundError, match="upscale-2"):
        Outbox(out).publish(JOB, work, paper())
    assert list(out.iterdir()) == []


def test_an_outbox_that_cannot_be_written_is_said_as_such(out, work, monkeypatch):
    def forbidden(*_args: object, **_kwargs: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "mkdir", forbidden)
    with pytest.raises(PermissionError):
        Outbox(out).publish(JOB, work, paper())


def test_the_longest_name_that_a_picture_can_have_is_published(out, work):
    job = msgspec.structs.replace(JOB, stem="x" * 246)
    name = Outbox(out).publish(job, work, paper(job))
    assert name == f"{'x' * 246}-{JOB.short}"
    (out / name / RECEIPT).write_text("{}")
    assert Outbox(out).publish(job, work, paper(job)).endswith(JOB.id)


# What happens when a link takes a folder's place in the middle of something, at every step of it.

Act = Callable[[], object]


def publishing(root: Path, work: Path) -> Act:
    return lambda: Outbox(root / "out").publish(JOB, work, paper())


def publishing_copies(root: Path, work: Path) -> Act:
    # More than one clip a stage, and no hard links: everything is written anew.
    first = msgspec.structs.replace(
        JOB.stages[0],
        state=Progress.DONE,
        artefacts=(*JOB.stages[0].artefacts, Artefact(file="i2v-1.mp4", size=1, sha256="3" * 64)),
    )
    job = msgspec.structs.replace(JOB, stages=(first, *JOB.stages[1:]))
    return lambda: Outbox(root / "out").publish(job, work, paper(job))


def showing(root: Path, work: Path) -> Act:
    return lambda: Outbox(root / "out").show_review(HALF, work)


def clearing(root: Path, work: Path) -> Act:
    Outbox(root / "out").show_review(HALF, work)
    return lambda: Outbox(root / "out").clear_review(HALF, work)


SCENES: list[tuple[Callable[[Path, Path], Act], str]] = [
    (publishing, NAME),
    (publishing, f".{NAME}.part"),
    (publishing, f".{NAME}.part/stages"),
    (publishing, f".{JOB.id}.part"),
    (publishing, f".{JOB.id}.part/stages"),
    (publishing_copies, f".{NAME}.part/stages"),
    (publishing_copies, f".{JOB.id}.part/stages"),
    (showing, "review"),
    (showing, f"review/{NAME}"),
    (showing, f"review/.{NAME}.part"),
    (showing, f"review/.{JOB.id}.part"),
    (clearing, "review"),
    (clearing, f"review/{NAME}"),
]


@pytest.mark.parametrize(
    ("scene", "place"), SCENES, ids=lambda part: getattr(part, "__name__", part)
)
def test_a_folder_that_becomes_a_link_at_any_step_leads_nowhere(
    tmp_path, monkeypatch, scene, place
):
    def lay(root: Path) -> tuple[Callable[[], object], Path, Path]:
        (root / "out" / "review").mkdir(parents=True)
        precious = make_precious(root / "precious", f"{NAME}/cat.mp4", "stages/i2v.mp4")
        return scene(root, make_work(root)), root / "out" / place, precious

    if scene is publishing_copies:
        monkeypatch.setattr(os, "link", no_links)
    # A folder that has to be there for the swap comes late, or never.
    least = -1 if "part" in place else 5
    swap_before_each_call(tmp_path, monkeypatch, lay, most=600, least=least)


def no_links(*_args: object, **_kwargs: object) -> None:
    """Stand in for a file system without hard links."""
    raise OSError(1, "Operation not permitted")


def test_videos_that_appear_while_folders_become_links_touch_nothing_outside(tmp_path, out, work):
    precious = make_precious(tmp_path / "precious", f"{NAME}/cat.mp4", "stages/i2v.mp4")
    (out / "review").mkdir(parents=True)
    before = snapshot(precious)
    outbox = Outbox(out)
    with (
        swapping(out / "review", precious),
        swapping(out / f".{JOB.id}.part", precious),
        swapping(out / NAME, precious),
    ):
        for _ in range(150):
            for act in (
                lambda: outbox.show_review(HALF, work),
                lambda: outbox.publish(JOB, work, paper()),
                lambda: outbox.clear_review(HALF, work),
            ):
                with contextlib.suppress(OSError, ZoetropeError):
                    act()
    assert snapshot(precious) == before
