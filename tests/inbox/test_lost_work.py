"""Work that the ledger knows nothing of is put aside, offered, and becomes exactly one job when it is asked for."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil

import msgspec
import pytest

from tests.fakes.kills import Kill, Killed
from tests.inbox.conftest import write_picture, write_recipe
from zoetrope.domain import steps
from zoetrope.domain.job import State
from zoetrope.errors import NotFound, NotReadable, Rejected
from zoetrope.graphs.shelf import Recipes
from zoetrope.graphs.versions import Versions
from zoetrope.inbox.request_key import request_key
from zoetrope.jobs import recovery, work_note
from zoetrope.jobs.lost_work import LostWork
from zoetrope.store.memory import MemoryLedger

TICKET = 'prompt = "she turns"\nsteps = 7'


def forget(world):
    """Begin a ledger anew, as someone does who restores or moves it."""
    old, world.ledger = world.ledger, MemoryLedger()
    world.make_intake()
    return old


async def lose(world, name="cat.png", ticket=TICKET, seed=0):
    """Have a picture accepted, then lose the ledger, and start."""
    write_picture(world.inbox / name, seed=seed)
    tickets = ()
    if ticket:
        tickets = (f"{name.rpartition('.')[0]}.toml",)
        (world.inbox / tickets[0]).write_text(ticket)
    job = await world.take(name, tickets=tickets)
    forget(world)
    await world.intake.recover()
    return job


@pytest.fixture
def outbox(world):
    """Make the outbox, without which nobody can tell whether there is a video already."""
    world.settings.outbox.path.mkdir()
    return world.settings.outbox.path


def lost(world):
    return world.settings.lost


async def notes(world):
    return (await world.intake.readmission.page("", 10))[0]


async def test_work_without_a_row_waits_with_a_note_that_says_all_that_is_known(world):
    job = await lose(world)
    body = (lost(world) / job.id / job.images[0].source).read_bytes()
    note = json.loads((lost(world) / job.id / "lost.json").read_text())
    assert note["job"] == job.id
    assert note["stem"] == "cat"
    assert note["accepted"] == job.created
    assert note["ticket"]["prompt"] == "she turns"
    assert note["ticket"]["parameters"] == {"steps": 7}
    assert note["recipe_version"] == job.recipe_version
    (told,) = note["pictures"]
    assert (told["name"], told["sha256"]) == ("cat.png", job.images[0].sha256)
    assert (lost(world) / job.id / told["file"]).read_bytes() == body
    assert "ledger" in note["why"]
    assert job.short in note["next_step"]
    assert list(world.settings.work.iterdir()) == []
    assert await world.jobs() == []
    # Nothing but a person does anything with it.
    for _ in range(2):
        world.make_intake()
        await world.intake.recover()
    assert [each.job for each in await notes(world)] == [job.id]
    assert await world.intake.readmission.count() == 1


async def test_it_becomes_a_job_with_the_same_ticket_source_seed_and_recipe(world, outbox):
    earlier = await lose(world)
    body = (lost(world) / earlier.id / earlier.images[0].source).read_bytes()
    job = await world.intake.readmission.readmit(earlier.short.upper())
    assert job.id != earlier.id
    same = (
        "stem",
        "folder",
        "origin",
        "created",
        "ticket",
        "seed",
        "recipe_version",
        "fingerprint",
    )
    for field in (*same, "images", "stages", "state"):
        assert getattr(job, field) == getattr(earlier, field), field
    assert (world.settings.work / job.id / job.images[0].source).read_bytes() == body
    assert list(lost(world).iterdir()) == []
    assert await world.intake.readmission.readmit(earlier.id) == job, "asked again, the same job"
    with pytest.raises(NotFound):
        await world.intake.readmission.readmit(earlier.short)
    assert await world.jobs() == [job]


async def test_killed_at_any_step_it_becomes_exactly_one_job(world, outbox):
    for at in range(200):
        earlier = await lose(world, f"cat{at}.png", seed=at)
        kill = Kill(at)
        with pytest.MonkeyPatch.context() as patch:
            kill.install(patch)
            with contextlib.suppress(Killed):
                await world.intake.readmission.readmit(earlier.id)
        world.make_intake()
        await world.intake.recover()
        if await notes(world):
            await world.intake.readmission.readmit(earlier.id)
        (job,) = [each for each in await world.jobs() if each.stem == f"cat{at}"]
        assert (job.state, job.ticket) == (State.QUEUED, earlier.ticket), f"before call {at}"
        work = world.settings.work
        assert [path.name for path in work.iterdir()] == [job.id], f"before call {at}"
        assert (work / job.id / job.images[0].source).stat().st_size == job.images[0].size
        assert list(lost(world).iterdir()) == [], f"before call {at}"
        await world.ledger.change(job.id, lambda j: steps.cancel(j, 1.0, ""))
        forget(world)
        (work / job.id).rename(world.root / f"seen-{at}")
        if not kill.done:
            assert at > 20, "there are more steps than that"
            return
    pytest.fail("it never got through")


async def test_killed_at_any_step_of_being_put_aside_nothing_is_lost(world):
    for at in range(100):
        write_picture(world.inbox / "cat.png", seed=at)
        job = await world.take("cat.png")
        forget(world)
        kill = Kill(at)
        with pytest.MonkeyPatch.context() as patch:
            kill.install(patch)
            with contextlib.suppress(Killed):
                await world.intake.recover()
        world.make_intake()
        await world.intake.recover()
        (note,) = await notes(world)
        assert (note.job, note.stem) == (job.id, "cat"), f"before call {at}"
        assert (lost(world) / job.id / "lost.json").exists()
        assert (lost(world) / job.id / note.pictures[0].file).exists()
        (lost(world) / job.id).rename(world.root / f"seen-{at}")
        if not kill.done:
            assert at > 8, "there are more steps than that"
            return
    pytest.fail("it never got through")


async def test_when_its_row_is_there_again_the_work_is_too(world):
    write_picture(world.inbox / "cat.png")
    job = await world.take("cat.png")
    before = {path.name for path in (world.settings.work / job.id).iterdir()}
    real = forget(world)
    await world.intake.recover()
    assert not (world.settings.work / job.id).exists()
    world.ledger = real
    world.make_intake()
    await world.intake.recover()
    assert {path.name for path in (world.settings.work / job.id).iterdir()} == before
    assert list(lost(world).iterdir()) == []


async def test_work_of_an_older_zoetrope_has_no_ticket_and_is_still_no_loss(world, outbox):
    job = await lose(world)
    folder = lost(world) / job.id
    (folder / "lost.json").unlink()
    (folder / "job.json").unlink()
    folder.rename(world.settings.work / job.id)
    world.make_intake()
    await world.intake.recover()
    (note,) = await notes(world)
    assert note.ticket is None
    assert note.pictures[0].sha256 == job.images[0].sha256
    again = await world.intake.readmission.readmit(job.id)
    assert (again.stem, again.ticket.recipe) == (f"lost-{job.short}", "plain")
    assert again.images[0].sha256 == job.images[0].sha256


async def test_a_job_that_an_older_zoetrope_accepted_gets_its_note_at_the_start(world, picture):
    picture("cat.png")
    job = await world.take("cat.png")
    note = world.settings.work / job.id / "job.json"
    said = note.read_bytes()
    note.unlink()
    gone = msgspec.structs.replace(job, id="ab" * 16)  # whose folder is not there
    for _ in range(2):
        await recovery.note(world.settings.work, [gone, job])
    assert note.read_bytes() == said
    assert [path.name for path in world.settings.work.iterdir()] == [job.id]


async def test_pairs_and_halves_become_what_they_were(world, outbox):
    for name, seed in (("a.start.png", 1), ("a.end.png", 2), ("b.end.png", 3)):
        write_picture(world.inbox / "loop" / name, seed=seed)
    pair = await world.take("loop/a.start.png", "loop/a.end.png")
    half = await world.take("loop/b.end.png")
    write_picture(world.inbox / "loop" / "c.png", seed=4)
    loop = await world.take("loop/c.png")
    # The second half comes to the work of the first.
    write_picture(world.inbox / "loop" / "d.end.png", seed=5)
    waiting = await world.take("loop/d.end.png")
    write_picture(world.inbox / "loop" / "d.start.png", seed=6)
    whole = await world.take("loop/d.start.png")
    assert whole.id == waiting.id
    forget(world)
    await world.intake.recover()
    for earlier in (pair, half, loop, whole):
        job = await world.intake.readmission.readmit(earlier.id)
        for field in ("stem", "folder", "state", "half", "images", "ticket", "seed", "stages"):
            assert getattr(job, field) == getattr(earlier, field), (earlier.stem, field)
    assert half.state is State.WAITING


async def test_what_has_a_video_or_a_job_already_is_not_made_again(world):
    job = await lose(world)
    readmit = world.intake.readmission.readmit

    async def refused(key, kind=Rejected):
        with pytest.raises(kind) as error:
            await readmit(job.id)
        assert error.value.reason.key == key
        assert error.value.reason.next_step
        assert [each.job for each in await notes(world)] == [job.id]
        return error.value.reason.sentence

    outbox = world.settings.outbox.path
    # Whether there is a video cannot be seen.
    await refused("missing", NotReadable)
    folder = outbox / f"kitten-{job.id}-2"
    folder.mkdir(parents=True)
    (folder / "receipt.json").write_text(json.dumps({"job": job.id}))
    assert folder.name in await refused("lost-done")
    (folder / "receipt.json").write_text(json.dumps({"job": "ab" * 16}))
    # The same picture was dropped again meanwhile.
    write_picture(world.inbox / "cat.png")
    (world.inbox / "cat.toml").write_text(TICKET)
    await world.take("cat.png", tickets=("cat.toml",))
    await refused("duplicate")
    await world.ledger.add(job, claim="another")
    assert job.short in await refused("not-lost")


async def test_what_cannot_be_taken_stays_with_its_reason(world, outbox):
    job = await lose(world)
    source = lost(world) / job.id / job.images[0].source
    source.write_text("no picture")
    with pytest.raises(Rejected, match="picture"):
        await world.intake.readmission.readmit(job.id)
    source.unlink()
    with pytest.raises((Rejected, NotReadable, FileNotFoundError)):
        await world.intake.readmission.readmit(job.id)
    assert [each.job for each in await notes(world)] == [job.id]
    assert list(world.settings.work.iterdir()) == []
    assert await world.jobs() == []


async def test_the_recipe_as_it_was_is_kept_for_lost_work_and_serves_it(world, outbox):
    world.recipes = Recipes((world.root / "recipes",), Versions(world.settings.recipe_versions))
    world.make_intake()
    job = await lose(world)
    file = write_recipe(world.root / "recipes", "plain") / "recipe.toml"
    file.write_text(file.read_text().replace("default = 20", "default = 21"))
    world.recipes = Recipes((world.root / "recipes",), Versions(world.settings.recipe_versions))
    places = (world.settings.work, world.settings.lost)
    world.recipes.versions.keep(world.recipes.get("loop"))
    later = Recipes((world.root / "recipes",), Versions(world.settings.recipe_versions))
    await recovery.sweep(world.ledger, later, *places)
    assert later.versions.names() == {job.recipe_version}
    world.recipes = later
    world.make_intake()
    again = await world.intake.readmission.readmit(job.id)
    assert again.recipe_version == job.recipe_version
    # Where that version is gone, the recipe that has the name now serves.
    forget(world)
    await world.intake.recover()
    world.recipes = Recipes((world.root / "recipes",), Versions(world.root / "other"))
    world.make_intake()
    third = await world.intake.readmission.readmit(again.id)
    assert third.recipe_version == world.recipes.get("plain").version


async def test_only_what_never_came_as_far_as_a_job_is_cleared_away(world):
    work = world.settings.work
    for name, files in {"0": (), "1": ("unfinished", "source.png"), "2": ("source.png",)}.items():
        (work / (name * 32)).mkdir(parents=True)
        for file in files:
            (work / (name * 32) / file).write_text("x")
    await world.intake.recover()
    assert list(work.iterdir()) == []
    assert [path.name for path in lost(world).iterdir()] == ["2" * 32]


async def test_what_somebody_put_among_it_is_left_alone(world, outbox):
    job = await lose(world)
    precious = world.root / "precious"
    precious.mkdir()
    (precious / "lost.json").write_text("mine")
    (lost(world) / ("1" * 32)).symlink_to(precious)
    (lost(world) / "notes").mkdir()
    (lost(world) / "\n").mkdir()
    assert [each.job for each in await notes(world)] == [job.id]
    for strange in ("1" * 32, "notes", "", "..", "\n"):
        with pytest.raises(NotFound):
            await world.intake.readmission.readmit(strange)
    # A note that cannot be read is made anew.
    (lost(world) / job.id / "lost.json").write_text("{")
    assert (await notes(world))[0].stem == "cat"
    assert (precious / "lost.json").read_text() == "mine"


async def test_work_that_cannot_be_put_aside_stays_and_keeps_no_picture(world, monkeypatch, caplog):
    write_picture(world.inbox / "cat.png")
    job = await world.take("cat.png")
    forget(world)
    real = os.rename

    def rename(path, to, **at):
        if path == job.id:
            raise OSError(18, "Invalid cross-device link", path)
        return real(path, to, **at)

    monkeypatch.setattr(os, "rename", rename)
    await world.intake.recover()
    assert (world.settings.work / job.id).is_dir()
    write_picture(world.inbox / "dog.png", seed=1)
    assert (await world.take("dog.png")).state is State.QUEUED
    assert world.intake.status.problem is None


async def test_two_who_ask_at_once_get_one_job(world, outbox):
    job = await lose(world)
    answers = await asyncio.gather(*(world.intake.readmission.readmit(job.id) for _ in range(3)))
    assert await world.jobs() == [answers[0]] == [answers[1]] == [answers[2]]


async def test_the_list_comes_in_pages(world):
    for number in range(5):
        folder = world.settings.work / (f"{number}" * 32)
        folder.mkdir(parents=True)
        (folder / "source.png").write_text("x")
    await world.intake.recover()
    first, total = await world.intake.readmission.page("", 3)
    rest, _ = await world.intake.readmission.page(first[-1].job, 3)
    assert total == 5
    assert [each.job[0] for each in (*first, *rest)] == ["0", "1", "2", "3", "4"]
    assert msgspec.json.encode(first)


async def cut_off(world, upload, key):
    """Have an upload killed after its note, before its row."""

    async def died(*_args, **_more):
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MemoryLedger, "add", died)
        with pytest.raises(Killed):
            await world.intake.submissions.take_upload(upload, "cat.png", {}, key=key)


@pytest.fixture
def upload(tmp_path):
    return write_picture(tmp_path / "upload.png")


async def test_the_copy_that_an_upload_left_goes_when_its_request_is_repeated(world, upload):
    key = request_key("mine", {}, {"image": upload})
    other = request_key("another", {}, {"image": upload})
    for each in (key, other):
        await cut_off(world, upload, each)
    world.make_intake()
    await world.intake.recover()
    assert len(await notes(world)) == 2
    # The client sends it again.
    job = await world.intake.submissions.take_upload(upload, "cat.png", {}, key=key)
    (left,) = await notes(world)
    assert LostWork(world.settings.work, lost(world)).job(left.job).request == str(other), (
        "nobody repeated it"
    )
    assert [path.name for path in world.settings.work.iterdir()] == [job.id]
    assert await world.jobs() == [job]


async def test_what_was_repeated_before_the_start_looked_is_no_lost_work(world, upload):
    key = request_key("mine", {}, {"image": upload})
    await cut_off(world, upload, key)
    world.make_intake()
    job = await world.intake.submissions.take_upload(upload, "cat.png", {}, key=key)
    assert len(list(world.settings.work.iterdir())) == 2
    await world.intake.recover()
    assert [path.name for path in world.settings.work.iterdir()] == [job.id]
    assert not lost(world).exists()


async def test_what_is_discarded_while_it_is_listed_is_only_not_there(world, monkeypatch):
    lost = LostWork(world.settings.work, world.settings.lost)
    (world.settings.lost / ("ab" * 16)).mkdir(parents=True)

    def gone(tree, job_id):
        shutil.rmtree(world.settings.lost / job_id)
        return tree.stat(job_id)

    monkeypatch.setattr(work_note, "read", gone)
    with pytest.raises(NotFound):
        lost.note("ab" * 16)
