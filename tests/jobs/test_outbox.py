import errno
import json
import os
import shutil
import tempfile
from pathlib import Path

import msgspec
import pytest

from tests.fakes.members import GROUP, MEMBER, SERVICE, as_user, needs_root
from tests.fakes.source_image import plain_image
from zoetrope.domain.job import Job, Progress, Stage, State
from zoetrope.domain.plan import Plan
from zoetrope.domain.values import Artefact, Ticket
from zoetrope.jobs import outbox, receipt
from zoetrope.jobs.outbox import Outbox, contents, folder_name

JOB = Job(
    id="1f3a9c2e" + "0" * 24,
    created=1.0,
    updated=1.0,
    state=State.RUNNING,
    stem="cat",
    ticket=Ticket(recipe="tiny"),
    images=(
        plain_image(
            "cat.jpeg",
            size=3,
            format="JPEG",
            width=1,
            height=1,
            file="upright.png",
            changes=("turned upright",),
        ),
    ),
    stages=(
        Stage(
            name="i2v",
            state=Progress.DONE,
            artefacts=(Artefact(file="i2v-1.mp4", size=1, sha256="1" * 64),),
        ),
        Stage(
            name="upscale",
            state=Progress.DONE,
            artefacts=(Artefact(file="upscale-2.mp4", size=1, sha256="2" * 64),),
        ),
    ),
)


@pytest.fixture
def work(tmp_path):
    folder = tmp_path / "work"
    folder.mkdir()
    for name in ("cat.jpeg", "upright.png", "i2v-1.mp4", "upscale-2.mp4"):
        (folder / name).write_text(name)
    return folder


def paper(job: Job = JOB) -> bytes:
    return receipt.encode(receipt.write(job, Plan(), 9.0))


def names(folder) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


def outbox_at(root):
    outbox = Outbox(root)
    outbox.prepare()
    return outbox


def test_an_outbox_that_is_gone_is_not_made_anew(tmp_path, work):
    """It may be a share that is not mounted: what is written below its mount point is hidden later."""
    with pytest.raises(FileNotFoundError, match="out"):
        Outbox(tmp_path / "out").publish(JOB, work, paper())
    assert not (tmp_path / "out").exists()


def test_a_folder_holds_video_source_stages_and_receipt(tmp_path, work):
    outbox = outbox_at(tmp_path / "out")
    name = outbox.publish(JOB, work, paper())
    assert name == "cat-1f3a9c2e"
    folder = tmp_path / "out" / name
    assert names(folder) == {"cat.mp4", "source.jpeg", "stages/i2v.mp4", "receipt.json"}
    assert (folder / "cat.mp4").read_text() == "upscale-2.mp4"
    assert (folder / "source.jpeg").read_text() == "cat.jpeg"
    told = json.loads((folder / "receipt.json").read_text())
    assert told["job"] == JOB.id
    assert told["notes"] == ["cat.jpeg: turned upright"]
    assert [p.name for p in (tmp_path / "out").iterdir()] == [name]


def test_the_tickets_name_names_the_video(work):
    named = msgspec.structs.replace(JOB, ticket=Ticket(recipe="tiny", name="hero"))
    assert "hero.mp4" in contents(named)


@pytest.mark.parametrize("stem", ["../../etc/passwd", "/etc/passwd", "..", ".hidden"])
def test_no_name_leads_out_of_the_outbox(tmp_path, work, stem):
    job = msgspec.structs.replace(JOB, stem=stem, ticket=Ticket(recipe="tiny", name=stem))
    name = outbox_at(tmp_path / "out").publish(job, work, paper(job))
    assert [p.name for p in (tmp_path / "out").iterdir()] == [name]
    assert not name.startswith(".")
    assert len(list((tmp_path / "out" / name).glob("*.mp4"))) == 1
    assert {p.name for p in tmp_path.iterdir()} == {"out", "work"}


def test_publishing_again_after_a_crash_changes_nothing(tmp_path, work):
    outbox = outbox_at(tmp_path / "out")
    name = outbox.publish(JOB, work, paper())
    for file in work.iterdir():
        file.unlink()
    assert outbox.publish(JOB, work, paper()) == name


def test_what_a_crash_left_half_built_is_built_anew(tmp_path, work):
    hidden = tmp_path / "out" / f".{JOB.id}.part"
    hidden.mkdir(parents=True)
    (hidden / "stale.mp4").write_text("half")
    name = outbox_at(tmp_path / "out").publish(JOB, work, paper())
    assert "stale.mp4" not in names(tmp_path / "out" / name)
    assert not hidden.exists()


