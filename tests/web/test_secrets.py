"""What opens an engine is shown nowhere: at no address, on no command line, in no log, receipt or reason."""

import json
import subprocess
import sys
import urllib.error
import urllib.request

from tests.fakes.running import draw, until, videos
from tests.fakes.service import EngineProcess, ServiceProcess

SECRETS = (b"secretpw", b"secretq", b"secretuser")
# The stream of events has no end; it begins with what /api/v1/status and the list of jobs show.
ENDLESS = "/api/v1/events"


def fetch(url):
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.read()


def addresses(service):
    """Give every address of the description, with the ids and names that there are."""
    described = service.get("/api/v1/openapi.json")["paths"]
    jobs = service.get("/api/v1/jobs")["jobs"]
    for path, methods in described.items():
        if "get" not in methods or path == ENDLESS:
            continue
        if "{id}" not in path:
            yield path.replace("{name}", "tiny")
            continue
        for job in jobs:
            for name in ("receipt.json", "source.png", "poster.jpg"):
                yield path.replace("{id}", job["id"]).replace("{name}", name)
    yield from ("/", "/readyz?format=text", "/page/main.js")


def stream(service):
    """Read the beginning of the event stream."""
    with urllib.request.urlopen(f"{service.url}{ENDLESS}", timeout=60) as answer:
        return b"".join(answer.readline() for _ in range(6))


def run(service, *words):
    done = subprocess.run(
        [sys.executable, "-m", "zoetrope", "--url", service.url, *words],
        capture_output=True,
        check=False,
        timeout=60,
    )
    return done.stdout + done.stderr


def test_what_opens_an_engine_is_shown_nowhere(tmp_path):
    engine = EngineProcess(tmp_path / "engine")
    at = f"http://secretuser:secretpw@127.0.0.1:{engine.port}/?token=secretq"
    service = ServiceProcess(tmp_path, at)
    seen = {}
    engine.start()
    try:
        service.start()
        draw(service.inbox / "cat.png")
        videos(service)
        fault = json.dumps({"kind": "refuse", "times": 0}).encode()
        urllib.request.urlopen(f"{engine.url}/simulated/faults", fault).close()
        draw(service.inbox / "dog.png")
        until(lambda: list(service.inbox.glob("rejected/*.why.txt")), "the reason of a failure")
        engine.stop()
        draw(service.inbox / "owl.png")
        until(
            lambda: not service.get("/api/v1/engines")["engines"][0]["up"],
            "the engine to be missed",
        )
        until(lambda: len(service.get("/api/v1/jobs")["jobs"]) == 3, "the job that waits")
        paths = list(addresses(service))
        assert len(paths) > 25
        seen |= {path: fetch(f"{service.url}{path}") for path in paths}
        seen[ENDLESS] = stream(service)
        for words in (["status"], ["status", "--json"], ["health"], ["health", "--json"], ["jobs"]):
            seen[" ".join(words)] = run(service, *words)
        check = [sys.executable, "-m", "zoetrope", "serve", "--check", str(service.config)]
        seen["--check"] = subprocess.run(check, capture_output=True, check=True).stdout
        service.config.write_text(service.config.read_text().replace('url = "http:', 'url = "ftp:'))
        wrong = subprocess.run(check, capture_output=True, check=False)
        assert wrong.returncode == 1
        seen["--check of a wrong one"] = wrong.stdout + wrong.stderr
    finally:
        service.stop()
        engine.stop()
    seen |= {
        str(file): file.read_bytes()
        for folder in (service.inbox, service.outbox, service.state)
        for file in folder.rglob("*")
        if file.is_file()
    }
    seen["the log"] = service.log.read_bytes()
    assert b"127.0.0.1" in seen["/readyz"], "it is named, without what opens it"
    assert [name for name, text in seen.items() if any(each in text for each in SECRETS)] == []
