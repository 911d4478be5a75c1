import json
import time

from zoetrope.errors import Reason
from zoetrope.inbox.intake import Held
from zoetrope.jobs.job import State


def test_the_service_is_shown_on_one_screen(service, run):
    service.parts.conductor.lanes[0].since = time.time() - 7200
    service.parts.watcher.status.unreadable = ("secret.png",)
    reason = Reason("recipe", "The recipe is broken.", "Mend it.")
    service.parts.intake.status.held = (Held("held.png", reason),)
    review, queued = service.add(State.REVIEW), service.add(State.QUEUED)
    service.add(State.DONE)
    result = run("status")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].startswith("zoetrope 0.")
    assert lines[1] == "1 waiting, 1 to review; engine comfyui is up"
    assert "engine comfyui at http://127.0.0.1:8188: up for 2.0 h (RTX 5080" in result.stdout
    assert "cannot be read: secret.png" in result.stdout
    assert "held.png waits: The recipe is broken. Mend it." in result.stdout
    assert lines[-2].startswith(review.short)
    assert lines[-2].endswith(f"zoetrope approve {review.short}")
    assert lines[-1].startswith(queued.short)
    assert lines[-1].endswith("i2v next")


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
