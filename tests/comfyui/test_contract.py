"""Field by field, the simulated engine answers as a real ComfyUI does.

Needs a server of the pinned version, or of an earlier one that is recorded whole, with the tiny random models, named by
ZOETROPE_COMFYUI_URL; the simulated engine is then of that version.
"""

import asyncio
import io
import json
import os
import re
import socket
from types import SimpleNamespace

import pytest

from tests.engine.simulated.stage import Client, new_id, next_event, node, picture, png, tiny
from tests.engine.simulated.test_simulated_protocol import upload
from zoetrope.engine.simulated import SimulatedEngine
from zoetrope.graphs import catalog

pytestmark = pytest.mark.engine

#: Where the real server lists the files of a folder.
FOLDERS = {
    "diffusion_models": ("UNETLoader", "unet_name"),
    "text_encoders": ("CLIPLoader", "clip_name"),
    "vae": ("VAELoader", "vae_name"),
}

#: Asked once: it is a large answer.
_SIGNATURES = {}

#: What may differ: times, places of files, texts of the page, and how values are printed.
FREE = {
    "timestamp",
    "create_time",
    "execution_start_time",
    "execution_end_time",
    "number",
    "priority",
    "traceback",
    "current_inputs",
    "current_outputs",
    "input_config",
    "sid",
    "client_id",
}


@pytest.fixture
async def pair(tmp_path, session):
    """A client for the real server and one for a simulated engine that offers the same files."""
    url = os.environ["ZOETROPE_COMFYUI_URL"].rstrip("/")
    real = Client(SimpleNamespace(url=url), session)
    if url not in _SIGNATURES:
        _, info = await real.get("/object_info")
        _, stats = await real.get("/system_stats")
        version = stats["system"]["comfyui_version"]
        _SIGNATURES[url] = catalog.from_object_info(info, comfyui=version)
    signatures = _SIGNATURES[url]
    models = {
        folder: tuple(str(o) for o in signatures.nodes[name].inputs[key].options or ())
        for folder, (name, key) in FOLDERS.items()
    }
    # A fixed choice stands beside the files.
    models["vae"] = tuple(n for n in models["vae"] if n != "pixel_space")
    # With steps as long as a real one's: what is asked in the middle of a run finds it running.
    version = catalog.load(
        signatures.comfyui
    ).comfyui  # one of the recorded, or there is nothing to compare
    engine = SimulatedEngine(tmp_path, models=models, step_seconds=0.01, version=version)
    await engine.start()
    for client in (real, mine := Client(engine, session)):
        form = {"overwrite": "true"}
        await upload(client, "contract.png", png(picture(64, 64)), **form)
        await upload(client, "settled.png", png(picture(32, 32)), **form)
        await emptied(client)
    yield SimpleNamespace(real=real, mine=mine, signatures=signatures, models=models)
    await engine.stop()


async def emptied(client):
    """Have the cache emptied, and see that it is.

    A real worker that is asked to free memory takes a prompt first that has come meanwhile, and on a busy machine one has:
    then the cache still holds what an earlier test made.
    """
    probe = {
        "1": node("LoadImage", image="settled.png"),
        "2": node("SaveImage", images=["1", 0], filename_prefix="contract/settled"),
    }
    cached = await cached_of(client, probe)
    while True:
        await client.post("/free", json={"unload_models": True, "free_memory": True})
        cached = await cached_of(client, probe)
        if not cached:
            return


async def cached_of(client, built):
    entry = await client.ended(await client.submit(built))
    messages = dict(entry["status"]["messages"])
    return messages["execution_cached"]["nodes"]


def graph(pair, seed, **changes):
    """The tiny graph with the model files that the real server has."""

    def named(folder, *words):
        return next(n for n in pair.models[folder] if all(w in n for w in words))

    built = tiny(seed, **changes)
    built["1"]["inputs"]["unet_name"] = named("diffusion_models", "tiny", "high")
    built["2"]["inputs"]["unet_name"] = named("diffusion_models", "tiny", "low")
    built["7"]["inputs"]["clip_name"] = named("text_encoders", "tiny")
    built["10"]["inputs"]["vae_name"] = named("vae", "tiny")
    built["17"]["inputs"]["filename_prefix"] = "contract/tiny"
    if built["11"]["inputs"]["image"] == "start.png":
        built["11"]["inputs"]["image"] = "contract.png"
    return built


