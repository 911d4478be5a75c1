import os

import pytest

from zoetrope.inbox import scan as disk


def names(found):
    return sorted(found.files)


def test_a_scan_finds_files_in_every_folder_and_leaves_ours_out(tmp_path):
    for name in (
        "cat.png",
        "hero/cat.png",
        "a/b/c.png",
        ".zoetrope/1/cat.png",
        "rejected/cat.png",
        "@eaDir/x.png",
        ".trash/x.png",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "link").symlink_to("/etc")
    found = disk.scan(str(tmp_path))
    assert names(found) == ["a/b/c.png", "cat.png", "hero/cat.png", "link"]
    assert set(found.devices) == {"a", "hero"}
    assert names(disk.scan(str(tmp_path), ["hero"])) == ["hero/cat.png"]


def test_a_name_that_is_not_utf8_is_found(tmp_path):
    (tmp_path / "\udcff\udcfe.png").write_bytes(b"x")
    assert names(disk.scan(str(tmp_path))) == ["\udcff\udcfe.png"]
    assert disk.probe(str(tmp_path), ["\udcff\udcfe.png"])["\udcff\udcfe.png"].size == 1


def test_a_scan_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(disk, "MAX_FILES", 3)
    for number in range(5):
        (tmp_path / f"{number}.png").write_bytes(b"x")
    found = disk.scan(str(tmp_path))
    assert len(found.files) == 3
    assert not found.whole


def test_files_that_nobody_takes_stand_in_no_picture_s_way(tmp_path, monkeypatch):
    monkeypatch.setattr(disk, "MAX_FILES", 3)
    for number in range(5):
        (tmp_path / f"{number}.md").write_bytes(b"x")
        (tmp_path / f"{number}.png.part").write_bytes(b"x")
    (tmp_path / "cat.png").write_bytes(b"x")
    found = disk.scan(str(tmp_path))
    assert names(found) == ["cat.png"]
    assert found.whole


def test_folders_without_end_fill_no_memory_and_hide_no_file_of_the_inbox(tmp_path, monkeypatch):
    monkeypatch.setattr(disk, "MAX_FOLDERS", 3)
    for number in range(9):
        (tmp_path / f"{number}/{number}").mkdir(parents=True)
        (tmp_path / f"{number}.png").write_bytes(b"x")
    found = disk.scan(str(tmp_path))
    assert names(found) == [f"{number}.png" for number in range(9)]
    assert len(found.devices) == 3
    assert not found.whole


def test_a_missing_inbox_is_an_error_and_a_missing_folder_in_it_is_not(tmp_path):
    with pytest.raises(FileNotFoundError):
        disk.scan(str(tmp_path / "nowhere"))


def test_a_probe_opens_files_but_nothing_else(tmp_path):
    (tmp_path / "cat.png").write_bytes(b"abc")
    (tmp_path / "link.png").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "pipe.png")
    found = disk.probe(str(tmp_path), ["cat.png", "link.png", "pipe.png", "gone.png"])
    assert set(found) == {"cat.png", "link.png", "pipe.png"}
    assert found["cat.png"].size == 3


def test_a_look_tells_folders_from_files(tmp_path):
    (tmp_path / "hero").mkdir()
    (tmp_path / "cat.png").write_bytes(b"x")
    found = disk.look(str(tmp_path), ["hero", "cat.png", "gone.png"])
    assert found["hero"] is None
    assert found["cat.png"].size == 1
    assert "gone.png" not in found
