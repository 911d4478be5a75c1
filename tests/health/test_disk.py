import os

import msgspec
import pytest

from zoetrope.health.checks import disk
from zoetrope.health.checks.disk import DiskCheck


@pytest.fixture
def free(parts, monkeypatch):
    """Say how many megabytes are free, and how many are to be kept free."""

    def set_to(megabytes, least=2000):
        class Found:
            f_bavail = megabytes
            f_frsize = 1_000_000

        monkeypatch.setattr(disk.os, "statvfs", lambda path: Found)
        state = msgspec.structs.replace(parts.settings.state, min_free_megabytes=least)
        settings = msgspec.structs.replace(parts.settings, state=state)
        return lambda: settings

    return set_to


async def test_enough_room_is_ok(free):
    verdict = await DiskCheck(free(50_000)).look()
    assert verdict.level == "ok"
    assert "50.0 GB are free" in verdict.found


async def test_little_room_is_degraded_and_says_when_the_queue_pauses(free):
    verdict = await DiskCheck(free(3000)).look()
    assert verdict.level == "degraded"
    assert "3.0 GB are left" in verdict.found
    assert "at 2.0 GB the queue pauses" in verdict.found
    assert verdict.next_step


async def test_no_room_is_failing_with_what_to_do(free):
    verdict = await DiskCheck(free(900)).look()
    assert verdict.level == "failing"
    assert "900 MB" in verdict.found
    assert "du -xh" in verdict.next_step


async def test_a_missing_folder_is_failing_with_how_to_make_it(parts):
    parts.settings.outbox.path.rmdir()
    verdict = await DiskCheck(lambda: parts.settings).look()
    assert verdict.level == "failing"
    assert "No such file" in verdict.found
    assert f"install -d -m 2770 {parts.settings.outbox.path}" in verdict.next_step
    # It may as well be a mount that is absent, as the outbox's own check says.
    assert verdict.next_step.startswith("Put it back, or mount what holds it")


async def test_a_file_in_a_folders_place_is_failing_and_is_to_be_moved_away(parts):
    parts.settings.outbox.path.rmdir()
    parts.settings.outbox.path.write_text("no folder")
    verdict = await DiskCheck(lambda: parts.settings).look()
    assert verdict.level == "failing"
    assert "is not a folder" in verdict.found
    assert "Move the file away" in verdict.next_step


async def test_a_folder_that_cannot_be_written_is_failing(parts, monkeypatch):
    inbox = parts.settings.inbox.path
    monkeypatch.setattr(disk.os, "access", lambda path, mode: path != inbox)
    verdict = await DiskCheck(lambda: parts.settings).look()
    assert verdict.level == "failing"
    assert f"inbox.path {inbox} is not writable" in verdict.found


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
async def test_permissions_of_a_real_folder_are_seen(parts):
    parts.settings.inbox.path.chmod(0o500)
    assert (await DiskCheck(lambda: parts.settings).look()).level == "failing"


async def test_a_folder_that_is_there_is_not_to_be_created(parts, monkeypatch):
    """Read-only, or closed: the advice agrees with that of the outbox's own check."""
    path = parts.settings.outbox.path
    monkeypatch.setattr(disk.os, "access", lambda place, mode: place != path)
    verdict = await DiskCheck(lambda: parts.settings).look()
    assert verdict.level == "failing"
    assert "not writable" in verdict.found
    assert "install" not in verdict.next_step
    assert f"findmnt -T {path}" in verdict.next_step
