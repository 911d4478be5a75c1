"""The same picture with the same ticket: when it is rejected, made anew, or one job with the first."""

import asyncio
import shutil

import msgspec
import pytest

from zoetrope.domain.job import State
from zoetrope.domain.plan import Plan
from zoetrope.domain.steps import cancel
from zoetrope.domain.values import Artefact
from zoetrope.jobs import receipt
from zoetrope.jobs.outbox import Outbox
from zoetrope.jobs.outbox_identity import OutboxIdentity

POLICIES = pytest.mark.parametrize(
    ("policy", "state"), [("skip", State.REJECTED), ("new-seed", State.QUEUED)]
)


class TestDuplicates:
    async def both(self, world, picture, policy, ticket=""):
        world.change(duplicates=policy)
        jobs = []
        for name in ("cat.png", "copy.png"):
            picture(name)
            (world.inbox / name).with_suffix(".toml").write_text(ticket)
            jobs.append(await world.take(name, tickets=(f"{name[:-4]}.toml",)))
        return jobs

    async def test_the_same_again_is_refused_and_says_where_the_first_is(self, world, picture):
        first, second = await self.both(world, picture, "skip")
        assert (second.state, second.reason.key) == (State.REJECTED, "duplicate")
        assert first.short in second.reason.sentence

    async def test_a_job_whose_video_retention_removed_is_no_twin(self, world, picture):
        picture("cat.png")
        first = await world.take("cat.png")
        await world.ledger.change(
            first.id, lambda job: msgspec.structs.replace(job, state=State.DONE, removed=1.0)
        )
        picture("copy.png")
        assert (await world.take("copy.png")).state is State.QUEUED

    async def published(self, world, picture, policy):
        """Make the first video of a picture, and give its job and its folder in the outbox."""
        world.change(duplicates=policy)
        outbox = Outbox(
            world.settings.outbox.path,
            OutboxIdentity(world.settings.outbox.path, world.settings.outbox_identity),
        )
        outbox.prepare()
        picture("cat.png")
        first = await world.take("cat.png")
        work = world.settings.work / first.id
        (work / "made.mp4").write_text("a video")
        made = Artefact(file="made.mp4", size=7, sha256="1" * 64)
        stages = (*first.stages[:-1], msgspec.structs.replace(first.stages[-1], artefacts=(made,)))
        done = msgspec.structs.replace(first, state=State.DONE, stages=stages, outbox="cat")
        name = outbox.publish(done, work, receipt.encode(receipt.write(done, Plan(), 1.0)))
        await world.ledger.change(first.id, lambda _: msgspec.structs.replace(done, outbox=name))
        return first, world.settings.outbox.path / name

    def renamed(self, first, place):
        """Give folder and video the names that a user likes."""
        (place / "cat.mp4").rename(place / "best.mp4")
        return place.rename(place.with_name(f"mine-{first.short}"))

    async def again(self, world, picture):
        picture("again.png")
        return await world.take("again.png")

    @POLICIES
    async def test_a_video_that_is_there_is_not_made_again(self, world, picture, policy, state):
        first, _ = await self.published(world, picture, policy)
        job = await self.again(world, picture)
        assert job.state is state
        assert not [note for note in job.notes if first.short in note]

    @POLICIES
    async def test_a_video_that_a_user_renamed_is_not_taken_away(
        self, world, picture, policy, state
    ):
        self.renamed(*await self.published(world, picture, policy))
        job = await self.again(world, picture)
        assert job.state is state
        assert not [note for note in job.notes if "not in the outbox" in note]

    @POLICIES
    async def test_a_video_that_an_absent_outbox_hides_is_not_taken_away(
        self, world, picture, policy, state
    ):
        first, place = await self.published(world, picture, policy)
        place.parent.rename(world.root / "away")
        place.parent.mkdir()
        job = await self.again(world, picture)
        assert job.state is state
        assert not [note for note in job.notes if first.short in note]

    @POLICIES
    @pytest.mark.parametrize("all_of_it", [False, True], ids=["video", "folder"])
    async def test_a_video_that_a_user_took_away_is_made_anew_and_the_job_says_so(
        self, world, picture, policy, state, all_of_it
    ):
        first, place = await self.published(world, picture, policy)
        place = self.renamed(first, place)
        if all_of_it:
            shutil.rmtree(place)
        else:
            (place / "best.mp4").unlink()
        job = await self.again(world, picture)
        assert job.state is State.QUEUED
        (said,) = [note for note in job.notes if first.short in note]
        assert "not in the outbox any more" in said

    async def test_another_ticket_is_another_job(self, world, picture):
        first = await self.both(world, picture, "skip", "seed = 1")
        picture("third.png")
        (world.inbox / "third.toml").write_text("seed = 2")
        third = await world.take("third.png", tickets=("third.toml",))
        assert third.state is State.QUEUED
        assert third.fingerprint != first[0].fingerprint

    @pytest.mark.parametrize("ticket", ["", "seed = 5"])
    async def test_a_new_seed_may_be_drawn(self, world, picture, ticket):
        first, second = await self.both(world, picture, "new-seed", ticket)
        assert second.state is State.QUEUED
        assert second.seed != first.seed

    async def test_it_may_be_made_again(self, world, picture):
        first, second = await self.both(world, picture, "always", "seed = 5")
        assert (second.state, second.seed) == (State.QUEUED, first.seed)

    async def test_a_job_that_came_to_nothing_is_no_twin(self, world, picture):
        picture("cat.png")
        first = await world.take("cat.png")
        await world.ledger.change(first.id, lambda job: cancel(job, 0.0))
        picture("cat.png")
        assert (await world.take("cat.png")).state is State.QUEUED

    async def test_the_same_picture_dropped_many_times_at_once_is_one_job(self, world, picture):
        for number in range(6):
            picture(f"{number}.png")
        drops = [world.drop(f"{number}.png") for number in range(6)]
        jobs = await asyncio.gather(*(world.intake.take(drop) for drop in drops))
        states = [job.state for job in jobs]
        assert states.count(State.QUEUED) == 1
        assert states.count(State.REJECTED) == 5
