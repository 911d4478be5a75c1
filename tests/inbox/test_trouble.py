"""The host in trouble: nothing is lost, and all of it is said."""

from __future__ import annotations

import errno
import os

import msgspec
import pytest

from tests.inbox.conftest import no_space, until, where, write_recipe
from zoetrope.beneath import Beneath
from zoetrope.domain.job import State
from zoetrope.inbox import admission
from zoetrope.inbox.source_image import DecoderBusy


class TestTrouble:
    async def test_a_full_disk_pauses_and_then_it_goes_on(self, world, picture, monkeypatch):
        with monkeypatch.context() as patch:
            patch.setattr(admission, "copy", no_space)
            world.start()
            picture("cat.png")
            await until(lambda: world.intake.status.problem)
            reason = world.intake.status.problem
            assert reason.key == "disk-full"
            assert reason.next_step
            assert await world.jobs() == []
        (job,) = await world.wait_for_jobs(1)
        assert job.state is State.QUEUED
        assert world.intake.status.problem is None

    async def test_room_that_the_operator_wants_free_is_kept_free(self, world, picture):
        state = msgspec.structs.replace(world.settings.state, min_free_megabytes=10**9)
        world.settings = msgspec.structs.replace(world.settings, state=state)
        world.make_intake()
        world.start()
        picture("cat.png")
        await until(lambda: world.intake.status.problem)
        assert world.intake.status.problem.key == "disk-full"
        # Nothing was claimed: the picture stands where it was dropped.
        assert set(world.files()) == {"cat.png"}

    @pytest.mark.parametrize(
        ("code", "key"), [(errno.EROFS, "inbox-readonly"), (errno.EACCES, "inbox-readonly")]
    )
    async def test_a_read_only_inbox_is_said_and_waited_for(
        self, world, picture, monkeypatch, code, key
    ):
        picture("cat.png")
        real = os.mkdir

        def mkdir(path, *args, dir_fd=None):
            if (where(dir_fd) / path).is_relative_to(world.inbox):
                raise OSError(code, os.strerror(code), path)
            return real(path, *args, dir_fd=dir_fd)

        with monkeypatch.context() as patch:
            patch.setattr(os, "mkdir", mkdir)
            world.start()
            await until(lambda: world.intake.status.problem)
            assert world.intake.status.problem.key == key
            assert "claim" in world.intake.status.problem.next_step
            assert f"{world.inbox}/.zoetrope" in world.intake.status.problem.sentence
        await world.wait_for_jobs(1, State.QUEUED)

    async def test_a_folder_that_is_closed_keeps_its_own_pictures_alone(
        self, world, picture, monkeypatch
    ):
        write_recipe(world.root / "recipes", "aab")
        closed = world.inbox / "aab"
        picture("aab/q.png")
        rename, changeable = os.rename, Beneath.changeable

        def forbidden(path, to, *, src_dir_fd=None, dst_dir_fd=None):
            if (where(src_dir_fd) / path).is_relative_to(closed):
                raise PermissionError(errno.EACCES, "Permission denied", path)
            return rename(path, to, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

        with monkeypatch.context() as patch:
            patch.setattr(os, "rename", forbidden)
            patch.setattr(
                Beneath, "changeable", lambda tree, path: path != "aab" and changeable(tree, path)
            )
            world.start()
            await until(lambda: world.intake.status.held)
            (held,) = world.intake.status.held
            assert (held.name, held.reason.key) == ("aab/q.png", "folder-closed")
            assert "'aab'" in held.reason.sentence
            picture("cat.png")
            await world.wait_for_jobs(1)
            assert world.intake.status.problem is None
        await world.wait_for_jobs(2)

    async def test_a_sticky_folder_of_a_member_keeps_its_own_pictures_alone(
        self, world, picture, monkeypatch
    ):
        write_recipe(world.root / "recipes", "aab")
        picture("aab/q.png")
        rename = os.rename

        def forbidden(path, to, *, src_dir_fd=None, dst_dir_fd=None):
            # The folder may be written; what lies in it belongs to its owner all the same.
            if (where(src_dir_fd) / path).is_relative_to(world.inbox / "aab"):
                raise PermissionError(errno.EPERM, "Operation not permitted", path)
            return rename(path, to, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

        with monkeypatch.context() as patch:
            patch.setattr(os, "rename", forbidden)
            world.start()
            await until(lambda: world.intake.status.held or world.intake.status.problem)
            assert world.intake.status.problem is None
            (held,) = world.intake.status.held
            assert (held.name, held.reason.key) == ("aab/q.png", "folder-closed")
            assert "-t aab" in held.reason.next_step
            picture("cat.png")
            await world.wait_for_jobs(1)
        await world.wait_for_jobs(2)

    async def test_a_folder_of_rejected_that_is_closed_keeps_its_own_pictures_alone(
        self, world, picture, monkeypatch
    ):
        create = Beneath.create

        def forbidden(tree, path):
            if path.startswith("rejected/aab/"):
                raise PermissionError(errno.EACCES, "Permission denied", tree.full(path))
            return create(tree, path)

        (world.inbox / "aab").mkdir()
        (world.inbox / "aab/bad.png").write_text("no picture")
        with monkeypatch.context() as patch:
            patch.setattr(Beneath, "create", forbidden)
            world.start()
            for taken in (1, 2):
                await until(lambda: world.intake.status.held or world.intake.status.problem)
                assert world.intake.status.problem is None
                (held,) = world.intake.status.held
                assert (held.name, held.reason.key) == ("aab/bad.png", "folder-closed")
                assert "'rejected/aab'" in held.reason.sentence
                picture(f"cat{taken}.png", seed=taken)
                await world.wait_for_jobs(1 + taken)
                # It is so for the next start, too.
                await world.stop()
                world.make_intake()
                world.start()
        await until((world.inbox / "rejected/aab/bad.png.why.txt").exists)

    @pytest.mark.parametrize("folder", ["", "aab/"])
    async def test_a_folder_in_the_place_of_defaults_keeps_nobody_waiting(
        self, world, picture, folder
    ):
        write_recipe(world.root / "recipes", "aab")
        (world.inbox / folder / "ticket.toml").mkdir(parents=True)
        picture(f"{folder}q.png")
        world.start()
        await until(lambda: world.intake.status.held)
        (held,) = world.intake.status.held
        assert "is not a file" in held.reason.sentence
        assert world.intake.status.problem is None
        write_recipe(world.root / "recipes", "loose")
        picture("loose/q.png", seed=2)
        await world.wait_for_jobs(1, State.QUEUED)
        (world.inbox / folder / "ticket.toml").rmdir()
        await world.wait_for_jobs(2, State.QUEUED)
        assert not world.intake.status.held

    async def test_a_reason_waits_for_an_outbox_that_is_gone_and_never_makes_it(self, world):
        world.change(claim="copy")
        (world.inbox / "bad.png").write_text("hello")
        world.start()
        await until(lambda: world.intake.status.problem)
        reason = world.intake.status.problem
        assert (reason.key, reason.next_step != "") == ("missing", True)
        assert str(world.settings.outbox.path) in reason.sentence
        assert not world.settings.outbox.path.exists()
        world.settings.outbox.path.mkdir()
        await until((world.settings.outbox.path / "rejected" / "bad.png.why.txt").exists)

    async def test_files_that_stay_need_no_writable_inbox(self, world, picture, monkeypatch):
        world.change(claim="copy")
        world.settings.outbox.path.mkdir()
        picture("cat.png")
        (world.inbox / "bad.png").write_text("hello")

        def no_write(name):
            real = getattr(os, name)

            def checked(path, *args, **at):
                folder = where(at.get("dir_fd", at.get("src_dir_fd")))
                assert not (folder / path).is_relative_to(world.inbox), (name, path)
                return real(path, *args, **at)

            return checked

        for name in ("mkdir", "rename", "unlink", "rmdir", "symlink", "link"):
            monkeypatch.setattr(os, name, no_write(name))
        real = os.open

        def only_read(path, flags, *args, **at):
            place = where(at.get("dir_fd")) / path
            assert flags & os.O_ACCMODE == os.O_RDONLY or not place.is_relative_to(world.inbox)
            return real(path, flags, *args, **at)

        monkeypatch.setattr(os, "open", only_read)
        world.start()
        await world.wait_for_jobs(2)
        why = world.settings.outbox.path / "rejected" / "bad.png.why.txt"
        await until(why.exists)
        assert set(world.files()) == {"cat.png", "bad.png"}

    async def test_a_broken_recipe_holds_the_picture_until_it_is_mended(self, world, picture):
        recipe = write_recipe(world.root / "recipes", "plain") / "recipe.toml"
        text = recipe.read_text()
        recipe.write_text("broken")
        world.start()
        picture("cat.png")
        await until(lambda: world.intake.status.held)
        (held,) = world.intake.status.held
        assert (held.name, held.reason.key) == ("cat.png", "recipe")
        assert world.intake.status.problem is None
        assert await world.jobs() == []
        recipe.write_text(text)
        await world.wait_for_jobs(1, State.QUEUED)
        await until(lambda: not world.intake.status.held)

    async def test_a_mistake_of_ours_costs_no_picture(self, world, picture, monkeypatch, caplog):
        real = world.ledger.find_duplicate
        failures = [RuntimeError("a bug")]

        async def twin(fingerprint):
            if failures:
                raise failures.pop()
            return await real(fingerprint)

        monkeypatch.setattr(world.ledger, "find_duplicate", twin)
        world.start()
        picture("cat.png")
        await world.wait_for_jobs(1, State.QUEUED)
        assert "a bug" in caplog.text

    async def test_an_inbox_that_goes_away_with_a_claim_gives_it_back_later(
        self, world, picture, monkeypatch
    ):
        away = world.root / "away"
        real = admission.copy
        gone = []

        def copy(file, *args):
            if not gone:
                world.inbox.rename(away)
                gone.append(1)
            return real(file, *args)

        monkeypatch.setattr(admission, "copy", copy)
        world.start()
        picture("cat.png")
        await until(lambda: world.intake.status.held and world.watcher.status.problem)
        assert [held.reason.key for held in world.intake.status.held] == ["picture-away"]
        assert world.watcher.status.problem.key == "inbox-missing"
        assert not world.inbox.exists()
        away.rename(world.inbox)
        (job,) = await world.wait_for_jobs(1)
        assert job.state is State.QUEUED

    async def test_a_picture_that_is_deleted_meanwhile_is_forgotten(self, world, picture):
        assert await world.intake.take(world.drop("cat.png")) is None
        assert await world.jobs() == []

    async def test_a_host_too_busy_to_open_a_picture_rejects_none(
        self, world, picture, monkeypatch
    ):
        real, failures = world.decoder.open, [1, 2]

        async def starved(*args, **options):
            if failures:
                failures.pop()
                raise DecoderBusy("cat.png could not be opened: the host is busy.", "Wait.")
            return await real(*args, **options)

        monkeypatch.setattr(world.decoder, "open", starved)
        world.start()
        picture("cat.png")
        (job,) = await world.wait_for_jobs(1, State.QUEUED)
        assert job.stem == "cat"
        assert world.intake.status.held == ()
        assert world.intake.status.problem is None
