"""The kernel's own walk below a folder: used where it is there, and never another answer than step by step."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zoetrope import openat2
from zoetrope.beneath import Beneath
from zoetrope.errors import ZoetropeError
from zoetrope.host import trouble
from zoetrope.openat2 import Openat2
from zoetrope.transfer import carry, copy

READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
NOBODY = 65534
needs_kernel = pytest.mark.skipif(not openat2.available(), reason="this kernel has no openat2")


@pytest.fixture
def at(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "root/a").mkdir(parents=True)
    (tmp_path / "root/a/file").write_text("inside")
    (tmp_path / "root/link").symlink_to(tmp_path / "root/a")
    (tmp_path / "root/a/out").symlink_to("/etc/passwd")
    (tmp_path / "beside").write_text("outside")
    handle = os.open(tmp_path / "root", os.O_RDONLY)
    yield handle
    os.close(handle)


@needs_kernel
def test_a_file_is_opened_with_one_call(at):
    handle = openat2.below(at, "a/file", READ)
    assert handle is not None
    assert os.read(handle, 100) == b"inside"
    assert not os.get_inheritable(handle)
    os.close(handle)


@needs_kernel
@pytest.mark.parametrize(
    "path", ["link/file", "link", "a/out", "a/none", "../beside", "/etc/passwd", "a/file\0", ""]
)
def test_what_is_not_below_is_not_opened(at, path):
    assert openat2.below(at, path, READ) is None


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EPERM, errno.E2BIG])
def test_a_kernel_or_a_sandbox_without_it_is_asked_once(at, number):
    calls = []

    def call(*args: object) -> int:
        calls.append(args)
        return -number

    kernel = Openat2(lambda: call)
    assert not kernel.available()
    assert kernel.below(at, "a/file", READ) is None
    assert len(calls) == 1


def test_on_a_machine_with_other_numbers_nothing_is_tried(monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: "alpha")
    assert not Openat2(lambda: pytest.fail("it was called")).available()


@pytest.mark.parametrize(("disturbed", "found"), [(1, True), (3, True), (1000, False)])
def test_a_disturbed_walk_is_tried_again_and_not_for_ever(at, disturbed, found):
    answers = iter([-errno.EAGAIN, -errno.EINTR] * 500)
    left = disturbed

    def call(folder: int, path: bytes, flags: int) -> int:
        nonlocal left
        if path != b".":
            left -= 1
            if left >= 0:
                return next(answers)
        return os.open(path, flags, dir_fd=folder)

    handle = Openat2(lambda: call).below(at, "a/file", READ)
    assert (handle is not None) is found
    if handle is not None:
        os.close(handle)
    else:
        assert disturbed - left < 10


# Whatever a folder holds and is asked, both forms say the same and leave the same behind.

NAMES = st.sampled_from(["a", "b", "c"])
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)
ENTRIES = st.tuples(
    PATHS,
    st.sampled_from(["folder", "folder", "folder", "file", "link", "pipe"]),
    PATHS,
    st.sampled_from([0o700, 0o700, 0o500, 0o300, 0o100, 0o000]),
)
ASKED = st.one_of(PATHS, st.sampled_from(["", "..", "a/../b", "a//b", "/a", "a\0"]))
ACTS: dict[str, Callable[[Beneath, str, str], object]] = {
    "stat": lambda tree, path, _: stat.S_IFMT(tree.stat(path).st_mode),
    "exists": lambda tree, path, _: tree.exists(path),
    "is_folder": lambda tree, path, _: tree.is_folder(path),
    "read": lambda tree, path, _: tree.read(path, 100),
    "write": lambda tree, path, _: tree.write(path, b"new"),
    "make": lambda tree, path, _: tree.make(path),
    "rename": lambda tree, path, to: tree.rename(path, to),
    "unlink": lambda tree, path, _: tree.unlink(path),
    "entries": lambda tree, path, _: sorted(name for name, _ in tree.entries(path)),
    "files": lambda tree, path, _: sorted(tree.files(path)),
    "remove": lambda tree, path, _: tree.remove(path),
    "prune": lambda tree, path, _: tree.prune(path),
    "sync": lambda tree, path, _: tree.sync(path),
    "carry": lambda tree, path, to: carry(tree, path, tree, to),
    "copy": lambda tree, path, to: copy(tree, path, tree, to),
}


@contextlib.contextmanager
def as_nobody() -> Iterator[None]:
    """Be a user for whom modes count."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def lay(root: Path, entries: list[tuple[str, str, str, int]]) -> None:
    """Make what a hostile member could: folders that are closed, links, pipes."""
    root.mkdir()
    modes = {}
    for path, kind, other, mode in entries:
        place = root / path
        with contextlib.suppress(OSError):
            place.parent.mkdir(parents=True, exist_ok=True)
            if kind == "folder":
                place.mkdir()
                modes[place] = mode
            elif kind == "link":
                place.symlink_to(os.path.relpath(root / other, place.parent))
            elif kind == "pipe":
                os.mkfifo(place)
            else:
                # Only what is new: a pipe that stands there already would be waited for.
                with place.open("x") as file:
                    file.write(path)
    for place, mode in sorted(modes.items(), reverse=True):
        place.chmod(mode)


def told(root: Path, name: str, path: str, to: str) -> object:
    """Do something and write down what came of it, whatever the folder is called."""
    try:
        with Beneath(root) as tree:
            return ACTS[name](tree, path, to)
    except ZoetropeError as error:
        return str(error.reason).replace(str(root), "ROOT")
    except OSError as error:
        places = [
            str(place).replace(str(root), "ROOT") for place in (error.filename, error.filename2)
        ]
        if name in ("write", "carry"):  # a hidden name is another one each time
            places = [place.rpartition("/")[0] for place in places]
        reason = trouble(error)
        return error.errno, places, reason and (reason.key, reason.next_step)


def left(root: Path) -> list[tuple[str, int]]:
    """List what is there, by name and mode."""
    found = []
    for above, folders, files in os.walk(root):
        for name in (*folders, *files):
            place = Path(above, name)
            found.append((str(place.relative_to(root)), place.lstat().st_mode))
    return sorted(found)


@needs_kernel
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    entries=st.lists(ENTRIES, max_size=8),
    asked=st.lists(st.tuples(st.sampled_from(sorted(ACTS)), ASKED, ASKED), min_size=1, max_size=8),
)
def test_both_forms_give_the_same_answers(entries, asked):
    home = Path(tempfile.mkdtemp(dir="/tmp"))  # pytest's own folder is closed to others
    home.chmod(0o777)
    below = openat2.below
    found = {}
    try:
        for form in ("kernel", "walk"):
            openat2.below = below if form == "kernel" else lambda *_: None
            with as_nobody():
                lay(home / form, entries)
                answers = [told(home / form, *each) for each in asked]
            found[form] = (answers, left(home / form))
    finally:
        openat2.below = below
        shutil.rmtree(home)
    assert found["kernel"] == found["walk"]
