"""What the helper's clients send: nonsense, floods, lines without an end; it answers and lives on."""

import contextlib
import socket
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes.frames import frames
from tests.fakes.helper import CARD, state, trust
from zoetrope.gpu import wire
from zoetrope.gpu.probation import Trust

pytestmark = pytest.mark.system("gcc")


NONSENSE = {
    "not JSON": b"hello\n",
    "no verb": b"{}\n",
    "unknown verb": b'{"do": "overclock", "card": "x"}\n',
    "figures": b'{"do": "apply", "card": "x", "max_core_mhz": 5000}\n',
    "unknown card": b'{"do": "work", "card": "GPU-nobody"}\n',
    "wrong type": b'{"do": "work", "card": 5}\n',
    "not UTF-8": b'{"do": "\xff"}\n',
    "empty": b"\n",
    "deep": b"[" * 2000 + b"\n",
    "deep before its verb": b'{"x": ' + b"[" * 1500 + b"]" * 1500 + b', "do": "status"}\n',
}


@pytest.mark.parametrize("nonsense", NONSENSE)
def test_nonsense_is_answered_and_the_connection_lives_on(helper, nonsense):
    found = helper()
    line = found.connect()
    assert b'"reason"' in line.say(NONSENSE[nonsense])
    assert line.ask(wire.StatusRequest()).reason is None
    line.close()
    assert found.simulated.get("setters", None) == 0


def test_the_helper_survives_whatever_its_clients_send(helper):
    """One process hears all of it, on a connection each, and keeps what it knows."""
    found = helper()
    found.ask(wire.Apply(card=CARD, profile="bold"))
    told = wire.TroubleRequest(card=CARD, profile="bold", kind="engine", sentence="It crashed.")
    found.ask(told)

    @settings(max_examples=150, deadline=None)
    @given(st.lists(frames, min_size=1, max_size=5), st.sampled_from([b"\n", b"\r\n", b"\n\n"]))
    def send(several, end):
        line = found.connect()
        with contextlib.suppress(OSError):
            line.connection.sendall(b"".join(each + end for each in several))
            line.connection.shutdown(socket.SHUT_WR)
            while line.answers.readline():
                pass
        line.close()
        found.lines.remove(line)

    send()
    assert found.process.poll() is None
    assert "Traceback" not in found.log.read_text()
    assert trust(found, "bold") in (Trust.DISABLED, Trust.UNTRIED, Trust.UNPROVEN)
    before = found.book()["cards"]
    found.stop()
    found.start()
    assert state(found).problem is None
    assert found.book()["cards"].keys() == before.keys()


def test_many_requests_at_once_are_all_answered_and_hinder_nobody(helper):
    found = helper()
    flood = found.connect()
    soaked = wire.encode(wire.SoakedRequest(card=CARD, profile="baseline", seconds=1.0))
    requests = 2000

    def pour():
        for _ in range(requests // 100):
            flood.connection.sendall(soaked * 100)

    pouring = threading.Thread(target=pour)
    pouring.start()
    other = found.connect()
    assert other.ask(wire.StatusRequest()).reason is None
    answered = sum(flood.answers.readline().endswith(b"\n") for _ in range(requests))
    pouring.join()
    assert answered == requests
    other.close()
    flood.close()


def test_root_is_answered_however_many_others_are_there(helper):
    found = helper()
    crowd = [found.connect() for _ in range(40)]
    assert found.ask(wire.Reset(card=CARD)).reason is None
    for line in crowd:
        line.close()


def test_a_megabyte_without_an_end_ends_the_connection_alone(helper):
    found = helper()
    line = found.connect()
    with contextlib.suppress(OSError):  # it has heard enough before that
        line.connection.sendall(b"x" * 1_000_000)
    other = found.connect()
    assert other.ask(wire.StatusRequest()).reason is None
    other.close()


def test_a_client_that_never_ends_its_line_hinders_nobody(helper):
    found = helper()
    silent = found.connect()
    silent.connection.sendall(b'{"do": "wo')
    assert found.ask(wire.StatusRequest()).reason is None
    silent.close()
