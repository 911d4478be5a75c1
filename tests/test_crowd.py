"""The real service while many connect to it and say nothing."""

import contextlib
import io
import socket
import time
import urllib.error
import urllib.request

import pytest
from PIL import Image

from tests.fakes.service import EngineProcess, ServiceProcess

FILES = 256
CROWD = 500  # more than the service may have descriptors in all
PATIENCE = 60.0


@pytest.fixture
def service(tmp_path):
    engine = EngineProcess(tmp_path / "engine")
    engine.start()
    service = ServiceProcess(tmp_path, engine.url)
    service.start(files=FILES)
    yield service
    service.stop()
    engine.stop()


@contextlib.contextmanager
def silent(service: ServiceProcess, number: int):
    """Keep so many connections open for as long as the service does, and say nothing on any of them."""
    with contextlib.ExitStack() as stack:
        for _ in range(number):
            each = stack.enter_context(contextlib.closing(socket.socket()))
            each.settimeout(PATIENCE)
            each.connect(("127.0.0.1", service.port))
        yield


def picture() -> bytes:
    file = io.BytesIO()
    Image.linear_gradient("L").resize((96, 64)).convert("RGB").save(file, "PNG")
    return file.getvalue()


def test_silent_connections_keep_nobody_from_working(service):
    service.get("/api/v1/status")
    with silent(service, CROWD):
        (service.inbox / "cat.png").write_bytes(picture())
        deadline = time.monotonic() + PATIENCE
        while not service.done():
            assert time.monotonic() < deadline, "there is no video"
            with urllib.request.urlopen(f"{service.url}/healthz", timeout=10) as answer:
                assert answer.status == 200
            time.sleep(0.05)
        (job,) = service.get("/api/v1/jobs")["jobs"]
        assert job["state"] == "done"
    told = service.log.read_text()
    assert "Traceback" not in told
    assert len(told.splitlines()) < 60
