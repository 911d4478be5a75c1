"""The client against ComfyUI's habits, each met on a simulated engine or a server that misbehaves."""

import asyncio
import contextlib
import hashlib
import uuid

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.conftest import RECIPES
from zoetrope.engine.comfyui import ComfyEngine, transport
from zoetrope.engine.protocol import Absent, Finished, Output, Queued, Started, Step
from zoetrope.engine.simulated import Fault, SimulatedEngine
from zoetrope.errors import EngineDown, EngineRefused, OutputVanished, WrongAnswer
from zoetrope.graphs.catalog import PINNED
from zoetrope.graphs.graph import Node, put
from zoetrope.graphs.shelf import load
from zoetrope.settings import EngineSettings, Restart


@contextlib.asynccontextmanager
async def client_of(url: str, client_id: str = "ours", **settings):
    client = ComfyEngine(EngineSettings(name="e", url=url, **settings), client_id)
    await client.start()
    try:
        yield client
    finally:
        await client.close()


@pytest.fixture
async def engine(tmp_path):
    engine = SimulatedEngine(tmp_path / "comfy")
    await engine.start()
    yield engine
    await engine.stop()


@pytest.fixture
async def client(engine):
    async with client_of(engine.url, silence_seconds=0.2) as client:
        yield client


@pytest.fixture
def picture(tmp_path):
    from PIL import Image

    file = tmp_path / "Жук & co (1).png"
    Image.new("RGB", (64, 64), (200, 30, 40)).save(file)
    return file


@pytest.mark.parametrize("slow", ["reads", "answers"])
async def test_an_upload_that_goes_byte_by_byte_comes_to_an_end(tmp_path, monkeypatch, slow):
    monkeypatch.setattr(transport, "GRACE_SECONDS", 0.3)
    monkeypatch.setattr(transport, "LEAST_BYTES_PER_SECOND", 1e9)
    file = tmp_path / "cat.png"
    file.write_bytes(bytes(24 << 20 if slow == "reads" else 1))
    served: set[asyncio.Task[None]] = set()

    async def serve(reader, writer):
        served.add(asyncio.current_task())
        with (
            contextlib.suppress(ConnectionError, asyncio.CancelledError),
            contextlib.closing(writer),
        ):
            if b"/upload/image" not in await reader.readuntil(b"\r\n\r\n"):
                return
            writer.write(b"HTTP/1.1 200 OK\r\nX-Much: " if slow == "answers" else b"")
            while not reader.at_eof():
                await reader.read(1)
                writer.write(b"y" if slow == "answers" else b"")
                await asyncio.sleep(0.02)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        async with asyncio.timeout(45), client_of(f"http://127.0.0.1:{port}") as client:
            with pytest.raises(EngineDown, match="TimeoutError"):
                await client.upload(file, "0123456789abcdef.png")
    finally:
        server.close()
        for task in served:
            task.cancel()
        await asyncio.gather(*served, return_exceptions=True)
        await server.wait_closed()


async def image_graph(client, picture, prefix: str = "zoetrope/x") -> dict[str, Node]:
    name = await client.upload(picture, "0123456789abcdef.png")
    return {
        "image": Node("LoadImage", {"image": name}),
        "save": Node("SaveImage", {"images": ["image", 0], "filename_prefix": prefix}),
    }


async def video_graph(client, picture, prefix: str) -> dict[str, Node]:
    """A graph with samplers, which a `slow` fault can hold up."""
    graph = load(RECIPES / "tiny").graphs["i2v.json"]
    name = await client.upload(picture, "0123456789abcdef.png")
    return put(graph, {"image.image": name, "save.filename_prefix": prefix})


async def run(client, graph) -> Finished:
    prompt_id = str(uuid.uuid4())
    await client.submit(graph, prompt_id, tags={})
    *_, last = [event async for event in client.follow(prompt_id)]
    assert isinstance(last, Finished)
    return last