def plain(value, key=""):
    """Leave out of an answer what two servers cannot have in common."""
    if key in FREE:
        return type(value).__name__ if key != "number" else None
    if key == "executed":
        # The real server keeps a set, in no order.
        return sorted(value)
    if isinstance(value, dict):
        return {k: plain(v, k) for k, v in value.items() if not k.startswith("tooltip")}
    if isinstance(value, list | tuple):
        return [plain(v, key) for v in value]
    if isinstance(value, str):
        value = re.sub(r"_\d{5}_", "_N_", value)
        return re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "ID", value)
    return value


async def both(pair, action):
    real, mine = await action(pair.real), await action(pair.mine)
    assert plain(mine) == plain(real)
    return real


def steady(events):
    """Leave out what depends on speed: progress in between, and whatever state goes with it."""
    return [(e, d) for e, d in events if e not in {"progress", "progress_state", "status"}]


async def test_runs_send_the_same_events_and_leave_the_same_history(pair):
    async def play(client):
        results = []
        for seed in (101, 101, 102):
            played = await client.play(graph(pair, seed), extra_data={"zoetrope": {"job": "j"}})
            entry = {**played.entry, "prompt": [None, *played.entry["prompt"][1:]]}
            results.append((steady(played.events), entry))
            results.append((await client.get(f"/api/jobs/{played.prompt_id}"))[1])
        return results

    await both(pair, play)


@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        ({"_1": {"weight_dtype": "odd"}}, None),
        ({"_13": {"steps": 20000}}, None),
        ({"_12": {"width": 8}}, None),
        ({"_12": {"width": "abc"}}, None),
        ({"_15": {"vae": ["8", 0]}}, None),
        ({"_15": {"vae": ["99", 0]}}, None),
        ({"_15": {"vae": ["10", 5]}}, None),
        ({"_15": {"vae": ["10"]}}, None),
        ({"_11": {"image": "nope.png"}}, None),
        ({"_11": {"image": "../../nope.png"}}, None),
        ({"_13": {"scheduler": "odd"}}, None),
        ({"_13": {"sampler_name": "odd"}}, None),
        ({"_13": {"latent_image": ["14", 0]}}, None),
        ({"_13": {"scheduler": ["8", 0]}}, None),
        ({}, ("13", "cfg")),
    ],
)
async def test_bad_graphs_are_refused_in_the_same_words(pair, changes, missing):
    # A change is applied after the names, so that it wins.
    bad = graph(pair, 1)
    for node_id, inputs in changes.items():
        bad[node_id.lstrip("_")]["inputs"].update(inputs)
    if missing:
        del bad[missing[0]]["inputs"][missing[1]]

    status, _ = await both(pair, lambda c: c.post("/prompt", json={"prompt": bad}))

    assert status == 400


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"prompt": {}},
        {"prompt": {"1": {"class_type": "Nope", "inputs": {}}}},
        {"prompt": {"1": {"inputs": {}}}},
        {"prompt": {"1": node("VAELoader", vae_name="x")}},
        {"prompt": {}, "prompt_id": "zt-1"},
        {"prompt": {}, "prompt_id": new_id().upper()},
    ],
)
async def test_bad_bodies_are_refused_in_the_same_words(pair, body):
    await both(pair, lambda c: c.post("/prompt", json=body))


async def test_a_graph_of_five_megabytes_is_judged_like_a_small_one(pair):
    large = graph(pair, 8, _8={"text": "a slow zoom " * 420_000})
    large["13"]["inputs"]["steps"] = 0
    body = json.dumps({"prompt": large}).encode()
    assert len(body) > 5_000_000

    status, told = await both(pair, lambda c: c.post("/prompt", data=io.BytesIO(body)))

    assert status == 400
    assert set(told["node_errors"]) == {"13"}


@pytest.mark.parametrize("size", [99, 101])
async def test_bodies_are_taken_up_to_the_size_that_is_told(pair, size):
    """A hundred megabytes, as `/features` says."""
    _, features = await both(pair, lambda c: c.get("/features"))
    assert features["max_upload_size"] == 100 * 1024 * 1024
    data = b"{" + b" " * (size * 1024 * 1024)

    status, _ = await both(pair, lambda c: c.post("/prompt", data=io.BytesIO(data)))

    assert status == (500 if size < 100 else 413)


