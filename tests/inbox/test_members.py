"""What members of the share put where claims lie, and into folders that are everybody's: nothing of it is trusted."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from tests.fakes.members import GROUP, MEMBER, SERVICE, as_user, at_work, needs_root
from tests.fakes.precious import make_precious, snapshot
from tests.inbox.conftest import until, write_picture
from zoetrope.domain.job import State
from zoetrope.domain.steps import reject
from zoetrope.errors import Reason, Rejected, ZoetropeError
from zoetrope.inbox import folder_ticket, source
from zoetrope.inbox.admission import Admission
from zoetrope.inbox.claim import Claims
from zoetrope.inbox.source import StillChanging

ID, OTHER_ID = "ab" * 16, "cd" * 16
WHY = Reason("picture-unknown", "The file is text.", "Check what was saved.")


@pytest.fixture
def home(share: Path) -> Path:
    """An inbox in a member's home, where every member may make folders below `.zoetrope`."""
    os.chown(share, MEMBER, GROUP)
    share.chmod(0o2770)
    assert as_user(SERVICE, Claims(share).prepare) == ""
    assert stat.S_IMODE((share / ".zoetrope").stat().st_mode) == 0o2770
    return share


def bind(place: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(place))


@needs_root
class TestForgedClaims:
    def test_what_is_not_called_like_a_claim_or_is_no_folder_is_none(self, home):
        claimed = home / ".zoetrope"

        def forge() -> None:
            for name in (
                "not an id\n",
                f"{ID}\n",
                f"\n{ID}",
                f" {ID}",
                ID.upper(),
                f"{ID}0",
                ID[1:],
            ):
                (claimed / name).mkdir()
                (claimed / name / "cat.png").write_text("x")
            os.mkfifo(claimed / ("1" * 32))
            bind(claimed / ("2" * 32))
            (claimed / ("3" * 32)).symlink_to("/etc")
            (claimed / ("4" * 32)).write_text("x")

        assert as_user(MEMBER, forge) == ""
        before = snapshot(claimed)

        def look() -> None:
            assert Claims(home).pending() == []

        assert as_user(SERVICE, look) == ""
        assert snapshot(claimed) == before

    def test_a_folder_that_a_member_made_is_put_back_and_no_claim(self, home):
        def forge() -> None:
            folder = home / ".zoetrope" / ID
            for name in ("hero/cat.png", "hero/cat.toml", ".hidden/x.png", f".zoetrope/{ID}/y.png"):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_text(name)
            (folder / "hero/ticket.toml").write_text("seed = 1")

        assert as_user(MEMBER, forge) == ""

        def look() -> None:
            claims = Claims(home)
            (claim,) = claims.pending()
            assert claim.foreign
            claims.put_back(claim)

        assert as_user(SERVICE, look) == ""
        assert (home / "hero/cat.png").stat().st_uid == MEMBER
        assert (home / "hero/cat.toml").read_text() == "hero/cat.toml"
        # What no picture or ticket is called like stays where its owner put it.
        left = home / ".zoetrope" / ID
        assert sorted(str(p.relative_to(left)) for p in left.rglob("*") if p.is_file()) == [
            ".hidden/x.png",
            f".zoetrope/{ID}/y.png",
            "hero/ticket.toml",
        ]
        assert not (home / "hero/ticket.toml").exists()

    def test_a_folder_that_is_closed_to_the_service_stops_nothing(self, home):
        def forge() -> None:
            for name, mode in ((ID, 0o700), (OTHER_ID, 0o2550)):
                folder = home / ".zoetrope" / name
                folder.mkdir()
                (folder / "cat.png").write_text("x")
                folder.chmod(mode)
            (home / "dog.png").write_text("x")

        assert as_user(MEMBER, forge) == ""

        def look() -> None:
            claims = Claims(home)
            for claim in claims.pending():
                try:
                    claims.put_back(claim)
                except OSError:
                    continue
            claim = claims.take(("dog.png",))
            assert claim is not None
            claims.release(claim)

        assert as_user(SERVICE, look) == ""
        assert (home / ".zoetrope" / ID / "cat.png").exists()
        assert (home / ".zoetrope" / OTHER_ID / "cat.png").exists()

    def test_a_claim_of_the_service_s_own_is_one(self, home):
        def act() -> None:
            (home / "cat.png").write_text("x")
            claim = Claims(home).take(("cat.png",))
            (found,) = Claims(home).pending()
            assert found == claim
            assert not found.foreign

        assert as_user(SERVICE, act) == ""

    def test_a_claim_folder_in_any_other_folder_is_not_trusted(self, home):
        def forge() -> None:
            folder = home / "hero/.zoetrope" / ID
            folder.mkdir(parents=True)
            (folder / "cat.png").write_text("x")

        assert as_user(SERVICE, forge) == ""

        def look() -> None:
            (claim,) = Claims(home).pending()
            assert claim.foreign

        assert as_user(SERVICE, look) == ""


