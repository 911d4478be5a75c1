"""Below a held folder: everything is reached without following a link, and errors tell the whole path."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from zoetrope.beneath import Beneath, Linked, Place
from zoetrope.errors import NotReadable
from zoetrope.transfer import carry, copy

pytestmark = pytest.mark.usefixtures("both_forms")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root" / "a" / "b").mkdir(parents=True)
    (tmp_path / "root" / "a" / "b" / "file").write_text("inside")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "file").write_text("outside")
    (tmp_path / "root" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "root" / "file-link").symlink_to(tmp_path / "elsewhere" / "file")
    return tmp_path / "root"


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    return tmp_path / "elsewhere"


def listing(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


STEPS = {
    "stat": lambda tree: tree.stat("link/file"),
    "open": lambda tree: tree.open("link/file"),
    "read": lambda tree: tree.read("link/file", 10),
    "create": lambda tree: tree.create("link/new"),
    "write": lambda tree: tree.write("link/file", b"x"),
    "make": lambda tree: tree.make("link/new"),
    "rename from": lambda tree: tree.rename("link/file", "file"),
    "rename to": lambda tree: tree.rename("a/b/file", "link/file"),
    "unlink": lambda tree: tree.unlink("link/file"),
    "entries": lambda tree: tree.entries("link"),
    "files": lambda tree: tree.files("link"),
    "remove": lambda tree: tree.remove("link/file"),
    "sync": lambda tree: tree.sync("link"),
    "fresh": lambda tree: tree.fresh("link/new").__enter__(),
    "carry": lambda tree: carry(tree, "link/file", tree, "file"),
    "copy": lambda tree: copy(tree, "link/file", tree, "file"),
    "copy to": lambda tree: copy(tree, "a/b/file", tree, "link/new"),
}


@pytest.mark.parametrize("step", STEPS, ids=str)
def test_nothing_is_done_through_a_link(root, elsewhere, step):
    with Beneath(root) as tree, pytest.raises(Linked) as refused:
        STEPS[step](tree)
    assert str(root / "link") in refused.value.reason.sentence
    assert refused.value.reason.next_step
    assert [path.name for path in elsewhere.iterdir()] == ["file"]
    assert (elsewhere / "file").read_text() == "outside"
    assert (root / "a" / "b" / "file").read_text() == "inside"


@pytest.mark.parametrize("kind", ["file", "hard link", "link", "dangling link", "pipe", "folder"])
def test_a_new_file_is_never_one_that_stands_there_already(root, tmp_path, kind):
    there, kept = root / "new", tmp_path / "kept"
    kept.write_text("of a user")
    match kind:
        case "file":
            there.write_text("of a user")
        case "hard link":
            there.hardlink_to(kept)
        case "link":
            there.symlink_to(kept)
        case "dangling link":
            there.symlink_to(tmp_path / "made")
        case "pipe":
            os.mkfifo(there)
        case "folder":
            there.mkdir()
    before = there.lstat()
    with Beneath(root) as tree, pytest.raises((FileExistsError, Linked)):
        tree.create("new")
    after = there.lstat()
    assert (after.st_ino, after.st_size, after.st_mtime_ns) == (
        before.st_ino,
        before.st_size,
        before.st_mtime_ns,
    )
    assert kept.read_text() == "of a user"
    assert not (tmp_path / "made").exists()


def test_the_folder_itself_may_be_a_link(root, tmp_path):
    (tmp_path / "to-root").symlink_to(root)
    with Beneath(tmp_path / "to-root") as tree:
        assert tree.read("a/b/file", 100) == b"inside"


def test_what_is_behind_a_link_is_not_there(root):
    with Beneath(root) as tree:
        assert tree.exists("link")
        assert not tree.exists("link/file")
        assert not tree.is_folder("link")
        assert tree.is_folder("a/b")
        assert stat.S_ISLNK(tree.stat("link").st_mode)


def test_a_link_at_a_file_s_own_name_is_not_opened(root):
    with Beneath(root) as tree, pytest.raises(OSError, match="file-link") as refused:
        tree.open("file-link")
    assert refused.value.errno == errno.ELOOP


def test_of_a_tree_that_is_removed_links_are_removed_and_not_entered(root, elsewhere):
    (root / "a" / "link").symlink_to(elsewhere)
    (root / "a" / "b" / "link").symlink_to(elsewhere / "file")
    with Beneath(root) as tree:
        tree.remove("a")
        tree.remove("a")
        tree.remove("link")
    assert listing(root) == ["file-link"]
    assert (elsewhere / "file").read_text() == "outside"


def test_links_are_listed_and_not_entered(root):
    with Beneath(root) as tree:
        assert sorted(tree.files("")) == ["a/b/file", "file-link", "link"]
        names = {name: stat.S_IFMT(status.st_mode) for name, status in tree.entries("")}
    assert names == {"a": stat.S_IFDIR, "link": stat.S_IFLNK, "file-link": stat.S_IFLNK}


def test_a_folder_is_removed_as_far_as_it_is_empty(root):
    (root / "a" / "c" / "d").mkdir(parents=True)
    with Beneath(root) as tree:
        tree.prune("a")
        assert listing(root / "a") == ["b"]
        tree.unlink("a/b/file")
        tree.prune("a")
        tree.prune("link")
        tree.prune("nowhere")
    assert listing(root) == ["file-link", "link"]


@pytest.mark.parametrize("kind", ["link", "hard link", "pipe"])
def test_a_file_is_replaced_and_what_stood_there_is_not_written_through(root, elsewhere, kind):
    place = root / "told.txt"
    if kind == "link":
        place.symlink_to(elsewhere / "file")
    elif kind == "hard link":
        place.hardlink_to(elsewhere / "file")
    else:
        os.mkfifo(place)
    with Beneath(root) as tree:
        tree.write("told.txt", b"new")
    assert place.read_bytes() == b"new"
    assert not place.is_symlink()
    assert (elsewhere / "file").read_text() == "outside"
    assert listing(root) == ["a", "file-link", "link", "told.txt"]


def test_a_file_that_cannot_be_put_in_place_leaves_nothing(root):
    with Beneath(root) as tree, pytest.raises(IsADirectoryError):
        tree.write("a", b"new")
    assert listing(root) == ["a", "file-link", "link"]


@pytest.mark.parametrize("path", ["..", "../elsewhere/file", "a/../../x", "/etc/passwd", "a//b", "a/.", "x\0"])  # fmt: skip
def test_a_path_that_leads_elsewhere_leads_nowhere(root, path):
    with Beneath(root) as tree:
        assert not tree.exists(path)
        with pytest.raises(FileNotFoundError):
            tree.make(path)


def test_errors_tell_the_whole_path(root):
    with Beneath(root) as tree:
        with pytest.raises(FileNotFoundError) as missing:
            tree.open("a/nowhere")
        assert missing.value.filename == str(root / "a/nowhere")
        with pytest.raises(FileNotFoundError) as missing:
            tree.rename("a/nowhere", "a/there")
        assert (missing.value.filename, missing.value.filename2) == (
            str(root / "a/nowhere"),
            str(root / "a/there"),
        )
        with pytest.raises(FileNotFoundError) as missing:
            tree.entries("x/y")
        assert missing.value.filename == str(root / "x")
    with pytest.raises(FileNotFoundError) as missing, Beneath(root / "gone"):
        pass
    assert missing.value.filename == str(root / "gone")


def test_a_name_that_is_not_utf8_is_a_name(root):
    with Beneath(root) as tree:
        tree.make("\udcff")
        tree.write("\udcff/\udcfe.png", b"x")
        assert tree.files("\udcff") == ["\udcfe.png"]
        tree.rename("\udcff/\udcfe.png", "x.png")
    assert (root / "x.png").read_bytes() == b"x"


def test_a_sentence_can_be_written_down_whatever_the_name(root, elsewhere):
    (root / "\udcff\n").symlink_to(elsewhere)
    os.mkfifo(root / "\udcfe")
    with Beneath(root) as tree:
        with pytest.raises(Linked) as refused:
            tree.make("\udcff\n/x")
        with pytest.raises(NotReadable) as unread:
            copy(tree, "\udcfe", tree, "x")
    for error in (refused, unread):
        sentence = error.value.reason.sentence
        assert sentence.encode().decode() == sentence
        assert "\n" not in sentence


def test_no_descriptor_is_left_open(root):
    def held() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    before = held()
    with Beneath(root) as tree:
        for step in STEPS.values():
            with pytest.raises(Linked):
                step(tree)
        for act in (tree.open, tree.unlink, tree.entries, tree.files, tree.sync):
            with pytest.raises(FileNotFoundError):
                act("a/nowhere/file")
        tree.write("a/b/other", b"x")
        copy(tree, "a/b/other", tree, "a/copy")
        tree.remove("a")
    assert held() == before


class TestOverABorder:
    @pytest.fixture(autouse=True)
    def border(self, monkeypatch):
        rename = os.rename

        def guarded(old, new, **at):
            if not os.path.sameopenfile(at["src_dir_fd"], at["dst_dir_fd"]):
                raise OSError(errno.EXDEV, "Invalid cross-device link")
            return rename(old, new, **at)

        monkeypatch.setattr(os, "rename", guarded)

    def test_a_file_is_carried_with_its_times_and_never_with_a_user_s_power(self, root):
        file = root / "a" / "b" / "file"
        file.chmod(0o6754)
        os.utime(file, (5, 6))
        with Beneath(root) as tree:
            carry(tree, "a/b/file", tree, "a/file")
        assert not file.exists()
        made = (root / "a" / "file").stat()
        assert stat.S_IMODE(made.st_mode) == 0o754
        assert (made.st_atime, made.st_mtime) == (5, 6)

    def test_a_link_is_carried_as_the_link_that_it_is(self, root, elsewhere):
        with Beneath(root) as tree:
            carry(tree, "file-link", tree, "a/link")
        assert (root / "a" / "link").readlink() == elsewhere / "file"
        assert not (root / "file-link").is_symlink()

    def test_a_pipe_cannot_be_carried_and_that_is_said(self, root):
        os.mkfifo(root / "pipe")
        with Beneath(root) as tree, pytest.raises(NotReadable, match="pipe") as refused:
            carry(tree, "pipe", tree, "a/pipe")
        assert refused.value.reason.next_step
        assert listing(root / "a") == ["b"]


def test_a_place_is_reached_without_a_link(root):
    place = Place(root, "a/b/file")
    assert place.name == "file"
    assert place.whole == str(root / "a/b/file")
    assert place.stat().st_size == 6
    handle = place.open()
    assert os.read(handle, 100) == b"inside"
    os.close(handle)
    with pytest.raises(Linked):
        Place(root, "link/file").open()


def test_a_file_with_a_second_name_is_read_only_where_that_does_not_matter(root):
    (root / "a/second").hardlink_to(root / "a/b/file")
    with Beneath(root) as tree:
        for read in (tree.sha256, lambda path, **asked: tree.read(path, 10, **asked)):
            assert read("a/second")
            with pytest.raises(OSError, match="of its own"):
                read("a/second", alone=True)
        (root / "a/second").unlink()
        assert tree.read("a/b/file", 10, alone=True) == b"inside"
