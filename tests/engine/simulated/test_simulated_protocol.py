"""Routes answer as ComfyUI was seen to answer."""

import asyncio
from itertools import pairwise

import aiohttp
import pytest

from tests.engine.simulated.stage import new_id, next_event, node, picture, png, tiny, until_done
from zoetrope.graphs import catalog


async def test_a_prompt_id_must_be_a_canonical_uuid(client):
    given = new_id()
    for bad in ("x", given.upper(), given.replace("-", ""), 5, ""):
        status, answer = await client.post("/prompt", json={"prompt": tiny(), "prompt_id": bad})
        assert status == 400
        assert answer["error"]["type"] == "invalid_prompt_id"
        assert answer["node_errors"] == {}

    status, answer = await client.post("/prompt", json={"prompt": tiny(), "prompt_id": given})

    assert (status, answer["prompt_id"]) == (200, given)


async def test_no_id_and_null_let_the_server_choose(client):
    for body in ({}, {"prompt_id": None}):
        _, answer = await client.post("/prompt", json={"prompt": tiny(), **body})
        assert len(answer["prompt_id"]) == 36


async def test_the_same_id_twice_runs_twice_and_the_history_keeps_the_last(client):
    prompt_id = new_id()
    async with await client.listen() as socket:
        for seed in (1, 2):
            await client.submit(tiny(seed=seed), prompt_id=prompt_id)
        await until_done(socket, prompt_id)
        await until_done(socket, prompt_id)

    entry = await client.ended(prompt_id)
    assert entry["prompt"][2]["13"]["inputs"]["noise_seed"] == 2
    assert len(list((client.home / "output/zt").iterdir())) == 2


async def test_history_is_empty_until_the_end_and_extra_data_comes_back(start):
    client = await start(step_seconds=0.01)
    async with await client.listen() as socket:
        prompt_id = await client.submit(tiny(), extra_data={"zoetrope": {"job": "j1"}})
        await next_event(socket, "progress")
        assert await client.get(f"/history/{prompt_id}") == (200, {})
        _, queue = await client.get("/queue")
        assert [item[1] for item in queue["queue_running"]] == [prompt_id]
        await until_done(socket, prompt_id)

    entry = await client.ended(prompt_id)
    extra = entry["prompt"][3]
    assert extra["zoetrope"] == {"job": "j1"}
    assert isinstance(extra["create_time"], int)
    assert entry["prompt"][4] == ["17"]


async def test_numbers_and_front_decide_the_order(start):
    client = await start(step_seconds=0.02)
    async with await client.listen() as socket:
        running = await client.submit(tiny(_13={"steps": 50, "end_at_step": 50}))
        await next_event(socket, "progress")
        last = await client.submit(tiny(seed=1))
        front = await client.submit(tiny(seed=2), front=True)
        first = await client.submit(tiny(seed=3), number=-50)
        _, queue = await client.get("/queue")
        assert {item[1] for item in queue["queue_pending"]} == {last, front, first}
        assert (await client.get("/prompt"))[1] == {"exec_info": {"queue_remaining": 4}}
        await client.post("/interrupt")
        started = []
        while len(started) < 3:
            _, data = await next_event(socket, "execution_start")
            started.append(data["prompt_id"])

    assert started == [first, front, last]
    assert running not in started


async def test_a_deleted_prompt_leaves_no_trace_and_the_running_one_stays(start):
    client = await start(step_seconds=0.01)
    async with await client.listen() as socket:
        running = await client.submit(tiny(_13={"steps": 20, "end_at_step": 20}))
        await next_event(socket, "progress")
        waiting = await client.submit(tiny(seed=1))
        body = {"delete": [waiting, running, "unknown"]}
        assert await client.post("/queue", json=body) == (200, b"")
        await until_done(socket, running)

    assert await client.get(f"/history/{waiting}") == (200, {})
    assert (await client.ended(running))["status"]["completed"] is True


async def test_cancel_says_whether_there_was_something_to_stop(start):
    client = await start(step_seconds=0.01)
    async with await client.listen() as socket:
        running = await client.submit(tiny(_13={"steps": 500, "end_at_step": 500}))
        await next_event(socket, "progress")
        waiting = await client.submit(tiny(seed=1))
        answers = [
            (await client.post(f"/api/jobs/{i}/cancel"))[1]["cancelled"]
            for i in (waiting, waiting, "nonsense", running)
        ]
        await until_done(socket, running)

    assert answers == [True, False, False, True]
    assert (await client.get(f"/api/jobs/{waiting}"))[0] == 404
    _, job = await client.get(f"/api/jobs/{running}")
    assert job["status"] == "cancelled"


async def test_jobs_are_listed_with_status_and_page(client):
    played = await client.play(tiny())

    _, answer = await client.get("/api/jobs?status=completed&limit=1")
    _, job = await client.get(f"/api/jobs/{played.prompt_id}")

    assert answer["pagination"] == {"offset": 0, "limit": 1, "total": 1, "has_more": False}
    assert answer["jobs"][0]["preview_output"]["filename"] == "tiny_00001_.mp4"
    assert job["outputs"] == played.outputs
    assert (await client.get("/api/jobs?status=odd"))[0] == 400
    assert (await client.get("/api/jobs?limit=0"))[0] == 400