def forged(world, claim_id: str, *names: str, owner: int = -1) -> Path:
    """Lay a folder like a claim, with files that hold their own names."""
    folder = world.claimed / claim_id
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).write_text(name)
    if os.geteuid() == 0:
        os.chown(folder, owner, -1)
    return folder


@needs_root
async def test_a_member_gives_no_job_its_id(world):
    write_picture(forged(world, ID, owner=MEMBER) / "cat.png")
    world.start()
    (job,) = await world.wait_for_jobs(1, State.QUEUED)
    assert job.id != ID
    assert not (world.settings.work / ID).exists()


@pytest.mark.parametrize("owner", [-1, pytest.param(MEMBER, marks=needs_root)])
async def test_a_claim_of_a_known_job_takes_only_that_job_s_own_bytes(world, picture, owner):
    """Somebody's only copy may lie there: what the ledger does not know goes back into the inbox."""
    body = picture("cat.png").read_bytes()
    job = await world.take("cat.png")
    folder = forged(world, job.id, "only.png", "only.toml", owner=owner)
    (folder / "cat.png").write_bytes(body)
    await world.intake.recover()
    assert set(world.files()) == {"only.png", "only.toml"}
    assert await world.ledger.get(job.id) == job
    assert (world.settings.work / job.id / job.images[0].source).is_file()


async def test_what_has_a_second_name_is_not_read_in_a_claim(world, picture):
    """It may be a file that lies outside, and that whoever linked it may not read; so it is the job's in no case."""
    body = picture("cat.png").read_bytes()
    job = await world.take("cat.png")
    outside = world.settings.work.parent / "outside.png"
    outside.write_bytes(body)
    folder = forged(world, job.id)
    (folder / "cat.png").write_bytes(body)
    (folder / "foe.png").hardlink_to(outside)
    await world.intake.recover()
    assert set(world.files()) == {"foe.png"}


async def test_a_ticket_of_the_job_itself_does_not_go_back_with_a_stranger_s_picture(
    world, picture
):
    """After a kill between row and removal: it would wait for the next picture of that name."""
    body = picture("cat.png").read_bytes()
    job = await world.take("cat.png")
    folder = forged(world, job.id, "only.png", "only.toml", "cat.toml", "cat.txt")
    (folder / "cat.png").write_bytes(body)
    await world.intake.recover()
    assert set(world.files()) == {"only.png", "only.toml"}


async def test_a_ticket_that_may_be_of_either_goes_back_with_the_stranger_s_picture(world, picture):
    body = picture("cat.png").read_bytes()
    job = await world.take("cat.png")
    folder = forged(world, job.id, "cat.webp", "cat.toml")
    (folder / "cat.png").write_bytes(body)
    await world.intake.recover()
    assert set(world.files()) == {"cat.webp", "cat.toml"}


@pytest.mark.parametrize("other", ["foe.png", "cat.end.png", "plain/cat.png"])
async def test_what_somebody_put_into_a_claim_is_no_half_of_it(world, other):
    """After a kill there is nothing but the folder; a stranger in it must not have the picture rejected."""
    folder = forged(world, ID)
    write_picture(folder / "cat.png")
    (folder / other).parent.mkdir(exist_ok=True)
    (folder / other).write_text("no picture")
    world.start()
    jobs = await world.wait_for_jobs(2, State.QUEUED, State.REJECTED)
    (taken,) = [job for job in jobs if job.state is State.QUEUED]
    assert (taken.stem, taken.folder, len(taken.images)) == ("cat", "", 1)
    await until(lambda: (world.rejected / other).exists())
    assert not (world.rejected / "cat.png").exists()


async def test_a_claim_of_a_rejected_job_loses_nothing(world, picture):
    picture("cat.png")
    job = await world.take("cat.png")
    await world.ledger.change(job.id, lambda job: reject(job, 1.0, WHY))
    forged(world, job.id, "only.png", "only.toml")
    await world.intake.recover()
    assert {"rejected/only.png", "rejected/only.toml"} <= set(world.files())


