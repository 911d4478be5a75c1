import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoetrope.inbox.stability import FileStat, Stability

SETTLE = 3.0
BOOT = 1_700_000_000.0  # what the wall clock says when the monotonic one says 0


def look(size=10, mtime=BOOT, ctime=None, links=1):
    ctime = mtime if ctime is None else ctime
    return FileStat(size, int(mtime * 1e9), int(ctime * 1e9), links)


@pytest.fixture
def files():
    return Stability(SETTLE)


def test_a_file_is_ready_when_it_stood_still_for_the_settle_time(files):
    assert not files.event("a", look(), 0.0, added=True)
    assert files.due(2.9) == []
    assert files.due(3.0) == ["a"]
    assert files.confirm("a", look(), 3.0)


def test_an_event_begins_the_quiet_time_anew(files):
    files.event("a", look(), 0.0, added=True)
    files.event("a", look(size=20), 2.0, modified=True)
    assert files.due(3.0) == []
    assert files.due(5.0) == ["a"]


def test_a_change_without_an_event_is_found_at_the_last_look(files):
    files.event("a", look(), 0.0, added=True)
    assert files.due(3.0) == ["a"]
    assert not files.confirm("a", look(size=20), 3.0)
    assert files.due(5.9) == []
    assert files.due(6.0) == ["a"]
    assert files.confirm("a", look(size=20), 6.0)


def test_a_rename_into_the_folder_is_ready_at_once(files):
    # The file was written long ago; the rename touched its ctime alone.
    assert files.event("a", look(mtime=BOOT - 50, ctime=BOOT), 0.0, added=True)


@pytest.mark.parametrize(
    ("changes", "event"),
    [
        ({"ctime": BOOT}, {"added": True}),  # create and write leave both times equal
        ({"ctime": BOOT + 1}, {"added": True, "modified": True}),
        ({"ctime": BOOT + 1}, {"added": True, "polled": True}),
        ({"ctime": BOOT + 1, "size": 0}, {"added": True}),
        ({"ctime": BOOT + 1, "links": 2}, {"added": True}),
        ({"ctime": BOOT + 1}, {"modified": True}),
    ],
)
def test_what_may_be_a_write_is_never_ready_at_once(files, changes, event):
    assert not files.event("a", look(**changes), 0.0, **event)


def test_a_file_that_was_modified_once_is_not_taken_for_a_rename_later(files):
    files.event("a", look(), 0.0, modified=True)
    assert not files.event("a", look(ctime=BOOT + 1), 1.0, added=True)


def test_an_old_file_is_ready_at_the_first_scan(files):
    assert files.scan("a", look(mtime=BOOT - 5), 0.0, BOOT)
    assert files.get("a").arrived == pytest.approx(-5.0)


@pytest.mark.parametrize(
    "changes",
    [
        {"mtime": BOOT - 1},
        {"mtime": BOOT - 50, "ctime": BOOT - 1},  # a rename a moment ago
        {"mtime": BOOT + 500},  # a clock that is ahead
        {"mtime": BOOT - 5, "size": 0},
    ],
)
def test_a_young_file_has_to_stand_still_first(files, changes):
    assert not files.scan("a", look(**changes), 0.0, BOOT)
    wait = 30.0 if changes.get("size") == 0 else SETTLE
    assert files.due(wait) == ["a"]


def test_a_polled_file_needs_two_looks_a_settle_time_apart(files):
    old = look(mtime=BOOT - 500)
    assert not files.scan("a", old, 0.0, BOOT, polled=True)
    assert not files.scan("a", old, 2.0, BOOT + 2, polled=True)
    assert files.due(3.0) == ["a"]
    assert files.confirm("a", old, 3.0)


def test_an_empty_file_gets_much_longer(files):
    files.event("a", look(size=0), 0.0, added=True)
    assert files.due(29.0) == []
    assert files.due(30.0) == ["a"]
    assert files.confirm("a", look(size=0), 30.0)


def test_an_empty_file_that_is_filled_settles_as_others_do(files):
    files.event("a", look(size=0), 0.0, added=True)
    files.event("a", look(size=5), 1.0, modified=True)
    assert files.due(4.0) == ["a"]


def test_a_ready_file_that_is_written_to_is_no_longer_ready(files):
    files.scan("a", look(mtime=BOOT - 5), 0.0, BOOT)
    assert not files.event("a", look(size=20), 1.0, modified=True)


def test_a_file_that_is_gone_is_forgotten(files):
    files.event("a", look(), 0.0, added=True)
    files.forget("a")
    assert files.due(100.0) == []
    assert len(files) == 0
    assert not files.confirm("a", look(), 100.0)


def test_a_delayed_file_is_due_again_at_the_time_that_was_said(files):
    files.scan("a", look(mtime=BOOT - 5), 0.0, BOOT)
    files.delay("a", 10.0)
    assert files.due(9.9) == []
    assert files.due(10.0) == ["a"]


def test_files_are_ordered_by_arrival_then_by_their_time(files):
    files.scan("b", look(mtime=BOOT - 1), 0.0, BOOT)
    files.scan("a", look(mtime=BOOT - 2), 0.0, BOOT)
    files.scan("old", look(mtime=BOOT - 60), 0.0, BOOT)
    paths = sorted(files.paths(), key=lambda path: files.get(path).order)
    assert paths == ["old", "a", "b"]


def test_the_memory_for_due_times_does_not_grow_with_events(files):
    for tick in range(10_000):
        now = tick * 0.4
        files.due(now)
        files.event("a", look(size=tick + 1), now, modified=True)
    assert len(pickle.dumps(files)) < 1000


writes = st.lists(st.floats(0.01, 10.0), max_size=15)
events = st.sampled_from(["event", "scan", "nothing"])


@given(writes, st.data(), st.booleans())
def test_never_ready_while_growing_and_always_ready_in_the_end(pauses, data, polled):
    files = Stability(SETTLE)
    now, size, written = 0.0, 1, 0.0
    current = look(size, BOOT)
    files.event("a", current, 0.0, added=True, polled=polled)

    def settle_until(end):
        """Do what the watcher does: a fresh look at each due time."""
        while (due := files.next_due()) is not None and due <= end:
            for path in files.due(due):
                if files.confirm(path, current, due):
                    return due
        return None

    for pause in pauses:
        ready = settle_until(now + pause)
        if ready is not None:
            assert ready - written >= SETTLE - 1e-6
            return
        now += pause
        size += 1
        written = now
        current = look(size, BOOT + now)
        kind = data.draw(events)
        if kind == "event":
            files.event("a", current, now, modified=True, polled=polled)
        elif kind == "scan":
            files.scan("a", current, now, BOOT + now, polled=polled)
    ready = settle_until(now + 10 * SETTLE)
    assert ready is not None
    assert ready - written >= SETTLE - 1e-6
