"""Who owns the inbox: its modes, whether the claim folder is closed to members, and what they can do there."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import pytest

from tests.fakes.members import GROUP, MEMBER, OTHER, SERVICE, as_user, needs_root, service
from tests.fakes.precious import make_precious, snapshot
from tests.inbox.conftest import until
from zoetrope.beneath import Beneath, Linked
from zoetrope.domain.job import State
from zoetrope.errors import Reason, ZoetropeError
from zoetrope.inbox.claim import Claims
from zoetrope.inbox.ownership import OWNERLESS, Folder, Terms, decide, settle
from zoetrope.mounts import mount_of, read_table, type_of

WHY = Reason("picture-unknown", "The file is text.", "Check what was saved.")

# owner, mode, claim folder's owner and mode (None: there is none), file system -> what is to be
TABLE = [
    # The service's own: sticky and setgid where others may write.
    (SERVICE, 0o2770, None, "ext4", Terms(inbox=0o3770, claimed=0o700, flaw="replaceable")),
    (SERVICE, 0o770, None, "btrfs", Terms(inbox=0o3770, claimed=0o700, flaw="replaceable")),
    (SERVICE, 0o777, None, "ext4", Terms(inbox=0o3777, claimed=0o700, flaw="replaceable")),
    (SERVICE, 0o3770, None, "ext4", Terms(claimed=0o700)),
    (SERVICE, 0o3770, (SERVICE, 0o2700), "ext4", Terms(claimed=0o700, trusted=True)),
    (SERVICE, 0o3770, (SERVICE, 0o700), "nfs4", Terms(claimed=0o700, trusted=True)),
    # Nobody else may write: nothing needs to be kept from them.
    (SERVICE, 0o755, None, "ext4", Terms(claimed=0o700)),
    (SERVICE, 0o755, (SERVICE, 0o700), "ext4", Terms(claimed=0o700, trusted=True)),
    # A claim folder of before: it was open, or is another's.
    (SERVICE, 0o3770, (SERVICE, 0o2770), "ext4", Terms(claimed=0o700, tighten=True)),
    (SERVICE, 0o3770, (MEMBER, 0o700), "ext4", Terms(claimed=0o700, flaw="another's")),
    (SERVICE, 0o2770, (MEMBER, 0o2770), "ext4", Terms(inbox=0o3770, claimed=0o700, flaw="another's")),
    (SERVICE, 0o2770, (SERVICE, 0o700), "ext4", Terms(inbox=0o3770, claimed=0o700, flaw="replaceable")),
    # Somebody's home.
    (MEMBER, 0o2770, None, "ext4", Terms()),
    (MEMBER, 0o2770, (SERVICE, 0o2770), "ext4", Terms()),
    (MEMBER, 0o3770, (MEMBER, 0o2770), "xfs", Terms(flaw="sticky")),
    (0, 0o2770, None, "ext4", Terms()),
    (0, 0o3770, None, "ext4", Terms(flaw="sticky")),
    # No owners there: the mount's options say who owns what.
    (SERVICE, 0o2770, None, "cifs", Terms()),
    (SERVICE, 0o777, (SERVICE, 0o700), "vfat", Terms()),
    (SERVICE, 0o777, (MEMBER, 0o777), "fuse.sshfs", Terms()),
]  # fmt: skip


@pytest.mark.parametrize(("owner", "mode", "claimed", "kind", "expected"), TABLE)
def test_how_the_folders_are_to_be(owner, mode, claimed, kind, expected):
    there = Folder(*claimed) if claimed is not None else None
    found = decide(Folder(owner, mode), there, uid=SERVICE, file_system=kind)
    assert found == expected


def test_nothing_is_trusted_that_another_may_enter_or_replace():
    for owner in (SERVICE, MEMBER):
        for mode in range(0o10000):
            for claimed in ((SERVICE, 0o700), (SERVICE, 0o2750), (SERVICE, 0o701), (MEMBER, 0o700)):
                found = decide(
                    Folder(owner, mode), Folder(*claimed), uid=SERVICE, file_system="xfs"
                )
                if found.trusted:
                    assert (owner, claimed) == (SERVICE, (SERVICE, 0o700))
                    assert mode & stat.S_ISVTX or not mode & 0o022


@pytest.mark.parametrize("kind", sorted(OWNERLESS))
def test_no_folder_is_changed_where_there_are_no_owners(kind):
    found = decide(Folder(SERVICE, 0o777), None, uid=SERVICE, file_system=kind)
    assert (found.inbox, found.tighten, found.trusted) == (None, False, False)


def test_the_file_system_is_that_of_the_folder_held(tmp_path):
    table = read_table()
    for place in (tmp_path, Path("/proc")):
        handle = os.open(place, os.O_RDONLY)
        try:
            assert type_of(handle, table) == mount_of(table, str(place)).type
            assert type_of(handle, "") == "unknown"
        finally:
            os.close(handle)
    assert type_of(-1, table) == "unknown"


class TestTheServicesOwn:
    def test_shared_inbox_gets_the_sticky_bit_and_its_claim_folder_is_closed(self, tmp_path):
        tmp_path.chmod(0o2770)
        claims = Claims(tmp_path)
        claims.prepare()
        assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o3770
        assert stat.S_IMODE((tmp_path / ".zoetrope").stat().st_mode) == 0o2700
        assert claims.problem is None

    def test_claim_folder_of_an_earlier_version_is_closed(self, tmp_path):
        tmp_path.chmod(0o2770)
        (tmp_path / ".zoetrope").mkdir()
        (tmp_path / ".zoetrope").chmod(0o2770)
        Claims(tmp_path).prepare()
        assert stat.S_IMODE((tmp_path / ".zoetrope").stat().st_mode) == 0o2700

    def test_folders_are_left_alone_in_a_private_inbox(self, tmp_path):
        tmp_path.chmod(0o755)
        Claims(tmp_path).prepare()
        assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755
        assert stat.S_IMODE((tmp_path / ".zoetrope").stat().st_mode) == 0o700

    def test_a_sandbox_that_forbids_the_bits_is_said_with_what_to_do(self, tmp_path, monkeypatch):
        tmp_path.chmod(0o2770)
        real = os.fchmod

        def fchmod(handle: int, mode: int) -> None:
            if mode & (stat.S_ISGID | stat.S_ISUID):  # as RestrictSUIDSGID does
                raise PermissionError(1, "Operation not permitted")
            real(handle, mode)

        monkeypatch.setattr(os, "fchmod", fchmod)
        (tmp_path / ".zoetrope").mkdir(mode=0o775)
        claims = Claims(tmp_path)
        claims.prepare()
        assert stat.S_IMODE((tmp_path / ".zoetrope").stat().st_mode) & 0o777 == 0o700
        assert claims.problem is not None
        assert claims.problem.key == "inbox-not-sticky"
        assert f"chmod 3770 {tmp_path}" in claims.problem.next_step
        # The operator does it, and the next look sees that.
        tmp_path.chmod(0o3770)
        claims.prepare()
        assert claims.problem is None

    def test_folders_are_looked_at_and_not_made_again_for_each_picture(self, tmp_path, monkeypatch):
        claims = Claims(tmp_path)
        claims.prepare()
        for name in ("a.png", "b.png"):
            (tmp_path / name).write_text("x")
        monkeypatch.setattr(
            "zoetrope.inbox.ownership.settle", lambda *_, **__: pytest.fail("looked at again")
        )
        for name in ("a.png", "b.png"):
            assert claims.take((name,)) is not None

    def test_claim_folder_that_is_gone_is_made_again(self, tmp_path):
        claims = Claims(tmp_path)
        claims.prepare()
        shutil.rmtree(tmp_path / ".zoetrope")
        (tmp_path / "a.png").write_text("x")
        assert claims.take(("a.png",)) is not None
        assert stat.S_IMODE((tmp_path / ".zoetrope").stat().st_mode) == 0o700

    @pytest.mark.parametrize("kind", ["link", "file"])
    def test_what_is_no_folder_is_no_claim_folder(self, tmp_path, kind):
        precious = make_precious(tmp_path / "precious")
        (tmp_path / "inbox").mkdir()
        place = tmp_path / "inbox/.zoetrope"
        place.symlink_to(precious) if kind == "link" else place.write_text("x")
        before = snapshot(precious)
        with Beneath(tmp_path / "inbox") as tree, pytest.raises(Linked):
            settle(tree, "", uid=os.geteuid(), table="")
        assert snapshot(precious) == before


@needs_root
class TestAMember:
    """Of a share whose inbox the service owns."""

    def test_cannot_remove_or_replace_or_enter_the_claim_folder(self, share):
        service(share)
        claimed = share / ".zoetrope"
        for act in (
            claimed.rmdir,
            lambda: claimed.rename(share / "mine"),
            lambda: (share / "other").mkdir() or (share / "other").rename(claimed),
            lambda: list(claimed.iterdir()),
            lambda: (claimed / ("cd" * 16)).mkdir(),
            lambda: claimed.chmod(0o777),
        ):
            assert "PermissionError" in as_user(MEMBER, act)

    def test_cannot_remove_or_rename_others_waiting_pictures_but_its_own(self, share):
        assert as_user(OTHER, lambda: (share / "theirs.png").write_text("x")) == ""
        assert as_user(MEMBER, lambda: (share / "mine.png").write_text("x")) == ""
        assert as_user(MEMBER, lambda: (share / "mine too.png").write_text("x")) == ""
        for act in (
            lambda: (share / "theirs.png").unlink(),
            lambda: (share / "theirs.png").rename(share / "gone.png"),
            lambda: (share / "mine.png").rename(share / "theirs.png"),
        ):
            assert "PermissionError" in as_user(MEMBER, act)
        assert as_user(MEMBER, lambda: (share / "mine.png").rename(share / "new.png")) == ""
        assert as_user(MEMBER, lambda: (share / "mine too.png").unlink()) == ""

        def take(claims: Claims) -> None:
            claim = claims.take(("theirs.png",))
            assert claim is not None
            claims.release(claim)

        service(share, take)
        assert not (share / "theirs.png").exists()

    def test_can_move_a_rejected_picture_of_anybody_back(self, share):
        def drop() -> None:
            (share / "hero").mkdir()
            (share / "hero" / "cat.png").write_text("x")
            (share / "hero" / "cat.toml").write_text("seed = 1")

        assert as_user(OTHER, drop) == ""

        def refuse(claims: Claims) -> None:
            claims.refuse(claims.take(("hero/cat.png",), ("hero/cat.toml",)), WHY)

        service(share, refuse)
        folder = share / "rejected" / "hero"

        def back() -> None:
            assert "was rejected" in (folder / "cat.png.why.txt").read_text()
            (folder / "cat.png").rename(share / "cat.png")
            (folder / "cat.toml").rename(share / "cat.toml")
            (folder / "cat.png.why.txt").unlink()

        assert as_user(MEMBER, back) == ""
        assert "PermissionError" in as_user(MEMBER, (share / "rejected").rmdir)

    def test_gets_a_ticket_back_that_was_only_copied_for_its_picture(self, share):
        def drop() -> None:
            for name in ("cat.png", "cat.jpg", "cat.toml"):
                (share / name).write_text("x")

        assert as_user(OTHER, drop) == ""

        def refuse(claims: Claims) -> None:
            claims.refuse(claims.take(("cat.png",), ("cat.toml",), shared=True), WHY)

        service(share, refuse)
        assert as_user(MEMBER, (share / "rejected/cat.toml").read_text) == ""

    def test_who_made_a_closed_claim_folder_first_is_named_with_what_to_do(self, share):
        def first() -> None:
            (share / ".zoetrope").mkdir(mode=0o700)
            (share / ".zoetrope").chmod(0o700)

        assert as_user(MEMBER, first) == ""
        before = snapshot(share)

        def act() -> None:
            with pytest.raises(ZoetropeError) as refused:
                Claims(share).prepare()
            reason = refused.value.reason
            assert reason.key == "claims-closed"
            assert f"{share}/.zoetrope belongs to user {MEMBER} (mode 0700)" in reason.sentence
            assert f"mv {share}/.zoetrope {share}/zoetrope.old" in reason.next_step

        assert as_user(SERVICE, act) == ""
        assert snapshot(share) == before
        # The next step is one that its owner can take, and then it goes on.
        assert as_user(MEMBER, lambda: (share / ".zoetrope").rename(share / "zoetrope.old")) == ""
        service(share)
        assert (share / ".zoetrope").stat().st_uid == SERVICE

    def test_who_made_an_open_claim_folder_first_is_named_and_pictures_are_taken(self, share):
        def first() -> None:
            (share / ".zoetrope").mkdir()
            (share / "cat.png").write_text("x")

        assert as_user(MEMBER, first) == ""

        def act() -> None:
            claims = Claims(share)
            assert claims.take(("cat.png",)) is not None
            assert claims.problem is not None
            assert claims.problem.key == "claims-of-another"
            assert f"user {MEMBER}" in claims.problem.sentence
            assert f"{share}/.zoetrope && chmod 0700" in claims.problem.next_step

        assert as_user(SERVICE, act) == ""
        assert stat.S_IMODE((share / ".zoetrope").stat().st_mode) == 0o2770

    def test_in_a_home_the_service_takes_the_owner_s_pictures(self, share):
        os.chown(share, MEMBER, GROUP)
        share.chmod(0o2770)
        assert as_user(MEMBER, lambda: (share / "cat.png").write_text("x")) == ""

        def take(claims: Claims) -> None:
            claim = claims.take(("cat.png",))
            assert claim is not None
            claims.refuse(claim, WHY)
            assert claims.problem is None

        service(share, take)
        assert stat.S_IMODE(share.stat().st_mode) == 0o2770
        assert stat.S_IMODE((share / ".zoetrope").stat().st_mode) == 0o2770
        assert as_user(MEMBER, lambda: (share / "rejected/cat.png").rename(share / "cat.png")) == ""

    def test_in_a_home_with_the_sticky_bit_the_service_says_what_to_do(self, share):
        os.chown(share, MEMBER, GROUP)

        def act() -> None:
            with pytest.raises(ZoetropeError) as refused:
                Claims(share).prepare()
            assert refused.value.reason.key == "inbox-sticky"
            assert f"chmod -t {share}" in refused.value.reason.next_step

        assert as_user(SERVICE, act) == ""
        share.chmod(0o2770)
        service(share)


async def test_a_claim_folder_that_is_closed_is_waited_for(world, picture, monkeypatch):
    """The whole intake says so, and goes on when the folder is moved away."""
    closed = ZoetropeError("It belongs to ada.", "Move it away.", key="claims-closed")
    real = settle

    def refuse(*args: object, **kwargs: object) -> object:
        if (world.inbox / ".zoetrope").exists():
            raise closed
        return real(*args, **kwargs)

    (world.inbox / ".zoetrope").mkdir()
    monkeypatch.setattr("zoetrope.inbox.ownership.settle", refuse)
    picture("cat.png")
    world.start()
    await until(lambda: world.intake.status.problem)
    assert world.intake.status.problem == closed.reason
    (world.inbox / ".zoetrope").rmdir()
    await world.wait_for_jobs(1, State.QUEUED)
    assert world.intake.status.problem is None


async def test_what_is_to_be_mended_is_in_the_intake_s_status_until_it_is(world, monkeypatch):
    world.inbox.chmod(0o2770)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fchmod", lambda *_: (_ for _ in ()).throw(PermissionError(1, "no")))
        await world.intake.recover()
    assert world.intake.status.notice.key == "inbox-not-sticky"
    world.inbox.chmod(0o3770)
    await world.intake.look_at_folders()
    assert world.intake.status.notice is None