@needs_root
def test_a_member_who_exchanges_what_was_claimed_all_the_time_reaches_nothing(home):
    """Links, pipes, sockets and folders in the place of claims, by another process that never rests."""
    for number in range(40):
        (home / f"cat{number}.png").write_text("a picture")
        os.chown(home / f"cat{number}.png", MEMBER, GROUP)
    precious = make_precious(home.parent / "precious", "hero/cat.png")
    work = home.parent / "work"
    work.mkdir()
    for path in (precious, *precious.rglob("*"), work):
        os.chown(path, SERVICE, SERVICE)
        path.chmod(0o700 if path.is_dir() else 0o600)
    before = snapshot(precious)

    def exchange() -> None:
        for number, claim in enumerate(list((home / ".zoetrope").iterdir())):
            for place in (*claim.iterdir(), claim):
                try:
                    place.rename(home / f"aside-{os.urandom(4).hex()}.tmp")
                    if number % 4 == 0:
                        place.symlink_to(precious / ("cat.png" if place != claim else ""))
                    elif number % 4 == 1:
                        os.mkfifo(place)
                    elif number % 4 == 2:
                        place.mkdir()
                    else:
                        bind(place)
                except OSError:
                    continue

    def serve() -> None:
        claims = Claims(home)
        for number in range(40):
            try:
                if (claim := claims.take((f"cat{number}.png",))) is None:
                    continue
                try:
                    copied, _ = source.copy(claim.place(claim.pictures[0]), work, f"{number}", 1)
                    claims.release(claim)
                    assert copied.size == len("a picture")
                except Rejected as error:
                    claims.refuse(claim, error.reason)
            except (OSError, ZoetropeError, StillChanging):
                continue
        for claim in claims.pending():
            try:
                claims.put_back(claim)
            except (OSError, ZoetropeError):
                continue

    with at_work(MEMBER, exchange):
        assert as_user(SERVICE, serve) == ""
    assert snapshot(precious) == before
    assert not any("precious" in file.read_text() for file in work.iterdir())


KINDS = ["link", "hard link", "pipe", "socket", "folder", pytest.param("device", marks=needs_root)]


def lay(place: Path, kind: str, target: Path) -> None:
    """Put something that is no plain file of its own at a name."""
    target.write_text("prompt = 'a secret'")
    if kind == "link":
        place.symlink_to(target)
    elif kind == "hard link":
        place.hardlink_to(target)
    elif kind == "pipe":
        os.mkfifo(place)
    elif kind == "socket":
        bind(place)
    elif kind == "folder":
        place.mkdir()
    else:
        try:
            os.mknod(place, stat.S_IFCHR | 0o666, os.makedev(1, 5))
        except PermissionError:
            pytest.skip("this container makes no devices")


@pytest.mark.parametrize("kind", KINDS)
async def test_a_ticket_that_is_no_plain_file_of_its_own_is_not_read(world, picture, kind):
    picture("cat.png")
    lay(world.inbox / "cat.toml", kind, world.root / "secret.toml")
    job = await world.take("cat.png", tickets=("cat.toml",))
    assert (job.state, job.reason.key) == (State.REJECTED, "ticket-link")
    assert "secret" not in world.why("cat.png")


async def test_a_picture_that_is_no_plain_file_of_its_own_is_rejected_unread(world, picture):
    """A folder that is called like a picture is a folder of the inbox like any other."""
    for kind in ("link", "hard link", "pipe", "socket"):
        lay(world.inbox / f"{kind}.png", kind, world.root / f"{kind} secret")
        job = await world.take(f"{kind}.png")
        assert (job.state, job.reason.key) == (State.REJECTED, "picture-link")
        assert "secret" not in world.why(f"{kind}.png")
    (world.inbox / "folder.png").mkdir()
    world.start()
    picture("cat.png")
    await until(lambda: world.announced[-1].state is State.QUEUED)
    assert (world.inbox / "folder.png").is_dir()
    assert world.intake.status.problem is None
    assert not world.intake.status.held


BAD = {
    "no TOML": "prompt = ",
    "unknown key": "prmpt = 'x'",
    "wrong kind": "seed = 'x'",
    "out of range": "steps = 99",
    "too long": "seconds = 100",
    "no recipe": "recipe = 'plane'",
    "not a number": "seconds = nan",
    "no text": "\xff",
}


