"""The helper as a process of its own: what it does when asked."""

import grp
import os
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from tests.fakes.helper import BASELINE, CARD, QUIET, STOCK, state, trust
from tests.fakes.nvml.simulated import LIES, uid
from zoetrope.gpu import wire
from zoetrope.gpu.probation import SOAK_SECONDS, SOAK_STAGES, Trust

pytestmark = pytest.mark.system("gcc")


def test_work_and_rest_bring_the_profiles_that_the_settings_name(helper):
    found = helper()
    assert found.simulated.tuning() == STOCK
    line = found.connect()
    (card,) = line.ask(wire.Work(card=CARD)).cards
    assert (card.in_force, card.role, card.highest_mhz) == ("baseline", "working", 2700)
    assert found.simulated.tuning() == BASELINE
    (card,) = line.ask(wire.Rest(card=CARD)).cards
    assert (card.in_force, card.role) == ("quiet", "idle")
    assert found.simulated.tuning() == QUIET


def test_a_client_that_dies_leaves_the_card_at_stock(helper):
    found = helper()
    script = (
        "import sys, socket, time\n"
        "s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])\n"
        f'''s.sendall(b'{{"do": "work", "card": "{CARD}"}}\\n'); print(s.recv(10), flush=True)\n'''
        "time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(found.socket)], stdout=subprocess.PIPE
    ) as client:
        client.stdout.readline()
        assert found.simulated.tuning() == BASELINE
        client.kill()
    found.until(lambda: found.simulated.tuning() == STOCK)
    assert state(found).in_force == ""


def test_a_card_works_as_long_as_one_of_its_clients_does(helper):
    found = helper()
    first, second = found.connect(), found.connect()
    first.ask(wire.Work(card=CARD))
    second.ask(wire.Work(card=CARD))
    first.ask(wire.Rest(card=CARD))
    assert found.simulated.tuning() == BASELINE
    second.close()
    found.until(lambda: found.simulated.tuning() == QUIET)
    first.close()
    found.until(lambda: found.simulated.tuning() == STOCK)


