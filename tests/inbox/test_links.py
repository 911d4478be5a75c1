"""A member of the share may put a link at any name: nothing outside is touched, and the inbox goes on."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fakes.precious import (
    ID,
    buried,
    make_precious,
    snapshot,
    swap_before_each_call,
    swapping,
)
from tests.fakes.source_image import plain_image
from tests.inbox.conftest import give_back, returned, until, write_picture
from zoetrope.domain.job import Job, State
from zoetrope.domain.steps import reject
from zoetrope.domain.values import Ticket
from zoetrope.errors import NotReadable, Reason, ZoetropeError
from zoetrope.inbox import scan as disk
from zoetrope.inbox.claim import Claims
from zoetrope.settings import InboxSettings, OutboxSettings, Settings, StateSettings

pytestmark = pytest.mark.usefixtures("both_forms")

WHY = Reason("picture-unknown", "The file is text.", "Check what was saved.")


@pytest.fixture
def precious(tmp_path: Path) -> Path:
    return make_precious(tmp_path / "precious")


def linked(place: Path, target: Path) -> None:
    """Put a link where the service has a name of its own."""
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(target)


# Each is a name in the inbox, and what it leads to below the precious folder.
FOLDERS = [
    (".zoetrope/state", ""),
    (f".zoetrope/{ID}", ""),
    (f".zoetrope/{ID}/sub", ""),
    (f".zoetrope/{ID}", ID),
    (f".zoetrope/{ID}\n", ID),
    (f"plain/.zoetrope/{ID}", ID),
    ("plain/.zoetrope", ".zoetrope"),
    ("elsewhere", ""),
    ("rejected", ""),
    ("rejected/bad.png", "bad.png"),
    ("rejected/bad.png.why.txt", "bad.png.why.txt"),
]


@pytest.mark.parametrize(("place", "target"), FOLDERS)
async def test_a_link_in_the_inbox_is_not_followed_and_others_are_taken(
    world, picture, precious, place, target
):
    linked(world.inbox / place, precious / target)
    before = snapshot(precious)
    world.start()
    (world.inbox / "bad.png").write_text("hello")
    picture("good.png")
    await until(lambda: any(job.stem == "good" for job in world.announced))
    await until(lambda: any(job.stem == "bad" for job in world.announced))
    await until(lambda: not world.intake.status.busy)
    assert snapshot(precious) == before
    (good,) = [job for job in await world.jobs() if job.stem == "good"]
    assert good.state is State.QUEUED
    assert world.intake.status.problem is None
    # A second start finds the same, and whoever took a picture has not lost it.
    await world.stop()
    world.make_intake()
    world.start()
    picture("next.png", seed=2)
    await until(lambda: any(job.stem == "next" for job in world.announced))
    assert snapshot(precious) == before


async def test_the_folder_of_claims_as_a_link_is_said_and_waited_for(world, picture, precious):
    linked(world.inbox / ".zoetrope", precious / ".zoetrope")
    before = snapshot(precious)
    world.start()
    picture("good.png")
    await until(lambda: world.intake.status.problem)
    reason = world.intake.status.problem
    assert str(world.inbox / ".zoetrope") in reason.sentence
    assert "link" in reason.sentence
    assert reason.next_step
    assert (world.inbox / "good.png").is_file()
    assert snapshot(precious) == before
    (world.inbox / ".zoetrope").unlink()
    await world.wait_for_jobs(1, State.QUEUED)
    assert snapshot(precious) == before


async def test_a_rejected_picture_waits_while_its_place_is_a_link(world, precious):
    linked(world.rejected / "plain", precious / "plain")
    before = snapshot(precious)
    (world.inbox / "plain").mkdir()
    (world.inbox / "plain/bad.png").write_text("hello")
    world.start()
    await until(lambda: world.intake.status.held)
    (held,) = world.intake.status.held
    assert str(world.rejected / "plain") in held.reason.sentence
    assert held.reason.next_step
    assert world.intake.status.problem is None
    assert snapshot(precious) == before
    (world.rejected / "plain").unlink()
    await until((world.rejected / "plain" / "bad.png").is_file)
    assert (world.rejected / "plain" / "bad.png.why.txt").is_file()
    assert len(await world.jobs()) == 1


async def test_a_rejected_picture_of_an_earlier_run_waits_and_keeps_nobody_up(
    world, picture, precious
):
    (world.inbox / "bad.png").write_text("hello")
    linked(world.rejected, precious)
    before = snapshot(precious)
    with pytest.raises(AssertionError):
        await world.take("bad.png")
    (job,) = await world.jobs()
    assert job.state is State.REJECTED
    world.make_intake()
    world.start()
    picture("good.png")
    await until(lambda: world.intake.status.held)
    await until(lambda: any(job.stem == "good" for job in world.announced))
    assert snapshot(precious) == before
    world.rejected.unlink()
    await until((world.rejected / "bad.png").is_file)


async def test_what_is_no_claim_is_named_once_and_left_alone(world, precious, caplog):
    world.claimed.mkdir(mode=0o700)
    for name in ("state", ID.upper(), ID[:-1], f"{ID}\n"):
        (world.claimed / name).mkdir(parents=True)
        (world.claimed / name / "cat.png").write_text("a person's")
    (world.claimed / "notes.txt").write_text("a person's")
    before = snapshot(world.claimed)
    await world.intake.recover()
    assert snapshot(world.claimed) == before
    assert sum("notes.txt" in record.getMessage() for record in caplog.records) == 1


async def test_a_claim_folder_that_somebody_made_takes_no_job_s_work_away(world, picture):
    picture("cat.png")
    job = await world.take("cat.png")

    await world.ledger.change(job.id, lambda job: reject(job, 1.0, WHY))
    forged = world.claimed / job.id / "cat.png"
    forged.parent.mkdir(parents=True)
    forged.write_text("forged")
    await world.intake.recover()
    assert (world.settings.work / job.id / job.images[0].source).is_file()


async def test_a_claim_that_goes_deeper_than_any_path_keeps_nobody_up(world, picture):
    home = world.claimed / ID
    home.mkdir(parents=True)
    with buried(home, "d" * 200, 1200):
        world.start()
        picture("good.png")
        await world.wait_for_jobs(1, State.QUEUED)
        await world.stop()


@pytest.mark.parametrize("kind", ["link", "hard link", "pipe", "folder"])
async def test_a_reason_is_never_written_through_what_stands_at_its_name(world, precious, kind):
    place = world.rejected / "bad.png.why.txt"
    place.parent.mkdir()
    if kind == "link":
        place.symlink_to(precious / "ledger.db")
    elif kind == "hard link":
        place.hardlink_to(precious / "ledger.db")
    elif kind == "pipe":
        os.mkfifo(place)
    else:
        place.mkdir()
    before = (precious / "ledger.db").read_bytes()
    (world.inbox / "bad.png").write_text("hello")
    job = await world.take("bad.png")
    assert job.state is State.REJECTED
    assert (precious / "ledger.db").read_bytes() == before
    reasons = [path for path in world.rejected.glob("bad*.why.txt") if path.is_file()]
    assert any("was rejected" in path.read_text() for path in reasons if not path.is_symlink())


async def test_a_ticket_behind_a_link_is_not_read(world, picture, precious):
    linked(world.inbox / "plain", precious / "plain")
    (precious / "plain" / "ticket.toml").write_text("prompt = 'secret'")
    before = snapshot(precious)
    assert await world.intake.take(world.drop("plain/cat.png")) is None
    assert await world.jobs() == []
    assert snapshot(precious) == before


async def test_files_that_stay_are_not_read_behind_a_link(world, precious):
    world.change(claim="copy")
    write_picture(precious / "plain" / "cat.png")
    linked(world.inbox / "plain", precious / "plain")
    before = snapshot(precious)
    assert await world.intake.take(world.drop("plain/cat.png")) is None
    assert await world.jobs() == []
    assert snapshot(precious) == before


@pytest.mark.parametrize("place", ["rejected", "rejected/plain", "rejected/plain/bad.png.why.txt"])
async def test_a_reason_in_the_outbox_is_not_written_through_a_link(world, precious, place):
    world.change(claim="copy")
    target = precious / "bad.png.why.txt" if place.endswith(".txt") else precious
    linked(world.settings.outbox.path / place, target)
    before = snapshot(precious)
    (world.inbox / "plain").mkdir()
    (world.inbox / "plain/bad.png").write_text("hello")
    picture = write_picture(world.inbox / "good.png")
    world.start()
    await until(lambda: {job.stem for job in world.announced} == {"bad", "good"})
    await until(lambda: not world.intake.status.busy)
    assert snapshot(precious) == before
    assert picture.is_file()
    assert world.intake.status.problem is None


async def test_a_pipe_in_the_place_of_a_ticket_that_two_pictures_need_holds_them(world, picture):
    picture("cat.png")
    os.mkfifo(world.inbox / "cat.toml")
    (world.inbox / "cat.txt").write_text("she turns")
    drop = world.drop("cat.png", tickets=("cat.txt", "cat.toml"), shared=True)
    assert await world.intake.take(drop) is None
    (held,) = world.intake.status.held
    assert str(world.inbox / "cat.toml") in held.reason.sentence
    assert list(world.claimed.iterdir()) == []
    (world.inbox / "cat.toml").unlink()
    job = await world.take("cat.png", tickets=("cat.txt",))
    assert (job.state, job.ticket.prompt) == (State.QUEUED, "she turns")
    assert not world.intake.status.held


def test_a_scan_and_a_look_stop_at_a_link(tmp_path, precious):
    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox/elsewhere").symlink_to(precious)
    root = str(tmp_path / "inbox")
    assert sorted(disk.scan(root).files) == ["elsewhere"]
    assert disk.scan(root, ["elsewhere"]).files == {}
    assert disk.look(root, ["elsewhere/cat.png", "elsewhere/plain"]) == {}
    assert disk.probe(root, ["elsewhere/cat.png"]) == {}


def test_a_folder_deeper_than_any_path_does_not_end_the_scan(tmp_path):
    (tmp_path / "cat.png").write_bytes(b"x")
    with buried(tmp_path, "d" * 200, 1200):
        found = disk.scan(str(tmp_path))
    assert sorted(found.files) == ["cat.png"]
    assert found.unreadable


# What happens when a link takes a folder's place in the middle of something, at every step of it.

Act = Callable[[], object]


def refusing(root: Path) -> Act:
    claims = Claims(root / "inbox", new_id=lambda: ID)
    (root / "inbox/plain/bad.png").write_text("hello")
    (root / "inbox/plain/bad.toml").write_text("seed = 1")

    def act() -> None:
        if (claim := claims.take(("plain/bad.png",), ("plain/bad.toml",))) is not None:
            claims.refuse(claim, WHY)

    return act


def releasing(root: Path) -> Act:
    claims = Claims(root / "inbox", new_id=lambda: ID)
    (root / "inbox/plain/cat.png").write_text("hello")

    def act() -> None:
        if (claim := claims.take(("plain/cat.png",))) is not None:
            claims.release(claim)

    return act


def recovering(root: Path) -> Act:
    claims = Claims(root / "inbox")
    place = root / "inbox/.zoetrope" / ID / "plain"
    place.mkdir(parents=True)
    (place / "cat.png").write_text("hello")

    def act() -> None:
        for claim in claims.pending():
            claims.put_back(claim)

    return act


def returning(root: Path) -> Act:
    settings = Settings(
        inbox=InboxSettings(path=root / "inbox"),
        outbox=OutboxSettings(path=root / "outbox"),
        state=StateSettings(path=root / "state"),
    )
    job, way = failed(settings), returned(settings)
    return lambda: asyncio.run(give_back(settings, job, way))


def failed(settings: Settings) -> Job:
    """Make a job whose work is there, and that came to nothing."""
    work = settings.work / ID
    work.mkdir(parents=True, exist_ok=True)
    (work / "source.png").write_text("a picture")
    image = plain_image(
        "bad.png",
        sha256=hashlib.sha256(b"a picture").hexdigest(),
        size=9,
        width=1,
        height=1,
        source="source.png",
        file="source.png",
    )
    return Job(
        id=ID,
        created=1.0,
        updated=1.0,
        state=State.FAILED,
        stem="bad",
        folder="plain",
        images=(image,),
        ticket=Ticket(recipe="plain"),
        reason=WHY,
    )


SCENES: list[tuple[Callable[[Path], Act], str]] = [
    (refusing, "inbox/plain"),
    (refusing, "inbox/.zoetrope"),
    (refusing, f"inbox/.zoetrope/{ID}"),
    (refusing, f"inbox/.zoetrope/{ID}/plain"),
    (refusing, "inbox/rejected"),
    (refusing, "inbox/rejected/plain"),
    (releasing, "inbox/.zoetrope"),
    (releasing, f"inbox/.zoetrope/{ID}"),
    (releasing, f"inbox/.zoetrope/{ID}/plain"),
    (releasing, "inbox/rejected"),
    (recovering, "inbox/.zoetrope"),
    (recovering, f"inbox/.zoetrope/{ID}"),
    (recovering, f"inbox/.zoetrope/{ID}/plain"),
    (recovering, "inbox/plain"),
    (returning, "inbox/rejected"),
    (returning, "inbox/rejected/plain"),
]


@pytest.mark.parametrize(
    ("scene", "place"), SCENES, ids=lambda part: getattr(part, "__name__", part)
)
def test_a_folder_that_becomes_a_link_at_any_step_leads_nowhere(
    tmp_path, monkeypatch, scene, place
):
    def lay(root: Path) -> tuple[Act, Path, Path]:
        for folder in ("inbox/plain", "inbox/rejected/plain", "outbox"):
            (root / folder).mkdir(parents=True)
        precious = make_precious(root / "precious", f"plain/{ID}/cat.png")
        return scene(root), root / place, precious

    swap_before_each_call(tmp_path, monkeypatch, lay, most=400)


@pytest.mark.parametrize("taken", [False, True])
@pytest.mark.parametrize("kind", ["link", "hard link", "pipe"])
async def test_a_returned_picture_is_never_written_through_what_stands_at_its_names(
    world, precious, kind, taken
):
    job = failed(world.settings)
    folder = world.rejected / "plain"
    folder.mkdir(parents=True)
    names = [".bad.png.part", "bad.png.why.txt"]
    if taken:
        names += ["bad.png", f".bad-{job.short}.png.part", f"bad-{job.short}.png.why.txt"]
    for name in names:
        if kind == "link":
            (folder / name).symlink_to(precious / "ledger.db")
        elif kind == "hard link":
            (folder / name).hardlink_to(precious / "ledger.db")
        else:
            os.mkfifo(folder / name)
    before = (precious / "ledger.db").read_bytes()
    await give_back(world.settings, job)
    assert (precious / "ledger.db").read_bytes() == before
    name = f"bad-{job.short}.png" if taken else "bad.png"
    assert (folder / name).read_text() == "a picture"
    reasons = [path for path in folder.glob(f"{name}*.why.txt") if path.is_file()]
    assert any("failed." in path.read_text() for path in reasons if not path.is_symlink())


async def test_a_picture_is_returned_to_the_outbox_where_the_inbox_leads_away(world, precious):
    linked(world.rejected, precious)
    before = snapshot(precious)
    world.settings.outbox.path.mkdir()
    await give_back(world.settings, failed(world.settings))
    assert snapshot(precious) == before
    folder = world.settings.outbox.path / "rejected" / "plain"
    assert sorted(path.name for path in folder.iterdir()) == ["bad.png", "bad.png.why.txt"]


async def test_links_at_every_place_of_a_returned_picture_are_only_said(world, precious):
    linked(world.rejected, precious)
    linked(world.settings.outbox.path / "rejected", precious)
    before = snapshot(precious)
    with pytest.raises(NotReadable, match=str(world.settings.outbox.path / "rejected")):
        await give_back(world.settings, failed(world.settings))
    assert snapshot(precious) == before


def test_pictures_that_are_rejected_while_folders_become_links_touch_nothing_outside(tmp_path):
    inbox = tmp_path / "inbox"
    precious = make_precious(tmp_path / "precious")
    (inbox / "rejected").mkdir(parents=True)
    before = snapshot(precious)
    claims = Claims(inbox)
    with swapping(inbox / "rejected", precious), swapping(inbox / ".zoetrope", precious):
        for number in range(300):
            name = f"bad{number}.png"
            (inbox / name).write_text("hello")
            try:
                if (claim := claims.take((name,))) is not None:
                    claims.refuse(claim, WHY)
            except (OSError, ZoetropeError):
                continue
    assert snapshot(precious) == before
