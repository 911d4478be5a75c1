import json
import time
from types import SimpleNamespace

from zoetrope.domain.job import State
from zoetrope.errors import Reason
from zoetrope.gpu.card import Card, Sample
from zoetrope.gpu.tuner import Tuner
from zoetrope.gpu.watch import Watch
from zoetrope.gpu.wire import CardState
from zoetrope.inbox.status import Held
from zoetrope.jobs.keep import Due, KeepStatus, KeptKind, Sum


def test_the_service_is_shown_on_one_screen(service, run):
    service.parts.conductor.workers[0].since = time.time() - 7200
    service.parts.watcher.status.unreadable = ("secret.png",)
    reason = Reason("recipe", "The recipe is broken.", "Fix it.")
    service.parts.intake.status.held = (Held("held.png", reason),)
    review, queued = service.add(State.REVIEW), service.add(State.QUEUED)
    service.add(State.DONE)
    result = run("status")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].startswith("zoetrope 0.")
    assert lines[1] == "1 queued, 1 to review; engine comfyui is up"
    assert "engine comfyui at http://127.0.0.1:8188: up for 2.0 h (RTX 5080" in result.stdout
    assert "cannot be read: secret.png" in result.stdout
    assert "held.png waits: The recipe is broken. Fix it." in result.stdout
    assert lines[-2].startswith(review.short)
    assert lines[-2].endswith(f"zoetrope approve {review.short}")
    assert lines[-1].startswith(queued.short)
    assert lines[-1].endswith("i2v next")


def test_what_is_not_named_is_counted(service, run):
    reason = Reason("recipe", "The recipe is broken.", "Fix it.")
    service.parts.intake.status.held = tuple(Held(f"{n}.png", reason) for n in range(25))
    service.parts.watcher.status.unreadable = tuple(f"{n}.png" for n in range(21))
    lines = run("status").stdout.splitlines()
    assert "  5 more wait" in lines
    assert "  1 more cannot be read" in lines
    assert sum(line.endswith("Fix it.") for line in lines) == 20


def test_every_card_has_its_line(service, run):
    watch = Watch()
    watch.cards = tuple(
        Card(uuid=f"GPU-{n}", index=n, name=f"NVIDIA GeForce RTX {n}", bus="", driver="580")
        for n in (5080, 5090, 3090)
    )
    watch.latest["GPU-5090"] = Sample(
        uuid="GPU-5090", taken=1.0, core_mhz=2700, power_watts=410.0, limit_watts=450.0, celsius=64,
        vram_used=22 << 30, vram_total=32 << 30, reasons=("power limit",),
    )  # fmt: skip
    watch.lost["GPU-3090"] = Reason("gpu-lost", "It fell off the bus.", "Restart the host.")
    settings = service.parts.settings
    service.parts.tuner = Tuner(settings.gpu, settings.engines, watch)
    state = CardState(uuid="GPU-5090", name="", in_force="baseline")
    service.parts.tuner.states = {"GPU-5090": state}
    shown = run("status").stdout
    assert "GPU RTX 5080: no values yet" in shown
    assert (
        "GPU RTX 5090: 64 °C, 2700 MHz, 410 W of 450 W, 22.0 of 32.0 GiB, profile baseline,"
        " limited by power limit" in shown
    )
    assert "GPU RTX 3090: It fell off the bus. Restart the host." in shown


def test_what_is_kept_of_ended_work_and_what_goes_next_has_its_line(service, run):
    assert "retention" not in run("status").stdout
    service.parts.keeper = SimpleNamespace(
        status=KeepStatus(
            kept=(Sum(kind=KeptKind.WORK, count=12, bytes=31_200_000_000),),
            next=Due(
                kind=KeptKind.WORK, name="1f3a9c2e" * 4, bytes=2_100_000_000, at=1_800_000_000.0
            ),
            looked=1_790_000_000.0,
            problems=(Reason("disk-error", "The disk reports an error.", "Look at it."),),
        )
    )
    shown = run("status").stdout
    # Things come between two looks: a number is that of its hour.
    when = time.strftime("%H:%M", time.localtime(1_790_000_000.0))
    assert (
        f"retention: the work of 12 ended jobs (31.2 GB), counted at {when};"
        " the work of job 1f3a9c2e will be removed on 2027-01-1" in shown
    )
    assert "retention waits: The disk reports an error. Look at it." in shown
    keep = json.loads(run("status", "--json").stdout)["keep"]
    assert keep["kept"] == [{"kind": "work", "count": 12, "bytes": 31_200_000_000}]


def test_a_service_that_is_well_says_nothing_of_its_health(service, run):
    assert "health" not in run("status").stdout


def test_what_is_not_well_is_named_with_the_command_that_says_more(service, run):
    service.parts.watcher.status.unreadable = ("secret.png",)
    assert "health degraded: inbox; see `zoetrope health`" in run("status").stdout


def test_a_service_without_a_ledger_says_why(service, run):
    service.parts.ledger = service.parts.conductor = None
    service.parts.problem = Reason("ledger", "ledger.db is damaged.", "Restore a backup.")
    result = run("status")
    assert result.exit_code == 0
    assert "ledger.db is damaged. Restore a backup." in result.stdout


def test_the_status_as_json(service, run):
    assert json.loads(run("status", "--json").stdout)["engines"][0]["up"] is True


def test_watching_needs_a_terminal(service, run):
    result = run("status", "--watch")
    assert result.exit_code == 2
    assert "needs a terminal" in result.stderr


def test_what_failed_or_was_rejected_of_late_is_shown_with_its_reason(service, run):
    why = Reason("node", "The stage i2v failed in SaveVideo: odd.", "Look at the engine's log.")
    now = time.time()
    old = service.add(State.FAILED, reason=why, updated=now - 90_000)
    assert "24 hours" not in run("status").stdout
    found = [service.add(State.REJECTED, reason=why, updated=now - 100 * n) for n in range(5)]
    failed = service.add(State.FAILED, reason=why, updated=now - 3600)
    lines = run("status").stdout.splitlines()
    assert lines[-5] == (
        "In the last 24 hours 1 failed, 5 rejected (zoetrope jobs --state failed --state rejected)"
    )
    rows = lines[-3:]
    assert rows[0].split()[:2] == [found[0].short, "rejected"]
    assert all(row.endswith(str(why)) for row in rows)
    assert old.short not in "".join(lines)
    assert failed.short not in "".join(rows), "the newest three"


def test_what_is_rejected_at_the_door_hides_no_job_that_failed_a_minute_ago(service, run):
    why = Reason("node", "The stage i2v failed in SaveVideo: odd.", "Look at the engine's log.")
    now = time.time()
    failed = service.add(State.FAILED, reason=why, updated=now - 60)
    for n in range(101):
        service.add(State.REJECTED, updated=now - 3600 - n)
    lines = run("status").stdout.splitlines()
    assert lines[-5].startswith("In the last 24 hours 1 failed, 101 rejected (")
    assert lines[-3].split()[:2] == [failed.short, "failed"]
    shown = json.loads(run("status", "--json").stdout)["failures"]
    assert shown["counts"] == {"failed": 1, "rejected": 101}
    assert (shown["last"][0]["id"], len(shown["last"])) == (failed.id, 3)
