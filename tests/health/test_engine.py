from tests.web.fakes import WorkerStatus
from zoetrope.errors import Reason
from zoetrope.health.checks.engine import EngineCheck
from zoetrope.jobs.engine_watch import unknown


async def test_an_engine_that_answers_is_ok_and_named(parts):
    verdict = await EngineCheck(parts).look()
    assert verdict.level == "ok"
    assert verdict.found == "comfyui is up: ComfyUI 0.27.1 on RTX 5080"


async def test_prompts_of_other_clients_are_counted(parts):
    for others, words in ((1, "1 prompt of other clients"), (2, "2 prompts of other clients")):
        parts.conductor.workers = [WorkerStatus(others=others)]
        verdict = await EngineCheck(parts).look()
        assert verdict.level == "ok"
        assert verdict.found == f"comfyui is up: ComfyUI 0.27.1 on RTX 5080, with {words}"


async def test_no_engine_that_answers_is_failing_with_what_to_do(parts):
    parts.conductor.workers = [
        WorkerStatus(up=False, since=100.0, reason=Reason("engine-down", "Connection refused."))
    ]
    verdict = await EngineCheck(parts, now=lambda: 400.0).look()
    assert verdict.level == "failing"
    assert "is down for 5 min: Connection refused." in verdict.found
    assert "http://127.0.0.1:8188/system_stats" in verdict.next_step


async def test_one_of_two_engines_down_is_degraded(parts):
    parts.conductor.workers = [
        WorkerStatus(name="a"),
        WorkerStatus(name="b", up=False, reason=Reason("engine-down", "Gone.", "Start b.")),
    ]
    verdict = await EngineCheck(parts).look()
    assert verdict.level == "degraded"
    assert verdict.next_step == "Start b."
    assert verdict.found.startswith("b at")


async def test_before_the_service_is_started_no_engine_is_blamed(parts):
    parts.conductor = None
    verdict = await EngineCheck(parts).look()
    assert verdict.level == "degraded"
    assert "ledger" in verdict.next_step


async def test_an_engine_that_was_not_asked_yet_is_not_said_to_be_down(parts):
    parts.conductor.workers = [WorkerStatus(up=False, reason=unknown("comfyui"))]
    verdict = await EngineCheck(parts).look()
    assert verdict.level == "failing", "the service is not ready yet"
    assert verdict.found == "comfyui was not checked yet."
    assert "systemctl" not in verdict.next_step
