"""The helper's book: what is written can be read, and what cannot be read disables everything and is kept."""

import errno
import json
import math
import os
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zoetrope.errors import Reason
from zoetrope.gpu import book_file, bounds, probation
from zoetrope.gpu.book import Book, Mark, Page, unclean
from zoetrope.gpu.book_file import BookError, BookFile
from zoetrope.gpu.probation import Record, Trust
from zoetrope.gpu.records import Records

NOW = 1_780_000_000.0  # 2026-05-28 20:26:40 UTC
DISABLED = Record(
    fingerprint="f", trust=Trust.DISABLED, why=Reason("gpu-xid", "Xid 13.", "See dmesg."), since=NOW
)
PROVEN = Record(fingerprint="g", trust=Trust.PROVEN, stages=7, seconds=9000.5, since=NOW)
BOOK = Book(
    cards={
        "GPU-1": Page(held="", records={"bold": DISABLED, "baseline": PROVEN}),
        "GPU-2": Page(mark=Mark(profile="bold", knobs=("offset", "lock"), boot="b", since=NOW)),
    }
)
GOOD = msgspec.json.encode(BOOK)


def place(folder):
    return BookFile(folder / "book.json", clock=lambda: NOW)


def with_number(path, number):
    """Give the book as JSON with one number changed."""
    found = json.loads(GOOD)
    at = found
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = number
    return json.dumps(found).encode()


RECORD = ("cards", "GPU-1", "records", "baseline")
COUNTS = [("schema",), (*RECORD, "stages"), (*RECORD, "unclean")]
MOMENTS = [(*RECORD, "seconds"), (*RECORD, "since"), ("cards", "GPU-2", "mark", "since")]
NO_NUMBERS = [math.nan, math.inf, -math.inf, -1, 10**400, 1.7e308, True, None, "7", [7], {}]
CONTENTS = {
    "empty": b"",
    "truncated": GOOD[:-20],
    "garbage": b"\x00\xff" * 100,
    "a list": b"[]",
    "another schema": b'{"schema": 2, "cards": {}}',
    "deep": b'{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "a long name": b'{"cards": {"' + b"x" * 200 + b'": {}}}',
    "a name that breaks lines": b'{"cards": {"x": {"records": {"a\\n": {}}}}}',
    "another trust": GOOD.replace(b'"trusted"', b'"sure"'),
    "too large": b" " * (book_file.LONGEST + 1) + GOOD,
    "too many cards": json.dumps({"cards": {str(n): {} for n in range(1000)}}).encode(),
    **{
        f"{'/'.join(path[2:] or path)} {str(number)[:9]}": with_number(path, number)
        for path in (*COUNTS, *MOMENTS)
        for number in NO_NUMBERS
    },
}


def lay_folder(file):
    file.mkdir()
    (file / "inside").write_text("x")


def lay_link(file):
    other = file.with_name("elsewhere.json")
    other.write_bytes(GOOD)
    file.symlink_to(other)


def lay_writable(file):
    file.write_bytes(GOOD)
    file.chmod(0o664)


def lay_foreign(file):
    file.write_bytes(GOOD)
    os.chown(file, 65534, 65534)


KINDS = {
    "a folder": (lay_folder, "not a file"),
    "a pipe": (os.mkfifo, "not a file"),
    "a link": (lay_link, "symbolic link"),
    "writable": (lay_writable, "users other than root can write it"),
}
if os.geteuid() == 0:
    KINDS["wrong owner"] = (lay_foreign, "it belongs to the user 65534")


def closed(folder, why=""):
    """Read what lies there; it has to be closed, kept under a name that says when, and stay so."""
    found = place(folder)
    book = found.read()
    assert found.spoilt
    assert why in book.closed.why
    assert book.cards == {}
    (kept,) = folder.glob("book-*.unreadable")
    assert kept.name == "book-2026-05-28T20-26-40Z.unreadable"
    reason = book.closed.reason
    assert "2026-05-28 20:26 UTC" in reason.sentence
    assert str(kept) in reason.sentence
    assert "zoetrope gpu enable" in reason.next_step
    found.write(book)
    again = place(folder)
    assert again.read() == book
    assert not again.spoilt
    return kept


