"""The launch flags that are asked for an engine, over HTTP."""

import msgspec
import pytest

from zoetrope.engine.flag_request import Asked, FlagRequests
from zoetrope.settings import EngineSettings, Restart

LEARNED = Asked(by="fallback", words=("--cache-none",), reason="job 1a2b: the memory ran out")
WORKED_OUT = Asked(by="budget", words=("--disable-pinned-memory",), reason="16 GiB")


@pytest.fixture
def asking(parts, tmp_path):
    """A service that asks for one learned flag, and for one that it worked out."""
    (tmp_path / "asked").mkdir()
    engines = (
        EngineSettings(
            name="gpu-0",
            flag_request=tmp_path / "asked/0.json",
            restart=Restart(unit="zoetrope-comfyui@0.service"),
        ),
        EngineSettings(name="far", url="http://far:1"),
    )
    parts.settings = msgspec.structs.replace(parts.settings, engines=engines)
    parts.flag_requests = FlagRequests(engines, tmp_path / "requests")
    parts.flag_requests.ask("gpu-0", LEARNED)
    parts.flag_requests.ask("gpu-0", WORKED_OUT)
    return parts


def plain(*asked):
    return msgspec.json.decode(msgspec.json.encode(asked))


async def test_what_was_learned_is_forgotten_and_what_is_worked_out_stays(client, asking, tmp_path):
    found = await (await client.get("/api/v1/engines/gpu-0/flags")).json()
    assert found["asked"] == plain(LEARNED, WORKED_OUT)
    found = await (await client.post("/api/v1/engines/gpu-0/forget-flags")).json()
    assert (found["forgotten"], found["asked"]) == (plain(LEARNED), plain(WORKED_OUT))
    assert "sudo systemctl restart zoetrope-comfyui@0.service" in found["next_step"]
    assert "--cache-none" not in (tmp_path / "asked/0.json").read_text()
    again = await (await client.post("/api/v1/engines/gpu-0/forget-flags")).json()
    assert (again["forgotten"], again["next_step"]) == ([], "")


@pytest.mark.parametrize("name", ["far", "unknown", "%2e%2e", "x%0ay"])
async def test_an_engine_that_cannot_be_asked_is_not_found(client, asking, name):
    answer = await client.post(f"/api/v1/engines/{name}/forget-flags")
    assert answer.status == 404
    found = await answer.json()
    if name in ("far", "unknown"):
        assert found["key"] == "engine-not-found"
        assert "gpu-0, far" in found["next_step"]


async def test_a_service_that_still_starts_says_so(client, parts):
    assert (await client.get("/api/v1/engines/gpu-0/flags")).status == 503
