"""The real helper as a process of its own, over simulated cards, and lines to it."""

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time

import msgspec

from tests.fakes.nvml.simulated import uid
from zoetrope.gpu import wire
from zoetrope.gpu.client import ask_once

PROFILES = """
[gpu]
working = ["baseline"]
idle = ["quiet"]

[gpu.profiles.baseline]
max_core_mhz = 2700
core_offset_mhz = 300
power_limit_w = 450

[gpu.profiles.quiet]
max_core_mhz = 1200

[gpu.profiles.bold]
max_core_mhz = 2900
core_offset_mhz = 600
"""


class HelperProcess:
    """`zoetrope gpu-helper` as a process of its own, over simulated cards."""

    def __init__(self, folder, simulated, settings=PROFILES):
        self.simulated = simulated
        self.config = folder / "zoetrope.toml"
        self.config.write_text(textwrap.dedent(settings))
        self.config.chmod(0o644)
        self.socket = folder / "gpu.sock"
        self.state = folder / "gpu-state"
        self.log = folder / "helper.log"
        self.process = None
        self.lines = []
        self.group = ""
        self.more_environ = {}

    @property
    def command(self):
        return [
            *(sys.executable, "-m", "zoetrope", "gpu-helper", "--group", self.group),
            *("--config", str(self.config), "--state", str(self.state)),
        ]

    @property
    def environ(self):
        return {**os.environ, **self.simulated.environ, **self.more_environ}

    def start(self, *, ready=True):
        self.socket.unlink(missing_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.command, "--socket", str(self.socket)],
                env=self.environ,
                stdout=log,
                stderr=log,
            )
        if ready:
            self.until(self._answers)
        return self

    def _answers(self):
        assert self.process.poll() is None, self.log.read_text()
        return self.socket.exists() and not self.ask(wire.StatusRequest()).reason

    def restore(self):
        """What systemd runs after it, however it ended."""
        return subprocess.run(
            [*self.command, "--restore"], env=self.environ, capture_output=True, text=True
        )

    def ask(self, question):
        try:
            return ask_once(self.socket, question)
        except Exception as error:
            return wire.HelperAnswer(reason=error.reason)

    def connect(self):
        self.lines.append(Line(self.socket))
        return self.lines[-1]

    def stop(self):
        self.process.terminate()
        return self.process.wait(60)

    def kill(self):
        self.process.kill()
        self.process.wait(60)

    def died(self):
        return self.process.wait(60) == -signal.SIGKILL

    def book(self):
        return json.loads((self.state / "book.json").read_text())

    @staticmethod
    def until(condition, patience=120.0):
        deadline = time.monotonic() + patience
        while not (found := condition()):
            assert time.monotonic() < deadline, "waited in vain"
            time.sleep(0.01)
        return found


class Line:
    """A connection that stays open."""

    def __init__(self, path):
        self.connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.connection.settimeout(60)
        self.connection.connect(str(path))
        self.answers = self.connection.makefile("rb")

    def say(self, raw):
        self.connection.sendall(raw)
        return self.answers.readline()

    def ask(self, question):
        return msgspec.json.decode(self.say(wire.encode(question)), type=wire.HelperAnswer)

    def close(self):
        self.answers.close()
        self.connection.close()


# The first simulated GPU: as it comes, and under two profiles of the tests' settings.
CARD = uid(0)
STOCK = (0, 0, 575)
BASELINE = (2700, 300, 450)
QUIET = (1200, 0, 575)


def state(helper, card=0):
    """Give what the helper says of a GPU."""
    return helper.ask(wire.StatusRequest()).cards[card]


def trust(helper, name="baseline"):
    """Give how far a profile of the first GPU is proven."""
    return state(helper).profile(name).record.trust
