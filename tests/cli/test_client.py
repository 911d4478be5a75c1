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
    clock = [0.0]

    class Time:
        monotonic = staticmethod(lambda: clock[0])

        @staticmethod
        def sleep(seconds):
            clock[0] += seconds

    hello = b"HTTP/1.1 200 OK\r\n\r\nid: id-%d\nevent: hello\ndata: {}\n\n"
    asked = []
    # Twice nothing answers while the service is restarted.
    url, thread = answering(hello % 1, b"", b"", hello % 4, asked=asked)
    monkeypatch.setattr(client, "time", Time)
    events = Client(url).events(give_up=300.0)
    assert next(events).kind == "hello"
    clock[0] += 3600.0  # nothing to tell for an hour
    assert next(events).kind == "hello"
    events.close()
    thread.join()
    resumed = [request.partition(b"Last-Event-ID: ")[2].split(b"\r\n")[0] for request in asked]
    assert resumed == [b"", b"id-1", b"id-1", b"id-1"]


def answering(*contents, asked=None):
    """Serve one connection after the other with fixed bytes; gives the address."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve():
        with server:
            for content in contents:
                with server.accept()[0] as connection:
                    request = connection.recv(65536)
                    if asked is not None:
                        asked.append(request)
                    connection.sendall(content)

    thread = threading.Thread(target=serve, daemon=True)
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


@pytest.mark.parametrize("content", [b"<html>", b'{"a": "\xe9"}', b"[" * 100_000])
def test_an_answer_that_is_no_json_is_of_no_zoetrope(content):
    with pytest.raises(ServiceDown, match="not one of a zoetrope service"):
        client.decode(content, object)


def test_a_host_that_nobody_knows_is_said(run, monkeypatch):
    def unknown(*_, **__):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    result = run("status", "--url", "http://nobody.invalid:1")
    assert result.exit_code == 1
    assert "is unknown" in result.stderr
