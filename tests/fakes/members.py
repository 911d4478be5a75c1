"""Several users of one share: the service, and members of its group, each a process of its own."""

from __future__ import annotations

import codecs
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from zoetrope.inbox.claim import Claims

# Members may not read where Python lies, so what they need is loaded before.
codecs.lookup("ascii")

SERVICE, MEMBER, OTHER, GROUP = 64001, 64002, 64003, 64100

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be several users")


def as_user(uid: int, work: Callable[[], object], *, umask: int = 0o007) -> str:
    """Do something as a member of the group and give what came of it: "" or the error's name."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        said = "?"
        try:
            os.setgroups([GROUP])
            os.setresgid(GROUP, GROUP, GROUP)
            os.setresuid(uid, uid, uid)
            os.umask(umask)
            work()
            said = ""
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        finally:
            os.write(writing, said.encode())
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as told:
        said = told.read().decode()
    os.waitpid(child, 0)
    return said


@contextmanager
def at_work(uid: int, work: Callable[[], object]) -> Iterator[None]:
    """Have a member do something again and again, whatever comes of it, while the block runs."""
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([GROUP])
            os.setresgid(GROUP, GROUP, GROUP)
            os.setresuid(uid, uid, uid)
            os.umask(0o007)
            end = time.monotonic() + 60
            while time.monotonic() < end:
                try:
                    work()
                except OSError:
                    continue
        finally:
            os._exit(0)
    try:
        yield
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def service(inbox: Path, work: Callable[[Claims], object] = lambda _: None) -> None:
    """Have the service's user see to the inbox, and do something more."""

    def act() -> None:
        claims = Claims(inbox, new_id=lambda: "ab" * 16)
        claims.prepare()
        work(claims)

    assert as_user(SERVICE, act) == ""