def test_what_is_written_is_read(tmp_path):
    place(tmp_path).write(BOOK)
    assert place(tmp_path).read() == BOOK
    assert (tmp_path / "book.json").stat().st_mode & 0o777 == 0o600
    assert not list(tmp_path.glob("book-*"))


def test_a_new_host_has_an_empty_one(tmp_path):
    assert place(tmp_path).read() == Book()


@pytest.mark.parametrize("content", CONTENTS)
def test_content_that_is_no_book_is_kept_and_disables_everything(tmp_path, content):
    (tmp_path / "book.json").write_bytes(CONTENTS[content])
    assert closed(tmp_path).read_bytes() == CONTENTS[content]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_file_of_roots_alone_is_kept_and_disables_everything(tmp_path, kind):
    lay, why = KINDS[kind]
    lay(tmp_path / "book.json")
    before = os.lstat(tmp_path / "book.json")
    kept = os.lstat(closed(tmp_path, why))
    assert (kept.st_ino, kept.st_mode, kept.st_uid) == (
        before.st_ino,
        before.st_mode,
        before.st_uid,
    )


def test_a_disk_that_cannot_read_it_disables_everything(tmp_path, monkeypatch):
    (tmp_path / "book.json").write_bytes(GOOD)
    real = os.open

    def broken(path, flags, *more, **options):
        if Path(path).name == "book.json":
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        return real(path, flags, *more, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", broken)
        assert place(tmp_path).read().closed.why == "Input/output error"
    (kept,) = tmp_path.glob("book-*.unreadable")
    assert kept.read_bytes() == GOOD


def test_a_host_without_descriptors_says_nothing_about_the_book(tmp_path, monkeypatch):
    (tmp_path / "book.json").write_bytes(GOOD)

    def spent(*_, **__):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", spent)
        with pytest.raises(OSError, match="Too many open files"):
            place(tmp_path).read()
    assert place(tmp_path).read() == BOOK


def test_one_that_cannot_be_moved_is_never_overwritten(tmp_path, monkeypatch):
    (tmp_path / "book.json").write_text("{")
    found = place(tmp_path)

    def closed_disk(self, *_):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(self))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", closed_disk)
        book = found.read()
        assert book.closed.kept == str(tmp_path / "book.json")
        with pytest.raises(BookError, match="Read-only file system"):
            found.write(book)
        assert (tmp_path / "book.json").read_text() == "{"
    found.write(book)
    assert place(tmp_path).read() == book
    (kept,) = tmp_path.glob("book-*.unreadable")
    assert kept.read_text() == "{"


def test_a_crash_between_keeping_it_and_writing_the_next_enables_nothing(tmp_path):
    (tmp_path / "book.json").write_text("{")
    assert place(tmp_path).read().closed is not None
    # It dies here, and nothing was written.
    again = place(tmp_path).read()
    assert "missing" in again.closed.why
    assert again.closed.kept.endswith(".unreadable")


def test_a_second_one_in_the_same_second_has_a_name_of_its_own(tmp_path):
    for content in ("{", "["):
        (tmp_path / "book.json").write_text(content)
        assert place(tmp_path).read().closed is not None
    assert {kept.read_text() for kept in tmp_path.glob("book-*.unreadable")} == {"{", "["}


