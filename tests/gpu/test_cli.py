"""`zoetrope gpu` as a person runs it, over simulated cards and a real helper."""

import json
import os
import subprocess
import sys

import pytest

from tests.fakes.nvml.simulated import uid

pytestmark = pytest.mark.system("gcc")

STOCK = (0, 0, 575)
BASELINE = (2700, 300, 450)


@pytest.fixture
def run(helper):
    """Run a command on a host with these cards."""

    class Terminal:
        def __init__(self, *cards, **options):
            self.helper = helper(*cards, **options)
            text = self.helper.config.read_text()
            text = text.replace("[gpu]\n", f"[gpu]\nhelper_socket = '{self.helper.socket}'\n")
            self.helper.config.write_text(text)

        def __call__(self, *words):
            return subprocess.run(
                [sys.executable, "-m", "zoetrope", "gpu", *words, "--config", self.helper.config],
                env={**os.environ, **self.helper.simulated.environ},
                capture_output=True,
                text=True,
            )

    return Terminal


def test_status_shows_a_card_at_one_glance(run):
    zoetrope = run("RTX 5090")
    zoetrope.helper.simulated.set(
        load=1.0, reasons=0x40, vram_used=28e9, user_pid=os.getpid(), user_vram=27e9
    )
    zoetrope("apply", "baseline")
    done = zoetrope("status")
    assert done.returncode == 0, done.stderr
    for words in (
        f"RTX 5090  {uid(0)}  (driver 580.95.05)",
        "core 2700 MHz (at most 2700 by profile baseline), offset +300 MHz",
        "of 450 W (stock 575 W)",
        "64 °C, thermal throttling",
        "by heat (hardware)",
        "26.1 of 32.0 GiB, busy 100 %",
        f"(pid {os.getpid()}, 25.1 GiB)",
        "baseline (set by the user, unproven)",
    ):
        assert words in done.stdout


def test_status_as_json_holds_card_reading_users_and_state(run):
    zoetrope = run("RTX 5090", "RTX 3090")
    rows = json.loads(zoetrope("status", "--json").stdout)
    assert [row["card"]["uuid"] for row in rows] == [uid(0), uid(1)]
    assert {"card", "reading", "users", "state"} == rows[0].keys()


def test_status_without_a_helper_shows_what_is_there_and_says_so(run):
    zoetrope = run("RTX 5090", start=False)
    done = zoetrope("status")
    assert done.returncode == 0
    assert "RTX 5090" in done.stdout
    assert "systemctl enable --now zoetrope-gpu.socket" in done.stdout


def test_profiles_show_what_a_card_allows_and_what_does_not_fit(run):
    done = run("RTX 3090")("profiles")
    for words in (
        "core clock   210 to 2100 MHz",
        "power limit  100 to 366 W, 350 W by default",
        "baseline (working): does not fit: power_limit_w 450 is outside",
        "quiet (idle): core clock at most 1200 MHz",
    ):
        assert words in done.stdout


def test_a_dry_run_prints_the_plan_and_touches_nothing(run):
    zoetrope = run("RTX 5090", start=False)
    done = zoetrope("apply", "baseline", "--dry-run")
    assert done.returncode == 0
    assert done.stdout.splitlines()[1:] == [
        "  power limit 450 W",
        "  core clock at most 2700 MHz",
        "  core offset +300 MHz",
    ]
    assert zoetrope.helper.simulated.get("setters", None) == 0


def test_apply_and_reset_do_what_they_say(run):
    zoetrope = run("RTX 5090")
    assert "profile baseline" in zoetrope("apply", "baseline").stdout
    assert zoetrope.helper.simulated.tuning() == BASELINE
    assert "stock" in zoetrope("reset").stdout
    assert zoetrope.helper.simulated.tuning() == STOCK
    assert "stock now; profile baseline while jobs run" in zoetrope("apply").stdout
    (state,) = json.loads(zoetrope("apply", "bold", "--json").stdout)
    assert state["in_force"] == "bold"


def test_root_enables_profiles_whose_record_was_not_readable(run):
    zoetrope = run("RTX 5090", start=False)
    zoetrope.helper.state.mkdir()
    (zoetrope.helper.state / "book.json").write_text("{")
    zoetrope.helper.start()
    refused = zoetrope("apply", "baseline")
    assert refused.returncode == 1
    assert "run as root: zoetrope gpu enable" in refused.stderr
    shown = zoetrope("status").stdout
    assert "disabled" in shown
    assert "zoetrope gpu enable" in shown
    assert "zoetrope gpu apply" not in zoetrope("profiles").stdout
    enabled = zoetrope("enable")
    assert enabled.returncode == 0, enabled.stderr
    assert "stock now; profile baseline while jobs run" in enabled.stdout
    assert zoetrope("apply", "baseline").returncode == 0
    assert zoetrope.helper.simulated.tuning() == BASELINE


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("apply", "basline"), "did you mean `baseline`?"),
        (("apply", "--gpu", "*4090*"), "No GPU matches '*4090*'. There are: RTX 5090"),
        (("reset", "--card", "GPU-x"), "No GPU matches 'GPU-x'"),
    ],
)
def test_mistakes_are_one_line_that_says_what_to_do(run, words, said):
    done = run("RTX 5090")(*words)
    assert done.returncode == 1
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_gpu_goes_by_its_earlier_flag_too_which_no_help_lists(run):
    zoetrope = run("RTX 5090")
    assert "RTX 5090" in zoetrope("apply", "baseline", "--dry-run", "--card", "*5090*").stdout
    shown = zoetrope("reset", "--help").stdout
    assert "--gpu GPU" in shown
    assert "--card" not in shown


def on_a_host_without_a_gpu(*words):
    return subprocess.run(
        [sys.executable, "-m", "zoetrope", "gpu", *words],
        env={**os.environ, "ZOETROPE_CONFIG": os.devnull},
        capture_output=True,
        text=True,
    )


def test_a_host_without_a_gpu_is_a_normal_state():
    done = on_a_host_without_a_gpu("status")
    assert done.returncode == 0, done.stderr
    assert "zoetrope:" not in done.stderr


@pytest.mark.skipif(bool(os.environ.get("ZOETROPE_GPU")), reason="this host has a GPU")
def test_where_no_gpu_is_found_none_is_reset():
    done = on_a_host_without_a_gpu("reset")
    assert done.returncode == 1
    assert done.stderr.startswith("zoetrope: No NVIDIA GPU found on this host. Check that")
