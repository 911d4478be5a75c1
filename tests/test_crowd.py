"""The real service while many connect to it and say nothing."""

import contextlib
import io
import socket
import time
import urllib.error
import urllib.request

import pytest
from PIL import Image

from tests.fakes.running import videos
from tests.fakes.service import EngineProcess, ServiceProcess
from zoetrope.web.connections import share

FILES = 256
CROWD = 500  # more than the service may have descriptors in all
PATIENCE = 120.0


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
        videos(service)
    told = service.log.read_text()
    assert "Traceback" not in told
    assert len(told.splitlines()) < 60


def stream(service: ServiceProcess) -> tuple[socket.socket, bytes]:
    """Ask for the event stream; gives the connection and the beginning of the answer."""
    each = socket.create_connection(("127.0.0.1", service.port), PATIENCE)
    each.sendall(b"GET /api/v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    return each, each.recv(12)


def test_event_streams_of_one_user_leave_enough_for_jobs_and_come_to_their_bound(service):
    service.get("/api/v1/status")
    most = share(FILES).of_one
    with contextlib.ExitStack() as stack:
        began = []
        for _ in range(2 * most):
            each, answer = stream(service)
            stack.callback(each.close)
            began.append(answer)
        assert began == [b"HTTP/1.1 200"] * most + [b"HTTP/1.1 503"] * most
        (service.inbox / "cat.png").write_bytes(picture())
        deadline = time.monotonic() + PATIENCE
        while not service.done():
            assert time.monotonic() < deadline, "there is no video"
            time.sleep(0.05)
    deadline = time.monotonic() + PATIENCE
    answer = b""
    while answer != b"HTTP/1.1 200":
        assert time.monotonic() < deadline, "who has left is still counted"
        each, answer = stream(service)
        each.close()
    assert "Traceback" not in service.log.read_text()