async def test_stats_say_what_the_engine_is(client):
    stats = await client.stats()
    assert (stats.version, stats.device, stats.simulated) == (PINNED, "simulated", True)
    assert stats.max_upload == 100 * 1024 * 1024


async def test_an_engine_without_a_list_of_features_takes_what_comfyui_takes():
    async def answer(_):
        return web.json_response({"system": {"comfyui_version": "0.3.10"}, "devices": []})

    async with server_that(system_stats=answer) as url, client_of(url) as client:
        stats = await client.stats()
    assert (stats.version, stats.max_upload) == ("0.3.10", 100 * 1024 * 1024)


async def test_the_catalogue_names_every_node_and_its_inputs(client):
    catalog = await client.catalog()
    sampler = catalog.get("KSamplerAdvanced")
    assert sampler is not None
    assert sampler.inputs["steps"].max == 10000
    assert catalog.comfyui == PINNED


async def test_a_file_goes_up_under_our_name_and_the_result_comes_back_whole(
    client, picture, tmp_path
):
    found = await run(client, await image_graph(client, picture))
    (output,) = found.outputs
    artefact = await client.fetch(output, tmp_path / "result.png")
    data = (tmp_path / "result.png").read_bytes()
    assert (artefact.size, artefact.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert not list(tmp_path.glob(".*.part"))


async def test_other_bytes_under_a_taken_name_get_another_name(client, picture, tmp_path):
    other = tmp_path / "other.png"
    other.write_bytes(picture.read_bytes() + b"tail")
    first = await client.upload(picture, "same.png")
    assert await client.upload(picture, "same.png") == first
    assert await client.upload(other, "same.png") == "zoetrope/same (1).png"


async def test_a_prompt_is_looked_for_in_the_queue_and_then_in_the_history(engine, client, picture):
    assert await client.whereabouts(str(uuid.uuid4())) == Absent()
    engine.faults.order(Fault("slow", seconds=0.3, times=0))
    first, second = str(uuid.uuid4()), str(uuid.uuid4())
    await client.submit(await video_graph(client, picture, "zoetrope/x"), first, tags={})
    await client.submit(await video_graph(client, picture, "zoetrope/y"), second, tags={})
    assert isinstance(await client.whereabouts(first), Started | Queued)
    assert isinstance(await client.whereabouts(second), Queued)
    engine.faults.clear()
    events = [event async for event in client.follow(second)]
    assert isinstance(events[0], Queued)
    assert isinstance(events[-1], Finished)
    assert isinstance(await client.whereabouts(first), Finished)


async def test_an_identical_graph_runs_nothing_and_names_the_same_file(client, picture):
    graph = await image_graph(client, picture)
    assert (await run(client, graph)).outputs == (await run(client, graph)).outputs


async def test_a_cached_answer_that_names_a_lost_file_is_a_vanished_output(
    engine, client, picture, tmp_path
):
    graph = await image_graph(client, picture)
    await run(client, graph)
    for file in (tmp_path / "comfy" / "output").rglob("*.png"):
        file.unlink()
    (output,) = (await run(client, graph)).outputs
    with pytest.raises(OutputVanished):
        await client.fetch(output, tmp_path / "gone.png")
    assert not (tmp_path / "gone.png").exists()


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "absent.png"])
async def test_odd_names_are_vanished_outputs_and_no_way_out(client, tmp_path, name):
    with pytest.raises(OutputVanished):
        await client.fetch(Output("1", name), tmp_path / "x")


async def test_withdrawing_touches_one_prompt_only(engine, client, picture):
    engine.faults.order(Fault("slow", seconds=0.3, times=0))
    ids = [str(uuid.uuid4()) for _ in range(3)]
    for n, prompt_id in enumerate(ids):
        await client.submit(await video_graph(client, picture, f"p{n}"), prompt_id, tags={})
    await client.withdraw(ids[1])
    engine.faults.clear()
    events = [event async for event in client.follow(ids[2])]
    assert isinstance(events[-1], Finished)
    assert await client.whereabouts(ids[1]) == Absent()
    assert isinstance(await client.whereabouts(ids[0]), Finished)
    await client.withdraw(ids[0])  # finished: nothing happens


