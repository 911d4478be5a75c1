"""Who sees only the share answers a review by moving the clip's folder, and nothing else there is an answer."""

from __future__ import annotations

import logging
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests.fakes.members import GROUP, MEMBER, SERVICE, as_user, needs_root
from tests.fakes.pipeline import Pipeline
from tests.fakes.precious import make_precious, snapshot
from tests.jobs.test_outbox import JOB
from zoetrope.beneath import Beneath
from zoetrope.domain import steps
from zoetrope.domain.job import Job, Stage, State
from zoetrope.jobs.outbox import Outbox
from zoetrope.jobs.review_folder import SHOWN, answers, named_in, read_me, shown
from zoetrope.jobs.share_answers import ShareAnswers
from zoetrope.store.memory import MemoryLedger

ASKED = msgspec.structs.replace(
    JOB, stages=(JOB.stages[0], Stage(name="upscale")), state=State.REVIEW
)
NAME = "cat-1f3a9c2e"


class Share:
    """An outbox whose reviews are answered, without any engine."""

    def __init__(self, root: Path) -> None:
        self.out = root / "out"
        self.review = self.out / "review"
        self.root = root
        self.work = root / "work" / JOB.id
        for folder in (self.out, self.work):
            folder.mkdir(parents=True)
        for name in ("cat.jpeg", "i2v-1.mp4", "upscale-2.mp4"):
            (self.work / name).write_text(name)
        self.outbox = Outbox(self.out)
        self.ledger = MemoryLedger()
        self.tidied: list[str] = []
        self.answers = self.again()

    def again(self) -> ShareAnswers:
        """Start anew, as the next process does."""
        self.answers = ShareAnswers(
            self.out,
            ledger=self.ledger,
            approve=self.approve,
            decline=self.decline,
            tidy=self.tidied.append,
            work=self.work.parent,
        )
        return self.answers

    async def ask(self, job: Job = ASKED) -> Path:
        await self.ledger.add(job, claim=job.id)
        return self.out / self.outbox.show_review(job, self.work)

    async def ask_again(self) -> Path:
        """Ask for a review of the next stage."""
        job = await self.ledger.change(
            JOB.id,
            lambda j: msgspec.structs.replace(
                j, state=State.REVIEW, updated=3.0, stages=(j.stages[0], JOB.stages[1])
            ),
        )
        return self.out / self.outbox.show_review(job, self.work)

    async def approve(self, job_id: str) -> Job:
        job = await self.ledger.change(job_id, lambda j: steps.approve(j, 2.0))
        self.outbox.clear_review(job, self.work)
        return job

    async def decline(self, job_id: str, why: str) -> Job:
        job = await self.ledger.change(job_id, lambda j: steps.decline(j, 2.0, why))
        self.outbox.clear_review(job, self.work)
        return job

    async def look(self, times: int = 2) -> Job:
        for _ in range(times):
            await self.answers.look()
        return await self.ledger.get(JOB.id)


@pytest.fixture
def share(tmp_path: Path) -> Share:
    return Share(tmp_path)


async def test_the_folder_says_in_three_lines_how_to_answer(share):
    text = ((await share.ask()) / "READ ME.txt").read_text()
    assert len(text.splitlines()) == 3
    for said in ('"approved"', '"declined"', "zoetrope approve 1f3a9c2e", "cat"):
        assert said in text
    assert (share.review / "approved").is_dir()
    assert (share.review / "declined").is_dir()


@pytest.mark.parametrize(
    ("folder", "state"), [("approved", State.QUEUED), ("declined", State.CANCELLED)]
)
async def test_moving_the_folder_is_the_answer(share, folder, state):
    shown = await share.ask()
    assert (await share.look()).state is State.REVIEW
    shown.rename(share.review / folder / shown.name)
    job = await share.look()
    assert job.state is state
    assert job.stages[0].approved == (state is State.QUEUED)
    if state is State.CANCELLED:
        assert (job.reason.key, "review/declined" in job.reason.sentence) == ("declined", True)
    assert sorted(path.name for path in share.review.rglob("*")) == ["approved", "declined"]