def test_two_clients_at_once_never_leave_a_mixture(helper):
    found = helper()

    def pester(question):
        line = found.connect()
        for _ in range(50):
            line.ask(question)
        line.close()

    questions = [wire.Apply(card=CARD, profile="quiet"), wire.Apply(card=CARD, profile="baseline")]
    threads = [threading.Thread(target=pester, args=(question,)) for question in questions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wanted = {"quiet": QUIET, "baseline": BASELINE}[state(found).in_force]
    assert found.simulated.tuning() == wanted


def test_the_end_puts_every_card_back(helper):
    found = helper("RTX 5090", "RTX 5090")
    line = found.connect()
    line.ask(wire.Work(card=uid(0)))
    line.ask(wire.Work(card=uid(1)))
    assert found.stop() == 0
    assert found.simulated.tuning(0) == found.simulated.tuning(1) == STOCK
    assert all("mark" not in page for page in found.book()["cards"].values())


def test_what_a_person_applies_stays_and_reset_stays_too(helper):
    found = helper()
    (card,) = found.ask(wire.Apply(card=CARD, profile="bold")).cards
    assert (card.held, card.in_force, card.role) == ("bold", "bold", "held")
    line = found.connect()
    line.ask(wire.Work(card=CARD))
    line.ask(wire.Rest(card=CARD))
    assert found.simulated.tuning() == (2895, 600, 575)
    found.ask(wire.Reset(card=CARD))
    line.ask(wire.Work(card=CARD))
    assert found.simulated.tuning() == STOCK
    found.stop()
    found.start()
    assert state(found).held == ""
    found.ask(wire.Apply(card=CARD))
    again = found.connect()
    again.ask(wire.Work(card=CARD))
    assert found.simulated.tuning() == BASELINE
    line.close()
    again.close()


def test_reset_puts_back_what_somebody_else_has_set(helper):
    found = helper()
    found.simulated.set(lock_max=1500, offset=150, limit=420)
    found.ask(wire.Reset(card=CARD))
    assert found.simulated.tuning() == STOCK


def test_enough_work_makes_a_profile_trusted_and_that_survives_a_restart(helper):
    found = helper()
    line = found.connect()
    line.ask(wire.Work(card=CARD))
    assert trust(found) is Trust.UNPROVEN
    for _ in range(SOAK_STAGES):
        line.ask(
            wire.SoakedRequest(
                card=CARD, profile="baseline", seconds=SOAK_SECONDS / SOAK_STAGES + 1
            )
        )
    assert trust(found) is Trust.PROVEN
    line.close()
    found.stop()
    found.start()
    assert trust(found) is Trust.PROVEN


def test_a_new_driver_has_everything_to_prove_again(helper):
    found = helper()
    line = found.connect()
    line.ask(wire.Work(card=CARD))
    assert trust(found) is Trust.UNPROVEN
    line.close()
    found.stop()
    conf = found.simulated.folder / "cards.conf"
    conf.write_text(conf.read_text().replace("580.95.05", "590.10"))
    found.simulated.state.unlink()
    found.start()
    assert trust(found) is Trust.UNTRIED


def test_an_xid_under_a_profile_ends_at_stock_and_bars_it(helper):
    found = helper()
    line = found.connect()
    line.ask(wire.Work(card=CARD))
    found.simulated.xid(13)
    found.until(lambda: found.simulated.tuning() == STOCK)
    card = state(found)
    assert card.profile("baseline").record.why.sentence.startswith("Xid 13")
    answer = line.ask(wire.Work(card=CARD))
    assert answer.reason.key == "gpu-barred"
    assert "zoetrope gpu apply baseline" in answer.reason.next_step
    assert found.simulated.tuning() == STOCK
    # A person says otherwise.
    found.ask(wire.Apply(card=CARD, profile="baseline"))
    assert found.simulated.tuning() == BASELINE
    assert trust(found) is Trust.UNPROVEN


@pytest.mark.parametrize("number", [43, 45, 63])
def test_an_xid_that_a_killed_program_leaves_blames_nobody(helper, number):
    found = helper()
    line = found.connect()
    line.ask(wire.Work(card=CARD))
    found.simulated.xid(number)
    found.simulated.xid(number)
    found.until(lambda: f"Xid {number}" in found.log.read_text())
    assert found.simulated.tuning() == BASELINE
    assert trust(found) is Trust.UNPROVEN


@pytest.mark.parametrize("kind", ["engine", "output", "selftest"])
def test_trouble_of_a_stage_bars_the_profile_under_which_it_ran(helper, kind):
    found = helper()
    line = found.connect()
    line.ask(wire.Work(card=CARD))
    told = wire.TroubleRequest(
        card=CARD, profile="baseline", kind=kind, sentence="The clip is black."
    )
    line.ask(told)
    assert found.simulated.tuning() == STOCK
    assert trust(found) is Trust.DISABLED
    line.ask(wire.TroubleRequest(card=CARD, profile="", kind=kind, sentence="Black again."))
    assert state(found).profile("baseline").record.at_stock_too


@pytest.mark.parametrize("lie", LIES)
def test_a_driver_that_lies_ends_at_stock_and_is_not_asked_again(helper, lie):
    found = helper()
    found.simulated.set(lies=LIES[lie], load=1.0)
    if lie == "power":
        found.simulated.set(power_default=560)
    # A lock can only be seen at work, and only where nothing else slows the card.
    name = "quiet" if lie == "lock" else "baseline"
    answer = found.ask(wire.Apply(card=CARD, profile=name))
    assert answer.reason.key == "gpu-not-taken"
    assert found.simulated.tuning()[:2] == (0, 0)
    assert trust(found, name) is Trust.DISABLED


def test_a_card_that_vanishes_in_mid_change_is_said_and_put_back_when_it_returns(helper):
    found = helper(lose_at=2)
    answer = found.ask(wire.Apply(card=CARD, profile="baseline"))
    assert answer.reason.key == "gpu-lost"
    assert found.process.poll() is None
    assert found.simulated.tuning() == (0, 0, 450)
    assert answer.cards[0].in_force == ""
    found.kill()
    found.simulated.set(lost=0)
    found.start()
    assert found.simulated.tuning() == STOCK


def test_a_setting_that_goes_away_is_set_again(helper):
    found = helper()
    found.ask(wire.Apply(card=CARD, profile="baseline"))
    # As a host does that wakes up.
    found.simulated.set(lock_max=0, lock_min=0, offset=0, limit=575)
    found.until(lambda: found.simulated.tuning() == BASELINE)
    assert trust(found) is Trust.UNPROVEN


def test_a_card_that_does_not_keep_to_it_is_found_out_under_load(helper):
    found = helper()
    found.ask(wire.Apply(card=CARD, profile="quiet"))
    found.simulated.set(lies=LIES["lock"], lock_max=0, lock_min=0, load=1.0)
    found.until(lambda: trust(found, "quiet") is Trust.DISABLED, patience=40)
    assert state(found).in_force == ""


@pytest.mark.parametrize(
    ("profile", "words"),
    [
        ("nothing", "There is no profile 'nothing'"),
        ("tight", "outside of the GPU's 400 to 600 W"),
        ("other", "it is for *3090*"),
    ],
)
def test_a_profile_that_cannot_be_is_refused_and_nothing_is_touched(helper, profile, words):
    settings = """
    [gpu.profiles.tight]
    power_limit_w = 300
    [gpu.profiles.other]
    cards = ["*3090*"]
    max_core_mhz = 1500
    """
    found = helper(settings=settings)
    answer = found.ask(wire.Apply(card=CARD, profile=profile))
    assert words in answer.reason.sentence
    assert found.simulated.get("setters", None) == 0


def test_every_change_is_a_line_with_who_asked(helper):
    found = helper()
    found.ask(wire.Apply(card=CARD, profile="baseline"))
    found.ask(wire.Reset(card=CARD))
    lines = [line for line in found.log.read_text().splitlines() if "gpu-change" in line]
    assert "profile baseline (power limit 450 W, core clock at most 2700 MHz" in lines[0]
    assert f"to=baseline outcome=in force by=uid {os.geteuid()}, pid {os.getpid()}" in lines[0]
    assert "to=stock outcome=in force" in lines[-1]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be somebody else")
@pytest.mark.parametrize(("groups", "allowed"), [([], False), ([1], True)])
def test_who_may_ask_is_the_kernels_word(helper, groups, allowed):
    found = helper(start=False)
    found.group = grp.getgrgid(1).gr_name
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o711)
        found.socket = Path(folder) / "gpu.sock"
        found.start()
        assert found.socket.stat().st_mode & 0o777 == 0o660
        found.socket.chmod(0o666)  # so that the second lock is tried, not the first
        script = (
            "import os, socket, sys\n"
            f"os.setgroups({groups}); os.setgid(65534); os.setuid(65534)\n"
            "s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])\n"
            # Whoever is refused may hear so before the question is out.
            f'''q = b'{{"do": "apply", "card": "{CARD}", "profile": "baseline"}}\\n'\n'''
            "try:\n    s.sendall(q)\nexcept OSError:\n    pass\n"
            "print(s.recv(4096).decode())\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", script, str(found.socket)], capture_output=True, text=True
        )
        found.stop()
    assert done.returncode == 0, done.stderr
    assert ("gpu-permission" in done.stdout) is not allowed
    assert (found.simulated.get("setters", None) > 0) is allowed


