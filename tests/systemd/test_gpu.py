"""The helper under a real systemd, over simulated cards: who may ask, and what puts a card back."""

import uuid
from pathlib import Path

import pytest
from PIL import Image

from tests.fakes.nvml.simulated import Simulated, uid
from tests.systemd.machine import PYTHON

pytestmark = pytest.mark.system("gcc", "nix-instantiate", "debootstrap", "systemd-nspawn", "curl")

STOCK = (0, 0, 575)
BASELINE = (2700, 300, 450)
TUNED = """
  gpu.profiles.baseline = { maxCoreMhz = 2700; coreOffsetMhz = 300; powerLimitW = 450; };
  gpus."0".profile = "baseline";
  settings.gpu.idle_seconds = 1;
  comfyui.environment.SIMULATED_STEP_SECONDS = "1.5";
"""


@pytest.fixture
def tuned(boot, tmp_path):
    """Boot a host with a simulated 5090 in the place of its driver's library."""
    # In memory that units may write to, as a card's registers are.
    state = Path(f"/dev/shm/zoetrope-nvml-{uuid.uuid4().hex}")
    cards = Simulated(tmp_path / "driver", "RTX 5090", state=state, anyone=0)
    cards.get("load")
    machine = boot(TUNED, binds={cards.folder: "/run/opengl-driver/lib", state: str(state)})
    yield machine, cards
    state.unlink()


def zoetrope(machine, *words, user="", group=""):
    become = ("runuser", "-u", user or "root", "-g", group, "--") if group else ()
    return machine.run(
        *become,
        *("env", *PYTHON.split(), "LD_LIBRARY_PATH=/run/opengl-driver/lib"),
        *("python3", "-m", "zoetrope", *words),
        user="" if group else user,
    )


def drop(machine):
    file = machine.srv / "cat.png"
    Image.linear_gradient("L").resize((96, 64)).convert("RGB").save(file)
    file.chmod(0o644)
    done = machine.run("cp", "/srv/cat.png", "/srv/zoetrope/inbox/cat.png", user="person")
    assert done.returncode == 0, done.stderr


def test_a_card_is_tuned_while_it_works_and_its_status_says_how_it_is(tuned):
    machine, cards = tuned
    assert machine.show("zoetrope-gpu.socket", "ActiveState") == "active"
    drop(machine)
    machine.until(lambda: cards.tuning() == BASELINE, "the working profile")
    assert machine.show("zoetrope-gpu.service", "ActiveState") == "active"
    assert "RTX 5090: baseline" in machine.systemctl("status", "zoetrope-gpu")
    assert machine.run("cat", f"/run/zoetrope-gpu/{uid(0)}").stdout == "baseline\n"
    cards.set(load=1.0)
    machine.until(
        lambda: "GPU 64 °C 2700 MHz" in machine.systemctl("status", "zoetrope"), "the line"
    )
    cards.set(load=0.0)
    machine.until(lambda: cards.tuning() == STOCK, "rest")
    journal = machine.journal("zoetrope-gpu")
    assert "to=baseline outcome=in force by=uid" in journal


def test_a_service_that_stops_leaves_no_card_tuned(tuned):
    machine, cards = tuned
    drop(machine)
    machine.until(lambda: cards.tuning() == BASELINE, "the working profile")
    machine.run("systemctl", "stop", "zoetrope")
    machine.until(lambda: cards.tuning() == STOCK, "stock")


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_however_the_helper_ends_the_card_is_put_back(tuned, how):
    machine, cards = tuned
    done = zoetrope(machine, "gpu", "apply", "baseline")
    assert done.returncode == 0, done.stderr
    assert cards.tuning() == BASELINE
    if how == "stop":
        machine.run("systemctl", "stop", "zoetrope-gpu.service")
        assert cards.tuning() == STOCK
    else:
        machine.run("systemctl", "kill", "-s", "KILL", "zoetrope-gpu.service")
        machine.until(lambda: cards.tuning() == STOCK, "stock, by ExecStopPost")

    def book():
        return machine.run("cat", "/var/lib/zoetrope-gpu/book.json").stdout

    # What has to be undone is forgotten only once it is undone.
    machine.until(lambda: "mark" not in book(), "the book to say so")
    assert ('"unclean": 1' in book()) == (how == "kill")


def test_whoever_is_not_of_the_group_is_refused(tuned):
    machine, cards = tuned
    done = zoetrope(machine, "gpu", "apply", "baseline", user="person")
    assert done.returncode == 1
    assert "You may not use /run/zoetrope-gpu.sock" in done.stderr
    # The engine's user runs whatever node packs bring.
    done = zoetrope(machine, "gpu", "apply", "baseline", user="zoetrope-engine")
    assert done.returncode == 1
    assert cards.get("setters", None) == 0
    # Of the share's group, and of the helper's.
    done = zoetrope(machine, "gpu", "apply", "baseline", user="zoetrope")
    assert done.returncode == 1
    assert cards.get("setters", None) == 0
    done = zoetrope(machine, "gpu", "apply", "baseline", user="zoetrope", group="zoetrope-gpu")
    assert done.returncode == 0, done.stderr
    assert cards.tuning() == BASELINE


def test_a_host_that_lost_power_begins_at_stock_and_two_in_a_row_bar_the_profile(tuned):
    machine, cards = tuned
    drop(machine)
    for _ in range(2):
        machine.until(lambda: cards.tuning() == BASELINE, "the working profile")
        machine.cut()
        # What a card had set goes with the power.
        cards.set(lock_min=0, lock_max=0, offset=0, limit=575)
        machine.boot()
    machine.until(
        lambda: "Profile baseline is disabled" in machine.get("/readyz?format=text")[1],
        "health that says so",
    )
    # The picture is made all the same, at stock.
    machine.until(
        lambda: list((machine.srv / "zoetrope/outbox").glob("[!.]*/*.mp4")), "the video", 120
    )
    assert cards.tuning() == STOCK


def test_an_engine_that_is_restarted_on_purpose_blames_no_profile_and_one_that_dies_does(tuned):
    machine, cards = tuned
    drop(machine)
    machine.until(lambda: cards.tuning() == BASELINE, "the working profile")
    machine.run("systemctl", "restart", "zoetrope-comfyui@0.service")

    def attempts():
        jobs = machine.jobs()
        return len(jobs[0]["stages"][0]["attempts"]) if jobs else 0

    machine.until(lambda: attempts() == 2, "the second attempt")
    machine.until(lambda: cards.tuning() == BASELINE, "the working profile")
    assert "unproven" in zoetrope(machine, "gpu", "profiles").stdout
    machine.run("systemctl", "kill", "-s", "KILL", "zoetrope-comfyui@0.service")
    machine.until(lambda: attempts() == 3, "the third attempt")
    assert "Profile baseline is disabled" in zoetrope(machine, "gpu", "profiles").stdout
    assert cards.tuning() == STOCK