async def test_an_interrupt_of_another_prompt_does_nothing(start):
    client = await start(step_seconds=0.005)
    async with await client.listen() as socket:
        running = await client.submit(tiny())
        await next_event(socket, "progress")
        waiting = await client.submit(tiny(seed=1))
        await client.post("/interrupt", json={"prompt_id": waiting})
        await until_done(socket, running)
        await until_done(socket, waiting)

    assert (await client.ended(running))["status"]["completed"] is True
    assert (await client.ended(waiting))["status"]["completed"] is True


async def test_an_interrupt_while_idle_does_not_hurt_the_next_run(client):
    await client.post("/interrupt")

    assert (await client.play(tiny())).last[0] == "execution_success"


async def test_free_memory_lets_everything_run_again(client):
    await client.play(tiny())
    await client.post("/free", json={"unload_models": True, "free_memory": True})

    async with asyncio.timeout(
        10
    ):  # as a real one, it takes a prompt first that has come meanwhile
        while (played := await client.play(tiny())).of("execution_cached")[0]["nodes"]:
            pass
    assert client.paths(played)[0].name > "tiny_00001_.mp4"


async def test_history_can_be_cut_and_forgotten(client):
    ids = [(await client.play(tiny(seed=s))).prompt_id for s in range(3)]

    _, newest = await client.get("/history?max_items=2")
    await client.post("/history", json={"delete": [ids[0]]})

    assert list(newest) == ids[1:]
    assert list((await client.get("/history"))[1]) == ids[1:]
    await client.post("/history", json={"clear": True})
    assert (await client.get("/history"))[1] == {}


async def upload(client, name, data, **fields):
    form = aiohttp.FormData()
    form.add_field("image", data, filename=name)
    for key, value in fields.items():
        form.add_field(key, value)
    return await client.post("/upload/image", data=form)


async def test_an_upload_keeps_its_name_or_gets_the_next_free_one(client):
    one, two = png(picture()), png(picture(32, 32))
    names = [(await upload(client, "a.png", data))[1]["name"] for data in (one, one, two, two)]
    _, over = await upload(client, "a.png", two, overwrite="true")

    assert names == ["a.png", "a.png", "a (1).png", "a (1).png"]
    assert over == {"name": "a.png", "subfolder": "", "type": "input"}
    assert (client.home / "input/a.png").read_bytes() == two


@pytest.mark.parametrize(
    ("name", "fields", "status"),
    [
        ("a.png", {"subfolder": "../.."}, 400),
        ("a.png", {"type": "nope"}, 500),
        ("a.png", {"subfolder": "x/y"}, 200),
        ("a.txt", {"type": "temp"}, 200),
    ],
)
async def test_an_upload_stays_inside_the_folders(client, name, fields, status):
    assert (await upload(client, name, b"any bytes", **fields))[0] == status
    assert not (client.home / "a.png").exists()


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 404),
        ("?filename=", 400),
        ("?filename=nope.png", 404),
        ("?filename=../start.png", 400),
        ("?filename=/start.png", 400),
        ("?filename=start.png&type=odd", 400),
        ("?filename=start.png&type=input&subfolder=../..", 403),
        ("?filename=start.png&type=input", 200),
        ("?filename=start.png [input]", 200),
    ],
)
async def test_view_gives_files_of_its_folders_only(client, query, status):
    assert (await client.get("/view" + query))[0] == status


async def test_view_gives_parts(client):
    whole = (client.home / "input/start.png").read_bytes()

    status, part = await client.get(
        "/view?filename=start.png&type=input", headers={"Range": "bytes=10-19"}
    )

    assert (status, part) == (206, whole[10:20])


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Host": "evil.example"}, 200),
        ({"Origin": "http://127.0.0.1"}, 200),
        ({}, 200),
    ],
)
async def test_foreign_pages_are_turned_away(client, headers, status):
    assert (await client.get("/queue", headers=headers))[0] == status


async def test_its_own_page_is_let_in(client):
    headers = {"Origin": client.engine.url}

    assert (await client.post("/interrupt", headers=headers))[0] == 200


async def test_every_route_has_the_prefix_too(client):
    for path in ("/queue", "/history", "/system_stats", "/prompt", "/object_info/KSampler"):
        assert (await client.get("/api" + path))[0] == 200


async def test_too_large_a_body_is_refused(start, monkeypatch):
    monkeypatch.setattr("zoetrope.engine.simulated.server.MAX_BODY", 1000)
    client = await start()

    status, text = await client.post("/prompt", data=b"x" * 2000)

    assert status == 413
    assert b"Maximum request body size 1000 exceeded" in text