async def test_a_save_outside_and_a_broken_picture_fail_alike(pair):
    async def play(client):
        await upload(client, "broken.png", b"not a picture", overwrite="true")
        outside = graph(pair, 201)
        outside["17"]["inputs"]["filename_prefix"] = "../../x"
        broken = graph(pair, 202)
        broken["11"]["inputs"]["image"] = "broken.png"
        results = []
        for bad in (outside, broken):
            event, data = (await client.play(bad)).last
            message = data["exception_message"].split("\n")[0].split("'")[0]
            results.append((event, {**data, "exception_message": message}))
        return results

    await both(pair, play)


async def test_an_interrupt_is_told_alike(pair):
    async def play(client):
        long = graph(pair, 301)
        long["13"]["inputs"] |= {"steps": 4000, "end_at_step": 4000}
        async with await client.listen() as socket:
            prompt_id = await client.submit(long)
            waiting = await client.submit(graph(pair, 302))
            await next_event(socket, "progress")
            told = [
                await client.get(f"/history/{prompt_id}"),
                await client.post("/interrupt", json={"prompt_id": waiting}),
                await client.post(f"/api/jobs/{waiting}/cancel"),
                await client.post(f"/api/jobs/{waiting}/cancel"),
                await client.get(f"/api/jobs/{prompt_id}"),
                await client.post("/interrupt", json={"prompt_id": prompt_id}),
            ]
        entry = await client.ended(prompt_id)
        return [*told, entry["status"], entry["outputs"], entry["meta"]]

    await both(pair, play)


@pytest.mark.parametrize(
    "path",
    [
        "/view",
        "/view?filename=",
        "/view?filename=nope.png",
        "/view?filename=../x",
        "/view?filename=/x",
        "/view?filename=contract.png&type=odd",
        "/view?filename=contract.png&type=input&subfolder=../..",
        "/view?filename=contract.png&type=input",
        "/view?filename=contract.png [input]",
        "/history/unknown",
        "/api/jobs/unknown",
        "/api/jobs?status=odd",
        "/api/jobs?limit=0",
        "/models/nope",
        "/object_info/Nope",
        "/features",
        "/nothing",
        "/api/queue",
    ],
)
async def test_reads_give_the_same(pair, path):
    await both(pair, lambda c: c.get(path))


#: What client libraries ask for next to prompts. Texts, paths and what packs bring are each host's own: of a list or a table,
#: the kind counts, and the keys of what is in it where both have something.
LISTINGS = [
    "/",
    "/embeddings",
    "/extensions",
    "/users",
    "/settings",
    "/settings/Comfy.Nothing",
    "/i18n",
    "/workflow_templates",
    "/global_subgraphs",
    "/global_subgraphs/nothing",
    "/node_replacements",
    "/v2/userdata",
    "/v2/userdata?path=.",
    "/v2/userdata?path=nothing",
    "/v2/userdata?path=../..",
    "/userdata",
    "/userdata?dir=nothing",
    "/userdata?dir=../..",
    "/userdata/nothing.json",
    "/internal/logs",
    "/internal/logs/raw",
    "/internal/folder_paths",
    "/internal/files/output",
    "/internal/files/odd",
    "/api/internal/logs",
    "/experiment/models",
    "/experiment/models/vae",
    "/experiment/models/nothing",
    "/models",
    "/models/vae",
    "/api/embeddings",
    "/api/settings",
]


def outline(value):
    """Say what kind of answer it is."""
    if isinstance(value, list):
        return ["list", {json.dumps(outline(each), sort_keys=True) for each in value}]
    if isinstance(value, dict):
        return {key: outline(each) for key, each in value.items()}
    return type(value).__name__


