import socket
import threading

import pytest

from zoetrope import client
from zoetrope.client import Client, ServiceDown
from zoetrope.domain.job import State


def test_the_stream_is_taken_up_again_after_a_restart(service):
    lost = []
    port = service.url.rpartition(":")[2]
    events = Client(service.url).events(lost=lost.append)
    assert next(events).kind == "hello"
    service.stop()
    service.start(f"127.0.0.1:{port}")
    assert b"false" in next(events).data  # another life of the service: nothing is resumed
    assert next(events).kind == "resync"
    service.add(State.QUEUED)
    assert next(events).kind == "job"
    assert lost
    events.close()


def test_a_stream_that_stays_away_is_given_up():
    with pytest.raises(ServiceDown):
        next(Client("http://127.0.0.1:9").events(give_up=0.0))


def test_a_stream_that_was_quiet_for_long_survives_a_restart(monkeypatch):
    clock, streams = [0.0], []

    class Time:
        monotonic = staticmethod(lambda: clock[0])

        @staticmethod
        def sleep(seconds):
            clock[0] += seconds

    def stream(self, last_id):
        streams.append(last_id)
        if len(streams) in (2, 3):
            raise ServiceDown("No zoetrope answers.")
        yield client.StreamEvent("hello", b"{}"), f"id-{len(streams)}"
        clock[0] += 3600.0  # nothing to tell for an hour, and then the service is restarted
        raise ServiceDown("The stream broke.")

    monkeypatch.setattr(client, "time", Time)
    monkeypatch.setattr(Client, "_stream", stream)
    events = Client("http://127.0.0.1:9").events(give_up=300.0)
    assert [next(events).kind for _ in range(2)] == ["hello", "hello"]
    assert streams == ["", "id-1", "id-1", "id-1"]


def answering(content):
    """Serve one connection with fixed bytes; gives the address."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve():
        with server, server.accept()[0] as connection:
            connection.recv(65536)
            connection.sendall(content)

    thread = threading.Thread(target=serve)
    thread.start()
    return f"http://127.0.0.1:{server.getsockname()[1]}", thread


@pytest.mark.parametrize(
    "content",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"a": [}}',
    ],
)
def test_what_is_no_zoetrope_is_said_in_one_line(content, run):
    url, thread = answering(content)
    result = run("status", "--url", url)
    thread.join()
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1


def test_a_host_that_nobody_knows_is_said(run, monkeypatch):
    def unknown(*_, **__):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    result = run("status", "--url", "http://nobody.invalid:1")
    assert result.exit_code == 1
    assert "is not known" in result.stderr