async def test_a_folder_that_is_moved_back_is_no_answer(share):
    shown = await share.ask()
    shown.rename(share.review / "declined" / NAME)
    await share.look(1)
    (share.review / "declined" / NAME).rename(shown)
    assert (await share.look()).state is State.REVIEW
    assert shown.is_dir()
    # And may be moved again, elsewhere.
    shown.rename(share.review / "approved" / NAME)
    assert (await share.look()).state is State.QUEUED


async def test_an_answer_that_was_given_while_the_service_was_away_counts(share):
    shown = await share.ask()
    shown.rename(share.review / "approved" / NAME)
    share.again()
    # What a start does first: it shows every open review.
    assert share.outbox.show_review(ASKED, share.work) == f"review/approved/{NAME}"
    assert not shown.exists()
    await share.answers.learn()
    assert (await share.look()).state is State.QUEUED


@pytest.mark.parametrize("before", [0, 1])
async def test_an_answer_of_the_page_that_came_first_stands(share, before):
    shown = await share.ask()
    shown.rename(share.review / "declined" / NAME)
    await share.look(before)
    await share.approve(JOB.id)
    assert (await share.look()).state is State.QUEUED
    assert not (share.review / "declined" / NAME).exists()


async def test_a_folder_that_lies_in_both_is_no_answer_until_one_goes(share, caplog):
    shown = await share.ask()
    shutil.copytree(shown, share.review / "approved" / NAME)
    shutil.copytree(shown, share.review / "declined" / NAME)
    assert (await share.look(4)).state is State.REVIEW
    assert sum("neither counts" in record.message for record in caplog.records) == 1
    shutil.rmtree(share.review / "approved" / NAME)
    assert (await share.look()).state is State.CANCELLED


async def test_whatever_else_lies_there_is_left_alone(share, tmp_path):
    await share.ask()
    precious = make_precious(tmp_path / "precious", "READ ME.txt")
    (precious / "READ ME.txt").write_bytes(read_me(ASKED, ""))
    for place in (share.review / "approved", share.review / "declined"):
        (place / "holiday-12345678").mkdir()
        (place / "holiday-12345678" / "READ ME.txt").write_text(f"Job {JOB.id}")
        (place / "notes.txt").write_text(f"Job {JOB.id}.")
        (place / NAME).symlink_to(precious)
        for name, kind in (("link-12345678", "link"), ("pipe-12345678", "pipe")):
            (place / name).mkdir()
            if kind == "link":
                (place / name / "READ ME.txt").symlink_to(precious / "READ ME.txt")
            else:
                os.mkfifo(place / name / "READ ME.txt")
        (place / "deep").mkdir()
        (place / "deep" / NAME).mkdir()
        (place / "deep" / NAME / "READ ME.txt").write_bytes(read_me(ASKED, ""))
        (place / f".{NAME}").mkdir()
        (place / f".{NAME}" / "READ ME.txt").write_bytes(read_me(ASKED, ""))
    before = (
        snapshot(share.review / "approved"),
        snapshot(share.review / "declined"),
        snapshot(precious),
    )
    assert (await share.look(3)).state is State.REVIEW
    await share.approve(JOB.id)
    after = (
        snapshot(share.review / "approved"),
        snapshot(share.review / "declined"),
        snapshot(precious),
    )
    assert after == before


async def test_what_the_service_did_not_write_stays_in_an_answered_folder(share):
    shown = await share.ask()
    (shown / "mynotes.txt").write_text("mine")
    (shown / "i2v.mp4").write_text("cut anew by a person")
    (shown / "deep").mkdir()
    (shown / "deep" / "more.txt").write_text("mine")
    moved = share.review / "declined" / NAME
    shown.rename(moved)
    assert (await share.look()).state is State.CANCELLED
    assert {str(path.relative_to(moved)) for path in moved.rglob("*")} == {
        "mynotes.txt",
        "i2v.mp4",
        "deep",
        "deep/more.txt",
    }
    assert (moved / "i2v.mp4").read_text() == "cut anew by a person"


