"""Files fetched from a server that is nasty: what comes is whole, or it is asked for again."""

import asyncio
import contextlib
import hashlib
import socket

import pytest

from zoetrope.engine.comfyui import ComfyEngine, download, transport
from zoetrope.engine.protocol import Output
from zoetrope.errors import EngineDown, NotGiven, OutputVanished, Oversized
from zoetrope.settings import EngineSettings

VIDEO = b"\x00\x00\x00\x18ftypmp42" + bytes(range(256)) * 40
OUTPUT = Output("17", "clip_00001_.mp4", "zoetrope")
MOST = 1 << 20


def answer(body=VIDEO, *, status="200 OK", **headers) -> bytes:
    headers = {"Content_Type": "video/mp4", "Content_Length": len(body), **headers}
    lines = [f"{k.replace('_', '-')}: {v}" for k, v in headers.items() if v is not None]
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode() + body


def chunks(*parts: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)


class Nasty:
    """Says these bytes to whoever asks, and hangs up; a number among them is a pause in seconds."""

    def __init__(self, *parts: bytes | float) -> None:
        self.parts = parts
        self.asked: list[bytes] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.add(asyncio.current_task())
        try:
            await self._speak(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _speak(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked.append(await reader.readuntil(b"\r\n\r\n"))
        if b"/view" in self.asked[-1]:
            for part in self.parts:
                if isinstance(part, float):
                    await asyncio.sleep(part)
                else:
                    writer.write(part)
                    await writer.drain()

    @contextlib.asynccontextmanager
    async def client(self):
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        client = ComfyEngine(EngineSettings(name="e", url=f"http://127.0.0.1:{port}"), "ours")
        await client.start()
        try:
            yield client
        finally:
            await client.close()
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await server.wait_closed()


async def fetched(to, *parts, most=MOST):
    nasty = Nasty(*parts)
    async with nasty.client() as client:
        return await client.fetch(OUTPUT, to, most)


def left(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    "parts",
    {
        "as ComfyUI does": [answer()],
        "in pieces": [answer()[:100], 0.01, answer()[100:]],
        "chunked": [
            answer(
                chunks(VIDEO[:5], VIDEO[5:], b""), Content_Length=None, Transfer_Encoding="chunked"
            )
        ],
        "until the end of the connection": [answer(Content_Length=None, Connection="close")],
        "without a type": [answer(Content_Type=None)],
        "with more headers": [answer(ETag="x", Accept_Ranges="bytes", Content_Encoding="identity")],
        "and more behind it": [answer() + b"HTTP/1.1 200 OK\r\n\r\n"],
    }.items(),
    ids=lambda item: item[0],
)
async def test_a_whole_file_is_taken_however_it_comes(tmp_path, parts):
    artefact = await fetched(tmp_path / "clip.mp4", *parts[1])
    assert (artefact.file, artefact.size) == ("clip.mp4", len(VIDEO))
    assert artefact.sha256 == hashlib.sha256(VIDEO).hexdigest()
    assert (tmp_path / "clip.mp4").read_bytes() == VIDEO
    assert left(tmp_path) == ["clip.mp4"]


PAGE = b"<html><title>Please log in</title></html>"
NOT_GIVEN = {
    "a length that is more than comes": [answer(Content_Length=len(VIDEO) + 1)],
    "a length and nothing": [answer(b"", Content_Length=100)],
    "chunks that break off": [
        answer(chunks(VIDEO), Content_Length=None, Transfer_Encoding="chunked")
    ],
    "half a chunk": [answer(b"ffff\r\n" + VIDEO, Content_Length=None, Transfer_Encoding="chunked")],
    "a chunk of no size": [
        answer(b"xyz\r\n" + VIDEO, Content_Length=None, Transfer_Encoding="chunked")
    ],
    "two lengths": [answer(content_length=5)],
    "a part of it": [answer(status="206 Partial Content", Content_Range="bytes 0-9/100")],
    "not modified": [answer(b"", status="304 Not Modified")],
    "no content": [answer(b"", status="204 No Content", Content_Length=None)],
    "another place": [answer(b"", status="302 Found", Location="/view?filename=x")],
    "a proxy's page": [answer(PAGE, Content_Type="text/html; charset=utf-8")],
    "a proxy's page of what is not found": [
        answer(PAGE, status="404 Not Found", Content_Type="text/html")
    ],
    "a proxy without an engine": [answer(PAGE, status="502 Bad Gateway")],
    "compressed, which nobody asked for": [answer(Content_Encoding="gzip")],
    "no HTTP": [b"SSH-2.0-OpenSSH_9.2\r\n"],
    "nothing": [],
    "half a header": [answer()[:30]],
    "an endless header": [b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000],
}


@pytest.mark.parametrize("how", NOT_GIVEN)
async def test_what_is_not_the_file_is_asked_for_again_and_leaves_nothing(tmp_path, how):
    with pytest.raises(NotGiven) as caught:
        await fetched(tmp_path / "clip.mp4", *NOT_GIVEN[how])
    assert "zoetrope/clip_00001_.mp4" in caught.value.reason.sentence
    assert caught.value.reason.next_step
    assert left(tmp_path) == []


async def test_nobody_is_followed_elsewhere(tmp_path):
    other = Nasty(answer())
    async with other.client() as there:
        moved = answer(b"", status="307 Temporary Redirect", Location=f"{there.url}/view")
        with pytest.raises(NotGiven, match="307"):
            await fetched(tmp_path / "clip.mp4", moved)
        assert not [line for line in other.asked if b"/view" in line]


@pytest.mark.parametrize("status", ["400 Bad Request", "403 Forbidden", "404 Not Found"])
async def test_what_the_engine_itself_does_not_have_has_vanished(tmp_path, status):
    with pytest.raises(OutputVanished):
        await fetched(tmp_path / "clip.mp4", answer(b"", status=status, Content_Type=None))
    with pytest.raises(OutputVanished, match="empty"):
        await fetched(tmp_path / "clip.mp4", answer(b""))
    assert left(tmp_path) == []


@pytest.mark.parametrize(
    "parts",
    [
        [answer(Content_Length=10**12)],
        [answer(Content_Length=10**18)],
        [answer(VIDEO * 20)],
        [answer(VIDEO * 20, Content_Length=None, Connection="close")],
        [answer(chunks(*[VIDEO] * 20), Content_Length=None, Transfer_Encoding="chunked")],
    ],
)
async def test_a_file_that_the_plan_cannot_have_made_is_not_taken(tmp_path, parts):
    with pytest.raises(Oversized, match="planned size") as caught:
        await fetched(tmp_path / "clip.mp4", *parts, most=100_000)
    assert caught.value.reason.next_step
    assert left(tmp_path) == []


@pytest.mark.parametrize("when", ["header", "body"])
async def test_a_byte_now_and_then_comes_to_an_end(tmp_path, monkeypatch, when):
    monkeypatch.setattr(transport, "GRACE_SECONDS", 0.3)
    whole = answer()
    slow = [part for byte in whole[:1000] for part in (bytes([byte]), 0.02)]
    if when == "body":
        head = whole.index(b"\r\n\r\n") + 4
        slow = [whole[:head], *slow]
    async with asyncio.timeout(45):
        with pytest.raises(NotGiven, match="too slow"):
            await fetched(tmp_path / "clip.mp4", *slow)
    assert left(tmp_path) == []


def test_the_time_allowed_grows_with_what_has_come():
    assert download.deadline(0) == 60
    assert download.deadline(1) < 61
    assert download.deadline(32 << 20) == 60 + 1024


async def test_an_engine_that_is_not_there_is_down(tmp_path, unused_port):
    client = ComfyEngine(EngineSettings(name="e", url=f"http://127.0.0.1:{unused_port}"), "ours")
    await client.start()
    try:
        with pytest.raises(EngineDown):
            await client.fetch(OUTPUT, tmp_path / "clip.mp4", MOST)
    finally:
        await client.close()


@pytest.fixture
def unused_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("a.mp4", ".mp4"),
        ("a.b.MKV", ".mkv"),
        ("a", ""),
        ("a.", ""),
        (".mp4", ""),
        ("a.m p", ""),
        ("a.\u0661", ""),
        ("a." + "x" * 300, ""),
        ("a.x/y", ""),
    ],
)
def test_only_an_ordinary_suffix_is_taken_over(name, suffix):
    assert Output("1", name).suffix == suffix
