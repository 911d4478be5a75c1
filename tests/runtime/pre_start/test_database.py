"""ComfyUI's own database: kept as it was before another version migrates it."""

import sqlite3

import pytest


@pytest.fixture
def database(host):
    file = host.base / "user/comfyui.db"
    file.parent.mkdir(parents=True)
    with sqlite3.connect(file) as rows:
        rows.execute("CREATE TABLE old (x)")
    return file


def version(host, text):
    (host.folder / "comfyui/comfyui_version.py").write_text(f'__version__ = "{text}"\n')


def tables(file):
    with sqlite3.connect(file) as rows:
        return [name for (name,) in rows.execute("SELECT name FROM sqlite_master")]


def migrate(file):
    with sqlite3.connect(file) as rows:
        rows.execute("CREATE TABLE new (x)")


def copies(file):
    return sorted(each.name for each in file.parent.glob("comfyui.db.before-*"))


def test_it_is_copied_before_each_change_of_version_and_at_no_other_start(host, database):
    version(host, "0.27.1")
    assert host.start().returncode == 0
    assert copies(database) == ["comfyui.db.before-0.27.1"]
    migrate(database)
    assert host.start().returncode == 0
    assert copies(database) == ["comfyui.db.before-0.27.1"]
    version(host, "0.33.3")
    assert host.start().returncode == 0
    assert copies(database) == ["comfyui.db.before-0.27.1", "comfyui.db.before-0.33.3"]
    assert tables(database.with_name("comfyui.db.before-0.27.1")) == ["old"]
    assert tables(database.with_name("comfyui.db.before-0.33.3")) == ["old", "new"]


def test_a_copy_is_never_replaced_by_a_later_one_and_going_back_is_warned_of(host, database):
    """The first may be the only one that the older version can read."""
    version(host, "0.27.1")
    assert host.start().returncode == 0
    version(host, "0.33.3")
    assert host.start().returncode == 0
    assert host.report["warnings"] == []
    migrate(database)
    version(host, "0.27.1")
    assert host.start().returncode == 0
    (warning,) = host.report["warnings"]
    assert warning["sentence"].startswith("ComfyUI goes back from 0.33.3 to 0.27.1")
    version(host, "0.33.3")
    assert host.start().returncode == 0
    assert tables(database.with_name("comfyui.db.before-0.33.3")) == ["old"]
    assert tables(database.with_name("comfyui.db.before-0.33.3.2")) == ["old", "new"]


def test_what_a_killed_comfyui_left_in_the_log_of_changes_is_copied_with_it(host, database):
    version(host, "0.33.3")
    rows = sqlite3.connect(database, isolation_level=None)
    rows.execute("PRAGMA journal_mode = wal")
    rows.execute("CREATE TABLE late (x)")
    assert host.start().returncode == 0
    rows.close()
    assert "late" in tables(database.with_name("comfyui.db.before-0.33.3"))


def test_a_start_that_fails_copies_at_the_next_one(host, database):
    version(host, "0.33.3")
    assert host.start(ATTENTION="no").returncode == 2
    assert copies(database) == []
    assert host.start().returncode == 0
    assert copies(database) == ["comfyui.db.before-0.33.3"]


def test_a_copy_that_cannot_be_made_is_named_and_stops_nothing(host, database):
    version(host, "0.33.3")
    database.with_name("comfyui.db.before-0.33.3").mkdir()
    (database.with_name("comfyui.db.before-0.33.3") / "x").touch()
    assert host.start().returncode == 0
    assert "could not be copied" in str(host.report["warnings"])


@pytest.mark.parametrize("text", ["", None])
def test_without_a_version_or_a_database_nothing_is_done(host, text):
    if text is not None:
        version(host, text)
    assert host.start().returncode == 0
    assert not list(host.base.rglob("comfyui.db*"))


def test_a_check_copies_nothing(host, database):
    version(host, "0.33.3")
    assert host.start("--check").returncode == 0
    assert copies(database) == []