async def test_a_copy_of_an_answered_folder_is_left_alone_and_answers_no_later_review(share):
    shown = await share.ask()
    kept = share.root / "kept"
    shutil.copytree(shown, kept)
    (kept / "mynotes.txt").write_text("mine")
    await share.approve(JOB.id)
    assert not shown.exists()
    copy = share.review / "declined" / "broken-1b5f2850"
    shutil.copytree(kept, copy)
    before = snapshot(copy)
    for answers_of in (share.answers, share.again()):
        await answers_of.learn()
        assert (await share.look(4)).state is State.QUEUED
        # What a publication does, and each decision.
        share.outbox.clear_review(await share.ledger.get(JOB.id), share.work)
        assert snapshot(copy) == before
    # The next stage asks as well.
    shutil.copytree(kept, share.review / "approved" / NAME)
    again = await share.ask_again()
    assert again == share.review / NAME
    assert (await share.look(4)).state is State.REVIEW
    again.rename(share.review / "approved" / "mine")
    assert (await share.look()).state is State.QUEUED
    assert snapshot(copy) == before
    assert not (share.review / "approved" / "mine").exists()


@pytest.mark.parametrize("name", ["my-tiff-take", f"{NAME} (2)", f"{NAME}\n", "Neuer Ordner"])
async def test_a_folder_that_was_renamed_is_still_known(share, name):
    shown = await share.ask()
    shown.rename(share.review / name)
    # What a start does: it is shown already.
    assert share.outbox.show_review(ASKED, share.work) == f"review/{name}"
    assert not shown.exists()
    (share.review / name).rename(share.review / "approved" / name)
    assert share.outbox.show_review(ASKED, share.work) == f"review/approved/{name}"
    assert (await share.look()).state is State.QUEUED
    assert sorted(path.name for path in share.review.rglob("*")) == ["approved", "declined"]


async def test_a_folder_that_holds_only_what_people_left_is_not_the_next_review(share):
    shown = await share.ask()
    (shown / "mynotes.txt").write_text("mine")
    await share.approve(JOB.id)
    assert [path.name for path in shown.iterdir()] == ["mynotes.txt"]
    again = await share.ask_again()
    assert again == share.review / f"cat-{JOB.id}"
    assert (again / "i2v.mp4").exists()
    assert [path.name for path in shown.iterdir()] == ["mynotes.txt"]


async def test_a_service_that_was_killed_over_an_answer_clears_its_folder_later(share):
    shown = await share.ask()
    await share.ledger.change(JOB.id, lambda j: steps.decline(j, 2.0))
    share.again()
    await share.answers.learn()
    assert share.tidied == [JOB.id]
    share.outbox.clear_review(await share.ledger.get(JOB.id), share.work)
    assert not shown.exists()


async def test_why_a_folder_is_no_answer_is_logged_once(share, caplog):
    shown = await share.ask()
    kept = share.root / "kept"
    shutil.copytree(shown, kept)
    await share.approve(JOB.id)
    shutil.copytree(kept, share.review / "declined" / "again")
    with caplog.at_level(logging.INFO):
        await share.look(4)
    (record,) = [each for each in caplog.records if "no answer" in each.message]
    assert "review/declined/again" in record.message


@pytest.mark.parametrize("text", [None, read_me(ASKED, "")])
@pytest.mark.parametrize("moved", [False, True])
async def test_a_review_of_an_earlier_version_can_be_answered(share, text, moved):
    folder = await share.ask()
    (share.work / SHOWN).unlink()
    (folder / "READ ME.txt").unlink()
    if text is not None:
        (folder / "READ ME.txt").write_bytes(text)
    if moved and text is not None:
        folder.rename(share.review / "approved" / NAME)
    assert (share.out / share.outbox.show_review(ASKED, share.work)).name == NAME
    if folder.exists():
        with Beneath(share.out) as tree:
            assert named_in(tree, f"review/{NAME}") == (JOB.id, shown(share.work).id)
        folder.rename(share.review / "approved" / NAME)
    assert (await share.look()).state is State.QUEUED
    assert sorted(path.name for path in share.review.rglob("*")) == ["approved", "declined"]


