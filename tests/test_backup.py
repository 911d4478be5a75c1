"""Backups are made while jobs are written, are one private file, and replace a ledger wholly or not at all."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import os
import shutil
import sqlite3
import tarfile
from pathlib import Path

import msgspec
import pytest

from tests.fakes.kills import Kill, Killed
from tests.fakes.ledger import fill, make
from zoetrope import backup
from zoetrope.backup import BackupError, need_free, restore
from zoetrope.domain.job import State
from zoetrope.errors import LedgerError, NotFound, ZoetropeError
from zoetrope.graphs.shelf import Recipes
from zoetrope.graphs.versions import Versions
from zoetrope.settings import Settings, StateSettings
from zoetrope.store.sqlite.ledger import Ledger
from zoetrope.store.sqlite.schema import MIGRATIONS

RECIPES = Path(__file__).parent / "recipes"
NOW = 1_750_000_000.0


def host(root: Path, *stems: str) -> Settings:
    """Make a state folder with a ledger of some jobs, and a recipe that is kept."""
    settings = Settings(state=StateSettings(path=root))
    root.mkdir(parents=True, exist_ok=True)
    fill(settings.ledger_file, [make(stem=stem) for stem in stems])
    recipes = Recipes((RECIPES,), Versions(settings.recipe_versions))
    recipes.versions.keep(recipes.get("tiny"))
    return settings


def stems(file: Path) -> list[str]:
    with contextlib.closing(sqlite3.connect(file)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return [stem for (stem,) in db.execute("SELECT stem FROM jobs ORDER BY seq")]


@pytest.fixture
def saved(tmp_path):
    """Make a backup of two jobs."""
    settings = host(tmp_path / "first", "cat", "dog")
    file = tmp_path / "backup.tar"
    backup.make(settings, file, NOW)
    return file


def test_a_backup_is_one_private_file_that_brings_ledger_and_recipes_to_another_host(
    tmp_path, saved
):
    assert saved.stat().st_mode & 0o777 == 0o600
    manifest = backup.read_manifest(saved)
    assert (manifest.jobs, manifest.schema, manifest.created) == (2, len(MIGRATIONS), NOW)
    settings = host(tmp_path / "second", "bird")
    shutil.rmtree(settings.recipe_versions)
    done = restore(settings, saved, NOW)
    assert stems(settings.ledger_file) == ["cat", "dog"]
    assert stems(Path(done.aside) / "ledger.db") == ["bird"]
    assert settings.ledger_file.stat().st_mode & 0o077 == 0
    version = Recipes((RECIPES,)).get("tiny").version
    assert Recipes((), Versions(settings.recipe_versions)).versions.has(version)
    left = {path.name for path in settings.state.path.iterdir()}
    assert left == {"ledger.db", "ledger.lock", "recipe-versions", "before-restore"}
    # Restored twice, and on a host that has no ledger yet.
    assert restore(settings, saved, NOW).aside != done.aside
    empty = Settings(state=StateSettings(path=tmp_path / "third"))
    empty.state.path.mkdir()
    restore(empty, saved, NOW)
    assert stems(empty.ledger_file) == ["cat", "dog"]


async def test_a_copy_is_of_one_moment_and_holds_up_no_writer(tmp_path):
    ledger = await Ledger.open(tmp_path / "ledger.db")
    try:
        for number in range(50):
            await ledger.add(make(stem=str(number)), claim=str(number))

        async def write() -> None:
            for number in range(50, 150):
                await ledger.add(make(stem=str(number)), claim=str(number))

        writing = asyncio.create_task(write())
        copies = []
        while not writing.done():
            copies.append(tmp_path / f"copy{len(copies)}.db")
            await ledger.copy_to(copies[-1])
            await ledger.checkpoint()
        await writing
        for copy in copies:
            found = stems(copy)
            assert found == [str(number) for number in range(len(found))]
            with contextlib.closing(sqlite3.connect(copy)) as db:
                (counted,) = db.execute("SELECT sum(jobs) FROM tally").fetchone()
            assert counted == len(found) >= 50
        assert (await ledger.counts())[State.QUEUED] == 150
    finally:
        await ledger.close()


async def test_after_a_checkpoint_the_file_alone_holds_everything(tmp_path):
    ledger = await Ledger.open(tmp_path / "ledger.db")
    try:
        await ledger.add(make(stem="cat"), claim="1")
        alone = tmp_path / "alone"
        alone.mkdir()
        # Somebody who reads for long keeps no one from writing, nor from a checkpoint.
        with contextlib.closing(sqlite3.connect(tmp_path / "ledger.db")) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM jobs").fetchone()
            await ledger.checkpoint()
            await ledger.add(make(stem="dog"), claim="2")
            await ledger.checkpoint()
        await ledger.checkpoint()
        shutil.copyfile(tmp_path / "ledger.db", alone / "ledger.db")
        assert stems(alone / "ledger.db") == ["cat", "dog"]
    finally:
        await ledger.close()


async def test_nothing_is_restored_under_a_running_service(tmp_path, saved):
    settings = host(tmp_path / "second", "bird")
    ledger = await Ledger.open(settings.ledger_file)
    try:
        with pytest.raises(LedgerError, match="running service") as error:
            restore(settings, saved, NOW)
        assert "systemctl stop zoetrope" in error.value.reason.next_step
    finally:
        await ledger.close()
    assert stems(settings.ledger_file) == ["bird"]


def test_another_user_is_told_whom_to_be(tmp_path, saved, monkeypatch):
    settings = host(tmp_path / "second", "bird")
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    for act in (lambda: restore(settings, saved, NOW), lambda: backup.make(settings, saved, NOW)):
        with pytest.raises(BackupError) as error:
            act()
        assert error.value.reason.key == "other-user"
        assert "sudo -u " in error.value.reason.next_step
    assert stems(settings.ledger_file) == ["bird"]
    with pytest.raises(NotFound):
        restore(Settings(state=StateSettings(path=tmp_path / "none")), saved, NOW)


def members(file: Path) -> list[tuple[str, bytes]]:
    with tarfile.open(file) as tar:
        return [(each.name, tar.extractfile(each).read()) for each in tar]


def write(file: Path, found: list[tuple[str, bytes]], kind: bytes = tarfile.REGTYPE) -> Path:
    with tarfile.open(file, "w") as tar:
        for name, body in found:
            member = tarfile.TarInfo(name)
            member.size = len(body)
            member.type = kind if name == "ledger.db" else tarfile.REGTYPE
            member.linkname = "/etc/passwd"
            tar.addfile(member, io.BytesIO(body))
    return file


def flawed(saved: Path, target: Path) -> dict[str, Path]:
    """Make backups with one flaw each."""
    manifest, ledger, *versions = members(saved)
    said = msgspec.json.decode(manifest[1])

    def telling(**changes: object) -> tuple[str, bytes]:
        return manifest[0], msgspec.json.encode(said | changes)

    def lying(name: str) -> tuple[str, bytes]:
        return telling(files=said["files"] | {name: said["files"]["ledger.db"]})

    newer = target / "newer.db"
    newer.write_bytes(ledger[1])
    with contextlib.closing(sqlite3.connect(newer)) as db:
        db.execute("PRAGMA user_version = 99")
        db.commit()
    digest = hashlib.sha256(newer.read_bytes()).hexdigest()
    rest = [ledger, *versions]
    flipped = ledger[1][:5000] + b"\xff" * 50 + ledger[1][5050:]
    made = {
        "no manifest": rest,
        "newer format": [telling(format=2), *rest],
        "lacks the ledger": [manifest, *versions],
        "flipped bytes": [manifest, (ledger[0], flipped), *versions],
        "a stranger": [manifest, *rest, ("stranger", b"x")],
        "a way out": [lying("../../out"), *rest, ("../../out", ledger[1])],
        "a deep way out": [
            lying(f"recipe-versions/{'a' * 64}/.."),
            *rest,
            (f"recipe-versions/{'a' * 64}/..", ledger[1]),
        ],
        "newer schema": [
            telling(files=said["files"] | {"ledger.db": digest}),
            ("ledger.db", newer.read_bytes()),
            *versions,
        ],
        "twice": [manifest, ledger, *rest],
        "garbage in the manifest": [("backup.json", b"[" * 5000), *rest],
    }
    files = {name: write(target / f"{name}.tar", found) for name, found in made.items()}
    files["a link"] = write(target / "link.tar", [manifest, *rest], tarfile.SYMTYPE)
    whole = saved.read_bytes()
    for size in (0, 100, 600, 3000, len(whole) // 2):
        files[f"cut at {size}"] = target / f"cut{size}.tar"
        files[f"cut at {size}"].write_bytes(whole[:size])
    files["no tar"] = target / "no.tar"
    files["no tar"].write_bytes(b"hello" * 1000)
    files["not there"] = target / "gone.tar"
    return files


def test_what_is_no_whole_backup_changes_nothing(tmp_path, saved):
    settings = host(tmp_path / "second", "bird")
    (tmp_path / "flawed").mkdir()
    for name, file in flawed(saved, tmp_path / "flawed").items():
        with pytest.raises(ZoetropeError) as error:
            restore(settings, file, NOW)
        assert error.value.reason.next_step, name
        assert stems(settings.ledger_file) == ["bird"], name
    left = {path.name for path in settings.state.path.iterdir()}
    assert left == {"ledger.db", "ledger.lock", "recipe-versions"}
    assert not (tmp_path / "out").exists()


def test_killed_at_any_step_the_ledger_is_the_one_before_or_the_restored_one(tmp_path, saved):
    for at in range(300):
        settings = host(tmp_path / str(at), "bird")
        kill = Kill(at)
        with pytest.MonkeyPatch.context() as patch:
            kill.install(patch)
            # What was closed before the end is closed again on the way out.
            with contextlib.suppress(Killed, BackupError):
                restore(settings, saved, NOW)
        found = stems(settings.ledger_file)
        assert found in (["bird"], ["cat", "dog"]), f"killed before call {at}"
        kept = [stems(file) for file in settings.state.path.glob("before-restore/*/ledger.db")]
        assert found == ["bird"] or kept == [["bird"]], f"killed before call {at}"
        restore(settings, saved, NOW)
        assert stems(settings.ledger_file) == ["cat", "dog"]
        assert not list(settings.state.path.glob(".*"))
        shutil.rmtree(settings.state.path)
        if not kill.done:
            assert at > 20, "there are more steps than that"
            return
    pytest.fail("it never got through")


def test_a_damaged_ledger_is_kept_with_its_log_and_replaced(tmp_path, saved):
    settings = host(tmp_path / "second", "bird")
    settings.ledger_file.write_bytes(b"no ledger")
    wal = settings.ledger_file.with_name("ledger.db-wal")
    wal.write_bytes(b"its log")
    done = restore(settings, saved, NOW)
    assert stems(settings.ledger_file) == ["cat", "dog"]
    assert (Path(done.aside) / "ledger.db").read_bytes() == b"no ledger"
    assert (Path(done.aside) / "ledger.db-wal").read_bytes() == b"its log"


def test_killed_at_any_step_a_backup_is_whole_or_the_one_before(tmp_path, saved):
    before = saved.read_bytes()
    settings = host(tmp_path / "state", "cat")
    for at in range(300):
        file = tmp_path / "backup.tar"
        file.write_bytes(before)
        kill = Kill(at)
        with pytest.MonkeyPatch.context() as patch:
            kill.install(patch)
            with contextlib.suppress(Killed, BackupError):
                backup.make(settings, file, NOW)
        if file.read_bytes() != before:
            assert backup.read_manifest(file).jobs == 1
        if not kill.done:
            assert at > 8, "there are more steps than that"
            assert backup.read_manifest(file).jobs == 1
            return
    pytest.fail("it never got through")


def test_a_place_that_cannot_be_written_is_told(tmp_path):
    settings = host(tmp_path / "state", "cat")
    with pytest.raises(BackupError) as error:
        backup.make(settings, tmp_path / "none" / "backup.tar", NOW)
    assert str(tmp_path / "none") in error.value.reason.sentence
    assert error.value.reason.next_step


def test_a_file_that_is_no_backup_is_not_replaced(tmp_path, saved):
    other = tmp_path / "holiday.png"
    other.write_text("mine")
    with pytest.raises(BackupError, match="is no backup") as raised:
        need_free(other)
    assert "another name" in raised.value.reason.next_step
    need_free(tmp_path / "new.tar")
    need_free(saved)
    (tmp_path / "empty.tar").touch()
    need_free(tmp_path / "empty.tar")
