"""What only root can change, and every way in which others could."""

import os

import pytest

from zoetrope.errors import SettingsError
from zoetrope.gpu import root_file

TEXT = "the settings"


@pytest.fixture
def file(tmp_path):
    """A file two folders deep, which only this user can change."""
    folder = tmp_path / "etc" / "zoetrope"
    folder.mkdir(parents=True, mode=0o755)
    file = folder / "zoetrope.toml"
    file.write_text(TEXT)
    file.chmod(0o644)
    return file


def test_a_file_is_read_through_folders_and_links_of_root(file, tmp_path):
    assert root_file.read(file) == TEXT
    (tmp_path / "static").symlink_to("etc/./zoetrope")
    (tmp_path / "link.toml").symlink_to(f"{tmp_path}/static/../zoetrope/zoetrope.toml")
    assert root_file.read(tmp_path / "static" / "zoetrope.toml") == TEXT
    assert root_file.read(tmp_path / "link.toml") == TEXT
    root_file.check_folder(tmp_path / "static")


@pytest.mark.parametrize("name", ["etc/zoetrope/zoetrope.toml", "etc/zoetrope", "etc"])
@pytest.mark.parametrize("mode", [0o020, 0o002], ids=["group", "others"])
def test_whatever_others_can_write_on_the_way_is_rejected(file, tmp_path, name, mode):
    loose = tmp_path / name
    loose.chmod(loose.stat().st_mode | mode)
    (tmp_path / "link.toml").symlink_to(file)
    for way in (file, tmp_path / "link.toml"):
        with pytest.raises(SettingsError, match=f"{loose} can be changed by users other than root"):
            root_file.read(way)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give files away")
@pytest.mark.parametrize("name", ["etc/zoetrope/zoetrope.toml", "etc/zoetrope", "etc", "link.toml"])
def test_whatever_belongs_to_another_user_is_rejected(file, tmp_path, name):
    (tmp_path / "link.toml").symlink_to(file)
    os.chown(tmp_path / name, 65534, 65534, follow_symlinks=False)
    with pytest.raises(SettingsError, match="could then set clocks as root"):
        root_file.read(tmp_path / "link.toml")


def test_in_a_sticky_folder_what_belongs_to_root_stays_where_it_is(file, tmp_path):
    file.parent.chmod(0o1777)
    assert root_file.read(file) == TEXT
    root_file.check_folder(file.parent.parent)


def test_what_is_put_in_its_place_after_the_check_is_not_read(file, tmp_path, monkeypatch):
    other = tmp_path / "other.toml"
    other.write_text("another user's settings")
    real = os.open

    def opened(path, flags, *rest, **options):
        if not flags & os.O_PATH and other.exists():  # all is checked: it is opened to be read
            other.replace(file)
        return real(path, flags, *rest, **options)

    monkeypatch.setattr(os, "open", opened)
    assert root_file.read(file) == TEXT
    assert not other.exists()


@pytest.mark.parametrize("kind", ["none", "pipe", "folder", "loop", "file as folder", "bytes"])
def test_what_cannot_be_read_is_one_clear_line(file, tmp_path, kind):
    file.unlink()
    match kind:
        case "pipe":
            os.mkfifo(file, 0o600)
        case "folder":
            file.mkdir(0o755)
        case "loop":
            file.symlink_to(file.name)
        case "file as folder":
            file.write_text(TEXT)
            file = file / "more"
        case "bytes":
            file.write_bytes(b"\xff")
    with pytest.raises(SettingsError, match=str(tmp_path)):
        root_file.read(file)
    if kind != "folder":
        with pytest.raises(SettingsError):
            root_file.check_folder(file)
