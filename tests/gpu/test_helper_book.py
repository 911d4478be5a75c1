"""The helper with a record that cannot be read or written: nothing is tuned until root says so."""

import grp
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.fakes.helper import BASELINE, CARD, QUIET, STOCK, state, trust
from zoetrope.gpu import wire
from zoetrope.gpu.probation import Trust

pytestmark = pytest.mark.system("gcc")


def barred(found):
    """Give the reason of every profile that the settings have, if all of them are disabled."""
    profiles = state(found).profiles
    assert {each.name for each in profiles} == {"baseline", "quiet", "bold"}
    return {each.record.why and each.record.why.key for each in profiles}


def closed(found):
    assert barred(found) == {"gpu-book"}
    line = found.connect()
    for question in (
        wire.Work(card=CARD),
        wire.Apply(card=CARD, profile="bold"),
        wire.Apply(card=CARD),
    ):
        answer = line.ask(question)
        assert answer.reason.key == "gpu-book"
        assert "run as root: zoetrope gpu enable" in answer.reason.next_step
        assert found.simulated.tuning() == STOCK
    line.close()


def test_a_book_that_cannot_be_read_disables_everything_until_root_says_otherwise(helper):
    found = helper(start=False)
    found.state.mkdir()
    (found.state / "book.json").write_text("{")
    found.simulated.set(lock_max=1500, offset=150, limit=420)
    found.start()
    # What the lost book had to undo is not known, so everything is undone.
    assert found.simulated.tuning() == STOCK
    closed(found)
    (kept,) = found.state.glob("book-*.unreadable")
    assert kept.read_text() == "{"
    assert str(kept) in state(found).problem.sentence
    # It stays so over every end, whether clean, killed or with what systemd runs afterwards.
    found.stop()
    found.start()
    closed(found)
    found.kill()
    assert found.restore().returncode == 0
    found.start()
    closed(found)
    # A GPU can always be put at stock.
    found.simulated.set(lock_max=1500)
    assert found.ask(wire.Reset(card=CARD)).reason is None
    assert found.simulated.tuning() == STOCK
    assert barred(found) == {"gpu-book"}
    line = found.connect()
    assert line.ask(wire.Enable()).reason is None
    assert trust(found) is Trust.UNTRIED
    assert state(found).problem is None
    found.ask(wire.Apply(card=CARD))
    line.ask(wire.Work(card=CARD))
    assert found.simulated.tuning() == BASELINE
    line.close()
    found.stop()
    found.start()
    assert trust(found) is Trust.UNPROVEN
    assert kept.read_text() == "{"


def test_work_that_was_asked_for_meanwhile_is_tuned_once_root_has_said_so(helper):
    found = helper(start=False)
    found.state.mkdir()
    (found.state / "book.json").mkdir()
    found.start()
    line = found.connect()
    assert line.ask(wire.Work(card=CARD)).reason.key == "gpu-book"
    found.ask(wire.Enable())
    assert found.simulated.tuning() == BASELINE
    # Said again, it changes nothing.
    assert found.ask(wire.Enable()).reason is None
    assert found.simulated.tuning() == BASELINE


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be somebody else")
def test_members_of_the_group_cannot_say_so(helper):
    found = helper(start=False)
    found.group = grp.getgrgid(1).gr_name
    found.state.mkdir()
    (found.state / "book.json").write_text("[]")
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o711)
        found.socket = Path(folder) / "gpu.sock"
        found.start()
        script = (
            "import os, socket, sys\n"
            "os.setgroups([1]); os.setgid(65534); os.setuid(65534)\n"
            "s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])\n"
            """s.sendall(b'{"do": "enable"}\\n'); print(s.makefile().readline())\n"""
        )
        done = subprocess.run(
            [sys.executable, "-c", script, str(found.socket)], capture_output=True, text=True
        )
        closed(found)
        found.stop()
    assert "gpu-permission" in done.stdout, done.stderr


def test_a_state_folder_that_others_can_write_is_refused(helper):
    found = helper(start=False)
    found.state.mkdir()
    found.state.chmod(0o777)
    found.start(ready=False)
    assert found.process.wait(10) == 1
    assert "can be changed by users other than root" in found.log.read_text()
    assert found.restore().returncode == 1


@pytest.mark.parametrize("seconds", ["1.7e308", "604801", "-1", "1e999", "1" * 400, "true", "null"])
def test_no_number_of_a_client_makes_the_book_unreadable(helper, seconds):
    found = helper()
    line = found.connect()
    line.ask(wire.Work(card=CARD))
    line.ask(
        wire.TroubleRequest(card=CARD, profile="bold", kind="engine", sentence="never applied")
    )
    for _ in range(3):
        raw = f'{{"do": "soaked", "card": "{CARD}", "profile": "baseline", "seconds": {seconds}}}\n'
        assert b"gpu-request" in line.say(raw.encode())
    line.ask(wire.TroubleRequest(card=CARD, profile="baseline", kind="output", sentence="Black."))
    found.stop()
    found.start()
    assert trust(found) is Trust.DISABLED
    assert state(found).profile("baseline").record.why.sentence == "Black."


def test_a_fault_ends_at_stock_even_where_nothing_can_be_written(helper):
    found = helper()
    line = found.connect()
    line.ask(wire.Work(card=CARD))
    away = found.state.rename(found.state.with_name("away"))
    found.simulated.xid(13)
    found.until(lambda: found.simulated.tuning() == STOCK)
    assert trust(found) is Trust.DISABLED
    # Nothing is tuned that the disk does not know of.
    answer = line.ask(wire.Apply(card=CARD, profile="quiet"))
    assert answer.reason.key == "gpu-book-write"
    assert found.simulated.tuning() == STOCK
    # What happened meanwhile is written as soon as it can be.
    away.rename(found.state)
    page = lambda: found.book()["cards"][CARD]  # noqa: E731
    found.until(lambda: page()["records"]["baseline"].get("trust") == "barred")
    assert "mark" not in page()
    assert line.ask(wire.Apply(card=CARD, profile="quiet")).reason is None
    assert found.simulated.tuning() == QUIET
