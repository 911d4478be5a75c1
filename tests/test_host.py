"""What errors of the operating system mean: the host's trouble waits, anything else is the work's own."""

import errno
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoetrope.host import shown, trouble


@pytest.mark.parametrize(
    ("code", "key"),
    [
        (errno.ENOSPC, "disk-full"),
        (errno.EDQUOT, "disk-full"),
        (errno.EROFS, "unwritable"),
        (errno.EACCES, "unwritable"),
        (errno.ENOENT, "missing"),
        (errno.ENOTDIR, "in-the-way"),
        (errno.ELOOP, "link"),
        (errno.EEXIST, "in-the-way"),
        (errno.EMFILE, "files-spent"),
        (errno.ENFILE, "files-spent"),
        (errno.ENOMEM, "memory-spent"),
        (errno.EIO, "disk-error"),
        (errno.ESTALE, "disk-error"),
    ],
)
def test_trouble_of_the_host_is_named_with_its_place_and_what_to_do(code, key):
    reason = trouble(OSError(code, os.strerror(code), "/srv/outbox/cat"))
    assert reason is not None
    assert reason.key == key
    assert "by itself" in reason.next_step
    if key not in ("files-spent", "memory-spent"):
        assert "/srv/outbox/cat" in reason.sentence


@pytest.mark.parametrize(
    "error",
    [ValueError("x"), OSError("no number"), OSError(errno.ENAMETOOLONG, "File name too long", "x")],
)
def test_what_says_something_of_the_work_is_none(error):
    assert trouble(error) is None


def test_that_no_thread_can_be_started_is_the_hosts_trouble():
    reason = trouble(RuntimeError("can't start new thread"))
    assert reason is not None
    assert reason.key == "memory-spent"
    assert trouble(RuntimeError("dictionary changed size during iteration")) is None


def test_of_two_paths_the_one_that_was_to_be_made_is_told():
    reason = trouble(OSError(errno.EACCES, "Permission denied", "/state/a", None, "/outbox/b"))
    assert "/outbox/b" in reason.sentence


NAMES = st.binary(min_size=1, max_size=255).filter(
    lambda raw: (
        not {b"/", b"\0"} & {raw[n : n + 1] for n in range(len(raw))} and raw not in (b".", b"..")
    )
)


@given(NAMES)
def test_every_name_that_linux_allows_can_be_kept_as_a_reason_and_breaks_no_line(raw):
    path = f"/state/{os.fsdecode(raw)}"
    reason = trouble(FileNotFoundError(errno.ENOENT, "No such file", path))
    reason.sentence.encode()
    assert "\n" not in reason.sentence
    assert shown(path) in reason.sentence


def test_a_name_that_is_text_is_shown_as_it_is():
    assert shown("Жук (1).png") == "Жук (1).png"