async def test_broken_json_is_a_server_error(client):
    status, text = await client.post("/prompt", data=b"{")

    assert status == 500
    assert text == b"500 Internal Server Error\n\nServer got itself in trouble"


async def test_system_stats_have_the_known_shape_and_say_what_this_is(client):
    _, stats = await client.get("/system_stats")

    assert stats["system"]["comfyui_version"] == catalog.PINNED
    [device] = stats["devices"]
    assert (device["name"], device["type"]) == ("simulated", "cpu")
    assert {"vram_total", "vram_free", "torch_vram_total", "torch_vram_free"} < set(device)
    assert "simulated" in stats


async def test_object_info_lists_the_hosts_files(start):
    from zoetrope.engine.simulated import extended

    client = await start(models=extended({"loras": ("mine.safetensors",)}))

    _, all_nodes = await client.get("/object_info")
    _, nothing = await client.get("/object_info/Nope")

    assert len(all_nodes) > 1000
    assert (
        "mine.safetensors" in all_nodes["LoraLoaderModelOnly"]["input"]["required"]["lora_name"][0]
    )
    assert all_nodes["LoadImage"]["input"]["required"]["image"][0] == ["start.png"]
    assert all_nodes["LoadVideo"]["input"]["required"]["file"][1]["options"] == []
    assert nothing == {}


async def test_one_bad_output_of_two_is_accepted_with_its_errors(client):
    graph = tiny()
    graph["18"] = node(
        "SaveVideo", video=["16", 0], filename_prefix="x", format="odd", codec="auto"
    )

    async with await client.listen() as socket:
        _, answer = await client.post("/prompt", json={"prompt": graph, "client_id": "stage"})
        await until_done(socket, answer["prompt_id"])

    assert answer["node_errors"]["18"]["errors"][0]["type"] == "value_not_in_list"
    entry = await client.ended(answer["prompt_id"])
    assert list(entry["outputs"]) == ["17"]
    assert entry["status"]["completed"] is True


async def test_a_failed_run_keeps_the_outputs_that_were_saved_before(client):
    graph = tiny()
    graph["20"] = node("SaveImage", images=["11", 0], filename_prefix="kept")
    graph["17"]["inputs"]["filename_prefix"] = "../../outside"

    played = await client.play(graph)

    assert played.last[0] == "execution_error"
    assert played.last[1]["exception_message"].startswith(
        "**** ERROR: Saving image outside the output folder is not allowed."
    )
    assert list(played.outputs) == ["20"]


async def test_two_waiting_prompts_follow_each_other_at_once(client):
    async with await client.listen() as socket:
        ids = [await client.submit(tiny(seed=s)) for s in range(4)]
        for prompt_id in ids:
            await until_done(socket, prompt_id)

    entries = [dict((await client.ended(i))["status"]["messages"]) for i in ids]
    gaps = [
        after["execution_start"]["timestamp"] - before["execution_success"]["timestamp"]
        for before, after in pairwise(entries[1:])
    ]
    assert min(gaps) <= 5


DEEP = "[" * 10_000 + "]" * 10_000


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("null", "has no object of nodes"),
        ("[]", "has no object of nodes"),
        ('"VAELoader"', "has no object of nodes"),
        ('{"1": null}', "Node 'ID #1' is not a node"),
        ('{"1": {"class_type": "VAELoader"}}', "Node 'ID #1' has no inputs"),
        ('{"1": {"class_type": "VAELoader", "inputs": {"vae_name": NaN}}}', "found nan"),
        ('{"1": {"class_type": "VAELoader", "inputs": {"vae_name": ' + "[" * 99 + "]" * 99 + "}}}",
         "nested deeper"),
        ('{"nodes": [], "links": []}', "Prompt has no outputs"),
        (DEEP, "got itself in trouble"),
    ],
    ids=["null", "list", "text", "no-node", "no-inputs", "nan", "deep", "page", "deepest"],
)  # fmt: skip
async def test_a_document_that_is_no_graph_is_answered_and_the_engine_goes_on(client, prompt, words):  # fmt: skip
    status, answer = await client.post("/prompt", data=f'{{"prompt": {prompt}}}'.encode())

    assert status in (400, 500)
    assert words in str(answer)
    assert (await client.post("/prompt", json={"prompt": tiny()}))[0] == 200


async def test_a_row_of_nodes_longer_than_any_stack_is_refused_and_the_engine_goes_on(client):
    graph = tiny()
    for i in range(3000):
        before = [f"x{i - 1}", 0] if i else ["15", 0]
        graph[f"x{i}"] = {"class_type": "ImageInvert", "inputs": {"image": before}}
    graph["last"] = {"class_type": "PreviewImage", "inputs": {"images": ["x2999", 0]}}
    status, answer = await client.post("/prompt", json={"prompt": graph})

    # As with ComfyUI, the other output of the graph is a sound one.
    assert status == 200
    assert answer["node_errors"]
    assert (await client.post("/prompt", json={"prompt": tiny()}))[0] == 200
