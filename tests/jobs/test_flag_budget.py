import msgspec
import pytest

from zoetrope.engine.flag_request import Asked, FlagRequests
from zoetrope.errors import Reason
from zoetrope.graphs.shelf import Recipes, shipped
from zoetrope.jobs.flag_budget import FlagBudget, shortfall
from zoetrope.jobs.memory_budget import GIB, HostMemory
from zoetrope.settings import EngineSettings, ModelsSettings, Restart, Settings


@pytest.fixture
def make(tmp_path):
    """Make the budget of a host with so much memory, which remembers which units it was asked about."""
    (tmp_path / "run").mkdir()
    (tmp_path / "state").mkdir()
    # Not the pinned version, whose limit may be another one at any time.
    (tmp_path / "report.json").write_text('{"schema": 1, "comfyui": "0.30.2"}')
    asked = []

    def make(gigabytes, recipe="wan22-i2v-hero"):
        engines = (
            EngineSettings(
                name="gpu-0",
                restart=Restart(unit="zoetrope-comfyui@0.service"),
                flag_request=tmp_path / "run/0.json",
                report=tmp_path / "report.json",
            ),
            EngineSettings(name="far", url="http://far:1"),
        )
        settings = msgspec.structs.replace(
            Settings(), engines=engines, models=ModelsSettings(recipes=(recipe,))
        )

        def memory(unit):
            asked.append(unit)
            return HostMemory(total=int(gigabytes * GIB)) if gigabytes else None

        budget = FlagBudget(settings, Recipes((shipped(),)), memory=memory)
        requests = FlagRequests(engines, tmp_path / "state/requests")
        budget.ask(requests)
        return budget, [each.words for each in requests.asked("gpu-0")], requests

    make.asked = asked
    return make


def test_what_fits_is_asked_of_each_engine_that_can_be_asked_and_replaces_what_was(make):
    assert make(31.2)[1] == [("--cache-none",)]
    assert make(15.4)[1] == [("--cache-none",), ("--disable-pinned-memory",)]
    budget, words, requests = make(62.7)
    assert words == [("--cache-ram", "6", "6")]
    (asked,) = requests.asked("gpu-0")
    assert asked.by == "budget"
    assert "of model files" in asked.reason
    assert set(make.asked) == {"zoetrope-comfyui@0.service"}
    assert [each.name for each in budget.engines] == ["gpu-0"]


def test_a_remembered_fallback_stays_beside_it(make):
    _, _, requests = make(62.7)
    requests.ask("gpu-0", Asked(by="fallback", words=("--disable-pinned-memory",)))
    assert make(31.2)[1] == [("--disable-pinned-memory",), ("--cache-none",)]


def test_the_version_that_was_started_last_decides_what_is_pinned(make, tmp_path):
    (tmp_path / "report.json").write_text('{"schema": 1, "comfyui": "0.33.0", "memory": "24"}')
    assert make(31.2)[1] == [("--cache-ram",)]
    (tmp_path / "report.json").write_text('{"schema": 1, "comfyui": "0.30.2", "memory": "cpu"}')
    assert make(31.2)[1] == [("--cache-none",)]


def test_what_cannot_be_worked_out_asks_for_nothing_and_says_why(make, monkeypatch):
    budget, words, _ = make(0)
    assert words == []
    assert budget.of(budget.engines[0]).key == "memory-unknown"
    monkeypatch.setattr("zoetrope.jobs.stage_memory.catalogue", lambda _: {})
    found = make(64)[0]
    reason = found.of(found.engines[0])
    assert isinstance(reason, Reason)
    assert "diffusion_models/" in reason.sentence
    nothing, words, _ = make(64, "no-such-recipe")
    assert isinstance(nothing.of(nothing.engines[0]), Reason)
    assert words == []


def test_a_stage_that_cannot_fit_says_what_is_missing_and_what_helps(make):
    budget, words, _ = make(15.4, "seedvr2-rife-upscale")
    reason = shortfall(budget.of(budget.engines[0]))
    assert "seedvr2-rife-upscale, stage upscale" in reason.sentence
    assert "GiB are missing" in reason.sentence
    assert "smaller size or fewer frames" in reason.next_step
    assert words == [("--cache-none",), ("--disable-pinned-memory",)]


def test_another_version_that_was_started_since_is_asked_anew(make, tmp_path):
    """Its unit may have been changed and restarted without the service."""
    budget, words, requests = make(31.2)
    assert words == [("--cache-none",)]
    make.asked.clear()
    budget.ask(requests)
    assert make.asked == []
    (tmp_path / "report.json").write_text('{"schema": 1, "comfyui": "0.33.0", "memory": "24"}')
    budget.ask(requests)
    assert [each.words for each in requests.asked("gpu-0")] == [("--cache-ram",)]


def test_an_engine_that_could_not_be_asked_is_asked_again_and_that_is_said_once(
    make, tmp_path, caplog
):
    budget, _, requests = make(31.2)
    (tmp_path / "report.json").write_text('{"schema": 1, "comfyui": "0.33.0", "memory": "24"}')
    (tmp_path / "run").rename(tmp_path / "away")
    for _ in range(3):
        budget.ask(requests)
    assert [each.action for each in caplog.records] == ["flag-request-failed"]
    (tmp_path / "away").rename(tmp_path / "run")
    budget.ask(requests)
    assert "--cache-ram" in (tmp_path / "run/0.json").read_text()