async def test_our_tags_come_back_with_the_history(engine, client, picture):
    prompt_id = str(uuid.uuid4())
    await client.submit(await image_graph(client, picture), prompt_id, tags={"job": "1f3a9c2e"})
    assert [event async for event in client.follow(prompt_id)]
    async with aiohttp.ClientSession() as http, http.get(f"{engine.url}/history/{prompt_id}") as r:
        entry = (await r.json())[prompt_id]
    assert entry["prompt"][3]["zoetrope"] == {"job": "1f3a9c2e"}


async def test_half_a_graph_that_was_queued_is_taken_back(engine, client, picture):
    graph = await video_graph(client, picture, "half")
    graph["bad"] = Node("SaveImage", {"images": ["decode", 0]})
    prompt_id = str(uuid.uuid4())
    engine.faults.order(Fault("slow", seconds=0.3, times=0))
    with pytest.raises(EngineRefused) as caught:
        await client.submit(graph, prompt_id, tags={})
    assert caught.value.reason.key == "graph-refused"
    engine.faults.clear()
    events = [event async for event in client.follow(prompt_id)]
    assert not isinstance(events[-1], Finished)


async def test_a_socket_that_somebody_took_over_is_taken_back(engine, monkeypatch, picture):
    monkeypatch.setattr("zoetrope.engine.comfyui.socket.RENEW_SECONDS", 0.1)
    async with client_of(engine.url, silence_seconds=0.2) as client:
        engine.faults.order(Fault("slow", seconds=0.5, times=0))
        prompt_id = str(uuid.uuid4())
        await client.submit(await video_graph(client, picture, "theft"), prompt_id, tags={})
        steps = 0
        async with (
            aiohttp.ClientSession() as http,
            http.ws_connect(f"{engine.url}/ws?clientId=ours") as thief,
        ):
            async for event in client.follow(prompt_id):
                steps += isinstance(event, Step)
            assert isinstance(event, Finished)
            await thief.close()
        assert client.reconnects > 0
    assert steps > 0  # the last two samplers' steps were heard again


async def test_an_engine_that_is_not_there_is_down_for_every_call(unused_port, picture, tmp_path):
    async with client_of(f"http://127.0.0.1:{unused_port}") as client:
        for call in (
            client.stats(),
            client.upload(picture, "x.png"),
            client.submit({}, "x", tags={}),
            client.whereabouts("x"),
            client.fetch(Output("1", "x"), tmp_path / "x"),
            client.withdraw("x"),
            client.free(),
        ):
            with pytest.raises(EngineDown, match="does not respond"):
                await call
        assert client.reconnects == 0


@pytest.fixture
def unused_port():
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.asynccontextmanager
async def server_that(**routes):
    app = web.Application()
    for path, handler in routes.items():
        app.router.add_route("*", "/" + path.replace("__", "/"), handler)
    server = TestServer(app)
    await server.start_server()
    try:
        yield str(server.make_url("")).rstrip("/")
    finally:
        await server.close()


async def test_a_server_that_answers_nonsense_is_down(tmp_path):
    async def nonsense(_):
        return web.Response(text="<html>a proxy's page</html>")

    async with server_that(queue=nonsense, system_stats=nonsense) as url, client_of(url) as client:
        for call in (client.stats(), client.whereabouts("x")):
            with pytest.raises(EngineDown):
                await call