@pytest.mark.parametrize("path", LISTINGS)
async def test_listings_are_of_the_same_kind(pair, path):
    answers = []
    for client in (pair.real, pair.mine):
        async with client.session.get(client.engine.url + path) as response:
            body = await response.read()
            kind = response.content_type
            answers.append((response.status, kind, body))
    (status, kind, real), (own_status, own_kind, mine) = answers
    assert (own_status, own_kind) == (status, kind)
    if status != 200:
        # What it says is said in the same words.
        assert mine == real
    elif kind == "application/json":
        real, mine = json.loads(real), json.loads(mine)
        assert type(mine) is type(real)
        if path in {"/users", "/internal/logs/raw"}:
            assert mine.keys() == real.keys()
        if isinstance(mine, list) and mine and real:
            assert outline(mine[0]) == outline(real[0])
        if path == "/models":
            # Packs bring folders of their own, which the simulated engine has where it simulates them.
            packs = {"custom_nodes", "VHS_video_formats", "kjnodes_fonts"}
            packs |= {"unet_gguf", "clip_gguf", "seedvr2", "rife", "wav2vec2", "nlf", "mmaudio"}
            assert set(mine) - packs == set(real) - packs


#: A page of another site, a name that was rebound to this host, and hosts that are none.
HOSTS = (
    *(None, "127.0.0.1", "127.0.0.1:80", "localhost", "ip6-localhost:80", socket.gethostname()),
    *("[::1]:80", "evil.example", "", "a b", "x:y"),
)
ORIGINS = (
    None,
    "http://evil.example",
    "http://127.0.0.1",
    "http://localhost:80",
    "http://[::1]:80",
    "null",
    "",
    "http://x:y",
)


@pytest.mark.parametrize("path", ["/queue", "/"])
async def test_a_page_of_another_site_is_turned_away_from_the_same_reads(pair, path):
    different = []
    for host in HOSTS:
        for origin in ORIGINS:
            for site in (None, "cross-site"):
                named = {"Host": host, "Origin": origin, "Sec-Fetch-Site": site}
                headers = {name: value for name, value in named.items() if value is not None}
                statuses = [
                    (await client.get(path, headers=headers))[0]
                    for client in (pair.real, pair.mine)
                ]
                if statuses[0] != statuses[1]:
                    different.append((headers, *statuses))
    assert different == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "http://127.0.0.1"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Host": "evil.example"},
    ],
)
async def test_the_same_pages_are_turned_away(pair, headers):
    async def ask(client):
        return (await client.get("/queue", headers=headers))[0]

    await both(pair, ask)


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("contract.png", {}),
        ("x.png", {"subfolder": "../.."}),
        ("x.png", {"type": "odd"}),
        ("x.png", {"subfolder": "contract/sub", "overwrite": "1"}),
    ],
)
async def test_uploads_are_named_alike(pair, name, fields):
    data = png(picture(64, 64))

    await both(pair, lambda c: upload(c, name, data, **fields))


async def test_system_stats_have_the_same_keys(pair):
    _, real = await pair.real.get("/system_stats")
    _, mine = await pair.mine.get("/system_stats")

    assert set(mine) - {"simulated", "rehearsal"} == set(real)
    assert set(mine["system"]) == set(real["system"])
    assert set(mine["devices"][0]) == set(real["devices"][0])
    assert mine["system"]["comfyui_version"] == real["system"]["comfyui_version"]


async def test_signatures_are_those_of_the_running_server(pair):
    different = []
    for name, shipped in catalog.load(pair.signatures.comfyui).nodes.items():
        real = pair.signatures.get(name)
        if real is None:
            continue
        same = (shipped.outputs, shipped.output_names, shipped.output_node, set(shipped.inputs))
        if same != (real.outputs, real.output_names, real.output_node, set(real.inputs)):
            different.append(name)
            continue
        for key, item in shipped.inputs.items():
            facts = [
                (i.type, i.required, i.min, i.max, i.step, i.multiselect)
                for i in (item, real.inputs[key])
            ]
            # Devices are those of a host with a card, files those of a disk.
            fixed = item.files or "device" in key
            if facts[0] != facts[1] or (not fixed and item.options != real.inputs[key].options):
                different.append(f"{name}.{key}")

    assert different == []


async def test_both_answer_while_they_work(pair):
    async def ask(client):
        long = graph(pair, 401)
        long["13"]["inputs"] |= {"steps": 3000, "end_at_step": 3000}
        async with await client.listen() as socket:
            prompt_id = await client.submit(long)
            await next_event(socket, "progress")
            async with asyncio.timeout(5):
                status = (await client.get("/system_stats"))[0]
            await client.post("/interrupt", json={"prompt_id": prompt_id})
        await client.ended(prompt_id)
        return status

    await both(pair, ask)