async def test_an_outbox_that_is_not_there_is_said_once_and_waited_for(share, caplog):
    shown = await share.ask()
    shown.rename(share.review / "approved" / NAME)
    share.out.rename(share.out.with_name("away"))
    with caplog.at_level(logging.WARNING):
        await share.look(3)
    assert len(caplog.records) == 1
    share.out.with_name("away").rename(share.out)
    assert (await share.look()).state is State.QUEUED


def test_the_text_names_the_job_and_its_review_and_no_other_text_does(tmp_path):
    (tmp_path / NAME).mkdir()
    text = read_me(ASKED, "0123abcd")
    for content, named in (
        (text, (JOB.id, "0123abcd")),
        (text.replace(b"\n", b"\r\n"), (JOB.id, "0123abcd")),
        (read_me(ASKED, ""), (JOB.id, "")),
        (b"Job " + JOB.id.encode() + b". And more.", ("", "")),
        (b"Job " + JOB.id.encode() + b", review 0123abc.", ("", "")),
        (b"\xff" * 9000, ("", "")),
        (b"", ("", "")),
    ):
        (tmp_path / NAME / "READ ME.txt").write_bytes(content)
        with Beneath(tmp_path) as tree:
            assert named_in(tree, NAME) == named


@pytest.fixture
def outbox() -> Iterator[Path]:
    """An outbox of the service's, outside of pytest's own folder, which is closed to others."""
    home = Path(tempfile.mkdtemp(dir="/tmp"))
    home.chmod(0o755)
    (home / "out").mkdir()
    os.chown(home / "out", SERVICE, GROUP)
    (home / "out").chmod(0o2770)
    yield home / "out"
    shutil.rmtree(home)


@needs_root
def test_every_member_may_answer_and_the_service_removes_what_was_moved(outbox, tmp_path):
    work = outbox.parent / "work"
    work.mkdir()
    os.chown(work, SERVICE, GROUP)
    for name in ("cat.jpeg", "i2v-1.mp4"):
        (work / name).write_text(name)

    def show() -> None:
        Outbox(outbox).show_review(ASKED, work)

    assert as_user(SERVICE, show) == ""
    for folder in ("", "approved", "declined", NAME):
        assert stat.S_IMODE((outbox / "review" / folder).stat().st_mode) == 0o2770
    moved = outbox / "review/declined" / NAME
    assert as_user(MEMBER, lambda: (outbox / "review" / NAME).rename(moved)) == ""

    def take() -> None:
        with Beneath(outbox) as tree:
            (answer,) = answers(tree)
        assert (answer.job, answer.approved) == (JOB.id, False)
        Outbox(outbox).clear_review(ASKED, work)

    assert as_user(SERVICE, take) == ""
    assert not moved.exists()


@pytest.fixture
async def pipeline(tmp_path):
    pipeline = Pipeline(tmp_path)
    yield pipeline
    await pipeline.close()


async def test_a_video_is_made_with_nothing_but_the_share(pipeline):
    """Once while the service runs, once while it does not."""
    await pipeline.start()
    review = pipeline.root / "outbox/review"
    one = await pipeline.becomes(await pipeline.drop(review=True), State.REVIEW)
    other = await pipeline.becomes(
        await pipeline.drop(stem="dog", colour=120, review=True), State.REVIEW
    )
    name = f"cat-{one.short}"
    await pipeline.until((review / name).is_dir)
    (review / name).rename(review / "approved" / name)
    await pipeline.becomes(one, State.DONE)
    # What an earlier failure told people is withdrawn by then.
    assert [job.id for job in pipeline.withdrawn] == [one.id]
    name = f"dog-{other.short}"
    await pipeline.until((review / name).is_dir)
    await pipeline.stop()
    (review / name).rename(review / "declined" / name)
    await pipeline.start()
    assert (await pipeline.becomes(other, State.CANCELLED)).reason.key == "declined"
    await pipeline.until(lambda: not (review / "declined" / name).exists())