def test_a_name_that_is_taken_is_left_alone(tmp_path, work):
    taken = tmp_path / "out" / folder_name(JOB)
    taken.mkdir(parents=True)
    (taken / "mine.txt").write_text("a person's")
    name = outbox_at(tmp_path / "out").publish(JOB, work, paper())
    assert name == f"cat-{JOB.id}"
    assert names(taken) == {"mine.txt"}


def test_a_review_is_shown_as_a_copy_and_taken_away_when_published(tmp_path, work):
    outbox = outbox_at(tmp_path / "out")
    half = msgspec.structs.replace(
        JOB, stages=(JOB.stages[0], Stage(name="upscale")), state=State.REVIEW
    )
    shown = tmp_path / "out" / outbox.show_review(half, work)
    assert names(shown) == {"source.jpeg", "i2v.mp4", "READ ME.txt"}
    (shown / "i2v.mp4").write_text("scribbled over")
    assert (work / "i2v-1.mp4").read_text() == "i2v-1.mp4"
    assert outbox.show_review(half, work) == "review/cat-1f3a9c2e"
    outbox.publish(JOB, work, paper())
    assert [path.name for path in shown.iterdir()] == ["i2v.mp4"], "what a person changed is theirs"


@needs_root
@pytest.mark.parametrize("may_give", [True, False], ids=["group given", "sandbox forbids it"])
def test_members_of_the_share_s_group_read_every_file(may_give):
    """On one disk the clips get a second name, and a file keeps its group: that of the service alone."""
    home = Path(tempfile.mkdtemp(dir="/tmp"))
    home.chmod(0o755)
    out, work = home / "outbox", home / "work"
    try:
        for folder, group, mode in ((out, GROUP, 0o2770), (work, SERVICE, 0o700)):
            folder.mkdir()
            os.chown(folder, SERVICE, group)
            folder.chmod(mode)
        for name in ("cat.jpeg", "upright.png", "i2v-1.mp4", "upscale-2.mp4"):
            (work / name).write_text(name)
            os.chown(work / name, SERVICE, SERVICE)
            (work / name).chmod(0o660)

        def forbidden(*_: object) -> None:
            raise PermissionError(errno.EPERM, "Operation not permitted")

        def publish() -> None:
            if not may_give:
                os.fchown = forbidden
            Outbox(out).publish(JOB, work, paper())

        def read() -> None:
            files = [Path(at, name) for at, _, names in os.walk(out) for name in names]
            assert len(files) == len(contents(JOB)) + 1, files
            assert all(file.read_bytes() for file in files)

        assert as_user(SERVICE, publish) == ""
        assert as_user(MEMBER, read) == ""
        linked = {(work / name).stat().st_nlink for name in contents(JOB).values()}
        assert linked == ({2} if may_give else {1})
    finally:
        shutil.rmtree(home)


class TestWhetherAVideoIsHere:
    """Asked before a duplicate is rejected, while no other picture can be admitted."""

    @pytest.fixture
    def videos(self, tmp_path):
        return outbox_at(tmp_path / "outbox")

    @pytest.fixture
    def done(self, videos, work):
        name = videos.publish(JOB, work, paper())
        return msgspec.structs.replace(JOB, state=State.DONE, outbox=name)

    @pytest.fixture
    def looks(self, monkeypatch):
        """Each look at all folders; there may be a hundred thousand."""
        seen, find = [], outbox.find_published
        monkeypatch.setattr(
            outbox, "find_published", lambda root, ids: seen.append(root) or find(root, ids)
        )
        return seen

    @pytest.mark.parametrize("name", ["cat.mp4", "renamed by a user.mp4"])
    def test_its_own_folder_is_the_only_one_looked_at_while_it_has_one(
        self, tmp_path, videos, done, looks, name
    ):
        folder = tmp_path / "outbox" / done.outbox
        (folder / "cat.mp4").rename(folder / name)
        assert not videos.lacks_video(done)
        assert looks == []

    def test_a_folder_that_a_user_renamed_is_found_among_all(self, tmp_path, videos, done, looks):
        at = (tmp_path / "outbox" / done.outbox).rename(tmp_path / "outbox" / "tom-1f3a9c2e")
        assert not videos.lacks_video(done)
        (at / "cat.mp4").unlink()
        assert videos.lacks_video(done)
        assert len(looks) == 2
        shutil.rmtree(at)
        assert videos.lacks_video(done)

    def test_none_is_missed_where_the_outbox_cannot_be_seen(self, tmp_path, videos, done):
        (tmp_path / "outbox").rename(tmp_path / "elsewhere")
        assert not videos.lacks_video(done)