@pytest.mark.parametrize(
    "record",
    [
        msgspec.structs.replace(PROVEN, seconds=math.inf),
        msgspec.structs.replace(PROVEN, seconds=math.nan),
        msgspec.structs.replace(PROVEN, stages=-1),
        msgspec.structs.replace(PROVEN, since=1e300),
    ],
)
def test_what_could_not_be_read_back_is_not_written(tmp_path, record):
    found = place(tmp_path)
    found.write(BOOK)
    spoilt = BOOK.with_page("GPU-1", Page().with_record("baseline", record))
    with pytest.raises(BookError, match="would not be readable"):
        found.write(spoilt)
    assert place(tmp_path).read() == BOOK


@settings(max_examples=150, deadline=None)
@given(
    st.binary(max_size=300)
    | st.tuples(st.integers(0, len(GOOD)), st.integers(0, 40), st.binary(max_size=40)).map(
        lambda cut: GOOD[: cut[0]] + cut[2] + GOOD[cut[0] + cut[1] :]
    )
)
def test_whatever_lies_there_is_a_book_within_bounds_or_kept(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("state")
    (folder / "book.json").write_bytes(content)
    found = place(folder)
    book = found.read()
    # Anything that was read can be written, with everything that may come next.
    for uuid, page in book.cards.items():
        for name, record in page.records.items():
            after = probation.after(record, probation.Soaked(bounds.LONGEST_STAGE), NOW)
            book = book.with_page(uuid, page.with_record(name, after))
    found.write(book)
    assert place(folder).read() == book
    if found.spoilt:
        (kept,) = folder.glob("book-*.unreadable")
        assert kept.read_bytes() == content


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.floats() | st.sampled_from([1.7e308, bounds.LONGEST_STAGE]), max_size=50),
    st.sampled_from([PROVEN, msgspec.structs.replace(PROVEN, seconds=bounds.MOST_SECONDS)]),
)
def test_no_sum_of_reports_leaves_what_the_book_holds(reports, record):
    for seconds in reports:
        record = probation.after(record, probation.Soaked(seconds), NOW)
    book = BOOK.with_page("GPU-1", Page().with_record("baseline", record))
    assert book_file.decode(msgspec.json.encode(book)) == book


def test_too_many_records_forget_the_oldest_that_disables_nothing():
    page = Page().with_record("bold", DISABLED)
    for number in range(bounds.MOST_RECORDS + 5):
        page = page.with_record(f"p{number}", Record(since=NOW + number))
    assert len(page.records) == bounds.MOST_RECORDS
    assert "bold" in page.records
    assert "p0" not in page.records
    assert f"p{bounds.MOST_RECORDS + 4}" in page.records


def test_too_many_gpus_forget_the_one_that_disables_and_undoes_nothing():
    book = BOOK
    for number in range(bounds.MOST_CARDS + 5):
        book = book.with_page(f"new-{number}", Page())
    assert len(book.cards) == bounds.MOST_CARDS
    assert book.page("GPU-1").records["bold"] == DISABLED
    assert set(unclean(book)) == {"GPU-2"}


def test_what_makes_a_gpu_faster_waits_for_the_disk_and_what_disables_does_not(tmp_path):
    state = tmp_path / "state"
    state.mkdir()
    records = Records(place(state), lambda: NOW)
    with records.written():
        records.remember("GPU-1", "bold", PROVEN)
    state.rename(tmp_path / "away")
    with pytest.raises(BookError, match="No such file"), records.written():
        records.remember("GPU-1", "quiet", PROVEN)
    assert "quiet" not in records.page("GPU-1").records
    records.note("GPU-1", "bold", probation.Trouble(Reason("gpu-xid", "Xid 13.")))
    assert records.page("GPU-1").records["bold"].trust is Trust.DISABLED
    assert records.problem.key == "gpu-book-write"
    # A change that fails does not take the trouble back.
    with pytest.raises(BookError), records.written():
        records.change("GPU-1", held="bold")
    assert records.page("GPU-1").records["bold"].trust is Trust.DISABLED
    (tmp_path / "away").rename(state)
    records.save_again()
    assert records.problem is None
    assert place(state).read() == records.book