async def test_nobody_is_followed_elsewhere_on_any_way(picture, tmp_path):
    elsewhere, asked = [], []

    async def other(request):
        elsewhere.append(request.path)
        return web.json_response({})

    async with server_that(**dict.fromkeys(("queue", "ws", "prompt"), other)) as there:

        async def moved(request):
            asked.append(request.path)
            return web.Response(status=307, headers={"Location": there + request.path})

        routes = ("system_stats", "queue", "ws", "prompt", "upload__image", "free")
        async with server_that(**dict.fromkeys(routes, moved)) as url, client_of(url) as client:
            for call in (
                client.stats(),
                client.whereabouts("x"),
                client.submit({}, "x", tags={}),
                client.upload(picture, "x.png"),
            ):
                with pytest.raises(WrongAnswer, match="307"):
                    await call
            await client.free()
            async with asyncio.timeout(45):
                while asked.count("/ws") < 2:
                    await asyncio.sleep(0.01)
    assert elsewhere == []


async def test_an_answer_without_an_end_is_not_read_to_its_end(monkeypatch):
    monkeypatch.setattr("zoetrope.engine.comfyui.transport.MOST_BYTES", 1 << 20)

    async def endless(request):
        answer = web.StreamResponse()
        await answer.prepare(request)
        with contextlib.suppress(ConnectionError):
            while True:
                await answer.write(b" " * 100_000)
        return answer

    async with server_that(queue=endless) as url, client_of(url) as client:
        with pytest.raises(WrongAnswer, match="more than 1 MB"):
            await client.whereabouts("x")


async def test_the_history_may_come_a_moment_after_the_last_event():
    prompt_id = str(uuid.uuid4())
    asked = looked = 0
    entry = {"prompt": [1, prompt_id, {}, {}, []], "outputs": {}, "status": {"messages": []}}

    async def history(_):
        nonlocal asked
        asked += 1
        return web.json_response({prompt_id: entry} if asked > 3 else {})

    async def queue(_):
        nonlocal looked
        looked += 1
        busy = [[1, prompt_id, {}, {}, []]] if looked < 3 else []
        return web.json_response({"queue_running": busy, "queue_pending": []})

    async def ws(request):
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        while True:
            await socket.send_json({"type": "execution_success", "data": {"prompt_id": prompt_id}})
            await asyncio.sleep(0.05)

    app_routes = {"queue": queue, "ws": ws, f"history__{prompt_id}": history}
    async with server_that(**app_routes) as url, client_of(url, silence_seconds=5) as client:
        async with asyncio.timeout(45):
            events = [event async for event in client.follow(prompt_id)]
    assert isinstance(events[-1], Finished)


async def test_restarting_runs_the_command_of_the_settings(engine, tmp_path):
    mark = tmp_path / "restarted"
    restart = Restart(command=("touch", str(mark)))
    async with client_of(engine.url, restart=restart) as client:
        assert client.can_restart
        await client.restart()
    assert mark.exists()


async def test_without_a_way_to_restart_the_error_says_what_to_set(client):
    assert not client.can_restart
    with pytest.raises(EngineDown, match=r"engines\.restart"):
        await client.restart()


async def test_while_a_reboot_is_waited_for_a_restart_is_no_means(engine, tmp_path):
    """A job that does not fit would have the engine restarted, and take a sound one from all others."""
    note = tmp_path / "0.json"
    restart = Restart(command=("true",))
    async with client_of(engine.url, restart=restart, pending=note) as client:
        for waits in (False, True, False):
            if waits:
                note.write_text('{"sentence": "Reboot needed.", "next_step": "Reboot."}')
            else:
                note.unlink(missing_ok=True)
            await client.stats()
            assert client.can_restart is not waits


async def test_an_engine_whose_restart_waits_for_a_reboot_is_left_as_it_is(tmp_path):
    note, done = tmp_path / "0.json", tmp_path / "restarted"
    note.write_text('{"sentence": "Reboot needed: 575 and 580.", "next_step": "Reboot the host."}')
    restart = Restart(command=("touch", str(done)))
    async with client_of("http://127.0.0.1:1", restart=restart, pending=note) as client:
        with pytest.raises(EngineDown) as caught:
            await client.restart()
        assert str(caught.value) == "Reboot needed: 575 and 580. Reboot the host."
        assert not done.exists()
        note.unlink()
        await client.restart()
        assert done.exists()
