import json

import msgspec
import pytest

from zoetrope.engine.flag_request import Asked, FlagRequests
from zoetrope.settings import EngineSettings


@pytest.fixture
def asking(service, tmp_path):
    (tmp_path / "asked").mkdir()
    engines = (EngineSettings(name="gpu-0", flag_request=tmp_path / "asked/0.json"),)
    service.parts.settings = msgspec.structs.replace(service.parts.settings, engines=engines)
    service.parts.flag_requests = FlagRequests(engines, tmp_path / "requests")
    learned = Asked(by="fallback", words=("--cache-none",), reason="job 1a2b: the memory ran out")
    service.parts.flag_requests.ask("gpu-0", learned)
    return service.parts.flag_requests


def test_what_is_asked_for_is_shown_with_its_reason(asking, run):
    assert run("engine", "flags", "gpu-0").stdout == (
        "fallback: --cache-none (job 1a2b: the memory ran out)\n"
    )


def test_forgetting_says_what_is_forgotten_and_what_is_left_to_do(asking, run):
    result = run("engine", "forget-flags", "gpu-0")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "Forgotten: --cache-none (job 1a2b: the memory ran out)",
        "No launch flag is asked for gpu-0.",
        "gpu-0 keeps the flags that it was started with until its next start: restart it.",
    ]
    assert asking.asked("gpu-0") == ()
    again = run("engine", "forget-flags", "gpu-0").stdout
    assert again.startswith("Nothing was learned for gpu-0.")
    found = json.loads(run("engine", "flags", "gpu-0", "--json").stdout)
    assert (found["engine"], found["asked"]) == ("gpu-0", [])


def test_an_engine_that_is_not_there_is_said(asking, run):
    result = run("engine", "forget-flags", "gpu/1")
    assert result.exit_code == 1
    assert "gpu-0" in result.stderr
