"""A ledger whose file is deleted, moved or replaced while it is open: nothing written is lost."""

import sqlite3

import pytest

from tests.fakes.ledger import make
from zoetrope.errors import LedgerError
from zoetrope.store.sqlite.ledger import Ledger


def delete(file, ends):
    for end in ends:
        file.with_name(f"{file.name}{end}").unlink()


def move(file, to):
    file.rename(to)


def put_another(file):
    made = file.with_name("another.db")
    sqlite3.connect(made).execute("CREATE TABLE precious (x)").connection.close()
    made.rename(file)


BEFALLS = {
    "all of it is deleted": lambda file: delete(file, ("", "-wal", "-shm")),
    "the file is deleted": lambda file: delete(file, ("",)),
    "its log is deleted": lambda file: delete(file, ("-wal", "-shm")),
    "it is moved away": lambda file: move(file, file.with_name("aside.db")),
    "another file takes its place": put_another,
    "another file and a log of that one": lambda file: (
        delete(file, ("", "-wal", "-shm")),
        put_another(file),
        file.with_name("ledger.db-wal").write_bytes(b"of another ledger"),
    ),
}


@pytest.mark.parametrize("what", BEFALLS)
async def test_whatever_befalls_the_open_file_every_row_is_there_at_the_next_start(tmp_path, what):
    file = tmp_path / "state" / "ledger.db"
    ledger = await Ledger.open(file)
    jobs = [await ledger.add(make(stem=f"cat{n}"), claim=f"a{n}") for n in range(3)]
    BEFALLS[what](file)
    jobs += [await ledger.add(make(stem=f"dog{n}"), claim=f"b{n}") for n in range(3)]
    assert ledger.put_back is not None
    assert str(file) in ledger.put_back.sentence
    # A second time as well, and a third, and found by whoever only brings the file up to date.
    BEFALLS["all of it is deleted"](file)
    await ledger.checkpoint()
    await ledger.copy_to(tmp_path / "copy.db")
    assert await ledger.check() is None
    BEFALLS["all of it is deleted"](file)
    await ledger.close()
    for kept in (file, tmp_path / "copy.db"):
        again = await Ledger.open(kept)
        assert [await again.get(job.id) for job in jobs] == jobs
        assert again.put_back is None
        await again.close()


async def test_what_lay_in_its_place_is_kept(tmp_path):
    file = tmp_path / "state" / "ledger.db"
    ledger = await Ledger.open(file)
    put_another(file)
    await ledger.ping()
    (kept,) = (tmp_path / "state").glob("before-restore/*/ledger.db")
    assert str(kept.parent) in ledger.put_back.next_step
    assert sqlite3.connect(kept).execute("SELECT name FROM sqlite_master").fetchall()
    await ledger.close()


async def test_without_its_folder_nothing_is_written_anywhere_until_that_is_back(tmp_path):
    folder = tmp_path / "state"
    ledger = await Ledger.open(folder / "ledger.db")
    job = await ledger.add(make(), claim="a")
    folder.rename(tmp_path / "away")
    folder.mkdir()
    for ask in (
        lambda: ledger.add(make(), claim="b"),
        ledger.ping,
        ledger.checkpoint,
        lambda: ledger.copy_to(tmp_path / "copy.db"),
    ):
        with pytest.raises(LedgerError) as told:
            await ask()
        assert told.value.reason.key == "ledger-gone"
        assert str(folder) in str(told.value)
    assert list(folder.iterdir()) == []
    folder.rmdir()
    (tmp_path / "away").rename(folder)
    await ledger.ping()
    assert ledger.put_back is None
    assert await ledger.get(job.id) == job
    await ledger.close()


async def test_where_it_cannot_be_put_back_the_next_write_tries_again(tmp_path, monkeypatch):
    file = tmp_path / "state" / "ledger.db"
    ledger = await Ledger.open(file)
    job = await ledger.add(make(), claim="a")
    file.unlink()
    with monkeypatch.context() as patch:

        def broken(*_):
            raise OSError(30, "Read-only file system", str(file))

        patch.setattr("zoetrope.store.sqlite.place.sync", broken)
        with pytest.raises(LedgerError) as told:
            await ledger.ping()
        assert "cannot be put back" in str(told.value)
    await ledger.ping()
    await ledger.close()
    again = await Ledger.open(file)
    assert await again.get(job.id) == job
    await again.close()
