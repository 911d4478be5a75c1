"""Tickets that no picture uses are named, and none is used for another picture than the one it was written for."""

import unicodedata

import pytest

from tests.inbox.conftest import until, write_picture
from zoetrope.domain.job import State
from zoetrope.inbox.entry import classify
from zoetrope.inbox.gather import Drop, Gathering
from zoetrope.inbox.lone_tickets import ALONE_SECONDS, LATE_SECONDS, LoneTickets
from zoetrope.inbox.stability import FileStat, Stability


async def test_a_ticket_that_comes_after_its_picture_was_taken_is_given_back_with_the_reason(
    world, picture, caplog
):
    world.start()
    picture("late.png")
    await world.wait_for_jobs(1, State.QUEUED)
    (world.inbox / "late.toml").write_text("seed = 4242")
    await until(lambda: (world.rejected / "late.toml").exists())
    await until(lambda: "late.toml is not used" in caplog.text)
    assert "had been taken, without it" in world.why("late.toml")
    assert "together with this ticket" in world.why("late.toml")
    picture("late.png", seed=1)
    jobs = await world.wait_for_jobs(2, State.QUEUED)
    assert all(job.seed != 4242 for job in jobs)


async def test_one_that_is_moved_back_counts_for_the_next_picture(world, picture):
    world.start()
    picture("late.png")
    await world.wait_for_jobs(1, State.QUEUED)
    (world.inbox / "late.toml").write_text("seed = 4242")
    await until(lambda: (world.rejected / "late.toml").exists())
    await until(lambda: not world.intake.status.busy)
    (world.rejected / "late.toml").rename(world.inbox / "late.toml")
    await until(lambda: world.watcher.status.files)
    picture("late.png", seed=1)
    jobs = await world.wait_for_jobs(2, State.QUEUED)
    assert [job.seed == 4242 for job in jobs] == [False, True]


async def test_a_ticket_of_files_that_stay_is_told_as_well(world, picture):
    world.change(claim="copy")
    world.start()
    picture("late.png")
    await world.wait_for_jobs(1, State.QUEUED)
    (world.inbox / "late.png").unlink()
    await until(lambda: world.watcher.status.files == 0)
    (world.inbox / "late.toml").write_text("seed = 4242")
    why = world.settings.outbox.path / "rejected" / "late.toml.why.txt"
    world.settings.outbox.path.mkdir(exist_ok=True)
    await until(why.exists)
    assert (world.inbox / "late.toml").exists()


FORMS = [("NFD", "NFC"), ("NFC", "NFD")]


@pytest.mark.parametrize(("ticket", "name"), FORMS)
async def test_a_ticket_belongs_to_its_picture_however_a_system_writes_accents(world, ticket, name):
    (world.inbox / unicodedata.normalize(ticket, "Füße é.toml")).write_text("seed = 7")
    write_picture(world.inbox / unicodedata.normalize(name, "Füße é.png"))
    world.start()
    (job,) = await world.wait_for_jobs(1, State.QUEUED)
    assert job.seed == 7
    await until(lambda: world.files() == {})


@pytest.mark.parametrize("first", ["start", "end"])
@pytest.mark.parametrize("half", ["start", "end"])
def test_a_pair_has_the_ticket_of_either_half_whichever_is_looked_at_first(first, half):
    gathering = Gathering(2.0)
    for name in ("p.start.png", "p.end.png", f"p.{half}.toml", "p.toml"):
        gathering.add(classify(name))
    drop = gathering.decide(classify(f"p.{first}.png"), 0.0, 100.0, lambda _: True)
    assert isinstance(drop, Drop)
    assert [e.path for e in drop.tickets] == ["p.toml", f"p.{half}.toml"]


class TestNaming:
    """What is decided of a ticket alone, by the clock."""

    def taken(self, *names, tickets=()):
        return Drop(
            pictures=tuple(classify(name) for name in names),
            tickets=tuple(classify(name) for name in tickets),
        )

    @pytest.mark.parametrize(
        ("drop", "now", "late"),
        [
            (("cat.png",), LATE_SECONDS - 1, True),
            (("cat.start.png", "cat.end.png"), 1.0, True),
            # Its other half may come, and take the ticket with it.
            (("cat.start.png",), 1.0, False),
            (("dog.png",), 1.0, False),
            (("plain/cat.png",), 1.0, False),
            # By then it may be written for the next picture of that name.
            (("cat.png",), LATE_SECONDS, False),
        ],
    )
    def test_which_ticket_is_late(self, drop, now, late):
        lone = LoneTickets()
        lone.note(self.taken(*drop), 0.0)
        found = lone.decide(classify("cat.toml"), Gathering(0.0), now)
        assert (found is not None and found.late) is late

    def test_no_ticket_is_late_for_a_picture_that_had_one(self):
        lone = LoneTickets()
        lone.note(self.taken("cat.png", tickets=["cat.toml"]), 0.0)
        assert lone.decide(classify("cat.txt"), Gathering(0.0), 1.0) is None

    @pytest.mark.parametrize(
        ("ticket", "picture"),
        [("Cat.toml", "cat.png"), ("cat.png.toml", "cat.png"), ("cat.toml.txt", "cat.png")],
    )
    def test_a_ticket_whose_name_fits_no_picture_is_named_once(self, ticket, picture, caplog):
        stability, gathering, lone = Stability(1.0), Gathering(0.0), LoneTickets()
        look = FileStat(1, 0, 0)
        for name in (ticket, picture):
            gathering.add(classify(name))
            stability.scan(name, look, 0.0, 1000.0, polled=False)
            stability.confirm(name, look, 10.0)
        lone.look(stability, gathering, ALONE_SECONDS - 1001)
        assert lone.alone == ()
        for _ in range(2):
            lone.look(stability, gathering, ALONE_SECONDS)
        assert lone.alone == (ticket,)
        assert caplog.text.count(ticket) == 1
