"""The engine that the service brings along, over a reload and a restart of the service: neither is a crash of the engine."""

import json
import time
import urllib.error
import urllib.request

from tests.fakes.running import draw, states, until, videos
from tests.fakes.service import ServiceProcess


def engine_of(service):
    return until(
        lambda: (e := service.get("/api/v1/engines")["engines"][0])["up"] and e, "the engine"
    )


def slow(url):
    body = json.dumps({"kind": "slow", "seconds": 60, "times": 0}).encode()
    asked = urllib.request.Request(
        f"{url}/simulated/faults", body, {"Content-Type": "application/json"}
    )
    urllib.request.urlopen(asked).close()


def attempts(service):
    jobs = service.get("/api/v1/jobs")["jobs"]
    found = [service.get(f"/api/v1/jobs/{job['id']}") for job in jobs]
    return [len(stage["attempts"]) for job in found for stage in job["stages"]]


def test_neither_a_reload_nor_a_restart_of_the_service_costs_a_stage_a_try(tmp_path):
    service = ServiceProcess(tmp_path, "simulated:")
    service.start()
    try:
        url = engine_of(service)["url"]
        slow(url)
        draw(service.inbox / "cat.png")
        until(lambda: states(service) == ["running"], "the job to run")
        service.reload("settle_seconds = 0.2", "settle_seconds = 0.3")
        until(lambda: "changed: inbox.settle_seconds" in service.log.read_text(), "the reload")
        assert engine_of(service)["url"] == url
        with urllib.request.urlopen(f"{url}/queue") as answer:
            assert len(json.load(answer)["queue_running"]) == 1, "the stage goes on"
        # Its end is the service's doing: the next one is new and has never had the prompt.
        service.stop()
        service.start()
        videos(service)
        draw(service.inbox / "dog.png", colour=40)
        videos(service, 2)
        assert attempts(service) == [1] * 4
        assert "died while it worked" not in service.log.read_text()
        # Without it in the settings its process ends.
        url = engine_of(service)["url"]
        service.reload('url = "simulated:"', 'url = "http://127.0.0.1:9"')
        until(lambda: gone(url), "the end of the process")
    finally:
        service.stop()


def gone(url):
    try:
        urllib.request.urlopen(f"{url}/system_stats", timeout=5).close()
    except (urllib.error.URLError, ConnectionError):
        return True
    time.sleep(0.1)
    return False
