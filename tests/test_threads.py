"""A host that has no thread left for the service costs it nothing: all that it needs run from the start."""

import threading

import pytest

from zoetrope.threads import running_threads


def test_work_goes_on_although_no_thread_can_be_started_any_more(monkeypatch):
    pool = running_threads(3)

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    together = threading.Barrier(3)
    names = {f.result(10) for f in [pool.submit(_name, together) for _ in range(3)]}
    assert len(names) == 3, "all three worked at once"
    pool.shutdown()


def test_a_host_that_has_none_at_the_start_says_so(monkeypatch):
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(RuntimeError):
        running_threads(2)


def _name(together: threading.Barrier) -> str:
    together.wait(60)
    return threading.current_thread().name