def test_which_profile_is_in_force_can_be_read_by_what_starts_an_engine(helper, tmp_path):
    found = helper(start=False)
    run = tmp_path / "run"
    run.mkdir()
    found.more_environ["RUNTIME_DIRECTORY"] = str(run)
    found.start()
    found.ask(wire.Apply(card=CARD, profile="baseline"))
    assert (run / CARD).read_text() == "baseline\n"
    assert (run / CARD).stat().st_mode & 0o777 == 0o644
    found.ask(wire.Reset(card=CARD))
    assert not (run / CARD).exists()


def test_settings_that_others_can_write_are_refused(helper):
    found = helper(start=False)
    found.config.chmod(0o666)
    found.start(ready=False)
    assert found.process.wait(10) == 1
    assert "could then set clocks as root" in found.log.read_text()


def test_settings_in_a_folder_that_others_can_write_are_refused(helper):
    found = helper(start=False)
    folder = found.config.parent / "loose"
    folder.mkdir()
    found.config = found.config.rename(folder / "zoetrope.toml")
    folder.chmod(0o777)
    found.start(ready=False)
    assert found.process.wait(10) == 1
    assert f"{folder} can be changed by users other than root" in found.log.read_text()


def test_no_helper_is_said_with_what_to_do(tmp_path):
    from zoetrope.gpu.client import HelperDown, ask_once

    with pytest.raises(HelperDown, match=r"systemctl enable --now zoetrope-gpu\.socket"):
        ask_once(tmp_path / "none.sock", wire.StatusRequest())
    dead = tmp_path / "dead.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(dead))
    with pytest.raises(HelperDown, match="does not respond"):
        ask_once(dead, wire.StatusRequest())