class TestAFolderSTicket:
    """It counts for everybody's pictures, and every member may write it."""

    @pytest.mark.parametrize("folder", ["", "plain"])
    @pytest.mark.parametrize("text", BAD.values(), ids=BAD)
    async def test_that_cannot_be_used_holds_the_pictures_until_it_can(
        self, world, picture, folder, text
    ):
        place = world.inbox / folder / "ticket.toml"
        body = picture(f"{folder}/cat.png".strip("/")).read_bytes()
        place.write_bytes(text.encode("latin-1"))
        if os.geteuid() == 0:
            os.chown(place, MEMBER, -1)
        world.start()
        await until(lambda: world.intake.status.held)
        (held,) = world.intake.status.held
        assert held.reason.key == "folder-ticket"
        assert str(place.relative_to(world.inbox)) in held.reason.sentence
        assert os.geteuid() != 0 or f"user {MEMBER}" in held.reason.sentence
        assert held.reason.next_step
        assert await world.jobs() == []
        assert body in world.files().values()
        # It keeps no other folder's pictures.
        write_picture(world.inbox / ("plain" if not folder else "") / "dog.png", seed=2)
        await world.wait_for_jobs(1, State.QUEUED)
        place.write_text("prompt = 'she turns'")
        jobs = await world.wait_for_jobs(2, State.QUEUED)
        assert {job.ticket.prompt for job in jobs} == {"she turns", None}
        assert not world.intake.status.held
        assert not world.rejected.exists() or not list(world.rejected.iterdir())

    @pytest.mark.parametrize("kind", KINDS)
    async def test_that_is_no_plain_file_of_its_own_holds_them(self, world, picture, kind):
        picture("plain/cat.png")
        lay(world.inbox / "plain/ticket.toml", kind, world.root / "secret.toml")
        assert await world.intake.take(world.drop("plain/cat.png")) is None
        (held,) = world.intake.status.held
        assert (held.reason.key, "secret" in held.reason.sentence) == ("folder-ticket", False)

    async def test_that_is_gone_when_the_picture_is_rejected_for_it_is_to_blame_all_the_same(
        self, world, picture, monkeypatch
    ):
        picture("plain/cat.png")
        place = world.inbox / "plain/ticket.toml"
        place.write_text("steps = 99")
        real = Admission.admit

        async def admit(*given):
            place.unlink(missing_ok=True)
            return await real(*given)

        monkeypatch.setattr(Admission, "admit", admit)
        world.start()
        (job,) = await world.wait_for_jobs(1, State.QUEUED)
        assert job.stem == "cat"
        assert not world.rejected.exists() or not list(world.rejected.iterdir())

    @needs_root
    def test_that_the_service_may_not_read_names_its_owner(self, home):
        def closed() -> None:
            (home / "cat.png").write_text("x")
            (home / "ticket.toml").write_text("seed = 1")
            (home / "ticket.toml").chmod(0o600)

        assert as_user(MEMBER, closed) == ""

        def act() -> None:
            with pytest.raises(folder_ticket.BadFolderTicket, match=f"user {MEMBER}"):
                folder_ticket.read(home, "")

        assert as_user(SERVICE, act) == ""

    async def test_that_can_be_used_leaves_a_picture_s_own_ticket_to_blame(self, world, picture):
        picture("plain/cat.png")
        (world.inbox / "plain/ticket.toml").write_text("seconds = 1")
        (world.inbox / "plain/cat.toml").write_text("prmpt = 'x'")
        job = await world.take("plain/cat.png", tickets=("plain/cat.toml",))
        assert (job.state, job.reason.key) == (State.REJECTED, "ticket-key")

    async def test_a_wrong_value_does_not_matter_where_the_picture_s_own_ticket_says_another(
        self, world, picture
    ):
        picture("plain/cat.png")
        (world.inbox / "plain/ticket.toml").write_text("steps = 99")
        (world.inbox / "plain/cat.toml").write_text("steps = 9")
        job = await world.take("plain/cat.png", tickets=("plain/cat.toml",))
        assert (job.state, job.ticket.parameters["steps"]) == (State.QUEUED, 9)

    async def test_a_folder_that_is_no_recipe_s_is_not_its_ticket_s_fault(self, world, picture):
        picture("plan/cat.png")
        (world.inbox / "plan/ticket.toml").write_text("seconds = 1")
        job = await world.take("plan/cat.png")
        assert job.reason.key == "recipe-unknown"
