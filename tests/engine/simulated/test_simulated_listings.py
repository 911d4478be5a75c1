"""What client libraries ask for next to prompts, on a host that has none of it; a contract test compares it with a real one."""

import pytest

from tests.engine.simulated.stage import picture, png
from tests.engine.simulated.test_simulated_protocol import upload
from zoetrope.engine.simulated.guard import is_foreign, resolves_here

EMPTY = {
    "/embeddings": [],
    "/extensions": [],
    "/users": {"storage": "server", "migrated": False},
    "/settings": {},
    "/settings/Comfy.Nothing": None,
    "/i18n": {},
    "/workflow_templates": {},
    "/global_subgraphs": {},
    "/global_subgraphs/nothing": None,
    "/node_replacements": {},
    "/v2/userdata": [],
    "/internal/logs": "",
    "/internal/logs/raw": {"entries": [], "size": {"cols": 80, "rows": 24}},
    "/internal/files/output": [],
    "/models/checkpoints": [],
}
REJECTED = {
    "/userdata": 400,
    "/userdata?dir=workflows": 404,
    "/userdata?dir=../..": 403,
    "/userdata/nothing.json": 404,
    "/v2/userdata?path=nothing": 404,
    "/v2/userdata?path=..%2F..": 400,
    "/internal/files/odd": 400,
    "/experiment/models/nothing": 404,
    # The internal routes have no prefix.
    "/api/internal/logs": 404,
}


async def test_an_empty_host_has_nothing_and_says_so(client):
    assert {path: (await client.get(path))[1] for path in EMPTY} == EMPTY
    prefixed = [path for path in EMPTY if not path.startswith("/internal")]
    assert {path: (await client.get(f"/api{path}"))[1] for path in prefixed} == {
        path: EMPTY[path] for path in prefixed
    }


async def test_what_is_not_there_or_lies_outside_is_rejected(client):
    assert {path: (await client.get(path))[0] for path in REJECTED} == REJECTED


async def test_folders_and_files_are_listed_where_they_are(client):
    place = client.home / "models" / "loras" / "mine.safetensors"
    place.parent.mkdir(parents=True)
    place.write_bytes(b"1234")
    _, folders = await client.get("/internal/folder_paths")
    assert folders["loras"] == [str(place.parent)]
    _, listed = await client.get("/experiment/models")
    described = {each["name"]: each for each in listed}
    assert described["loras"]["folders"] == [str(place.parent)]
    assert ".safetensors" in described["loras"]["extensions"]
    assert "configs" not in described
    _, files = await client.get("/experiment/models/loras")
    (mine,) = [each for each in files if each["name"] == "mine.safetensors"]
    assert (mine["size"], mine["pathIndex"]) == (4, 0)
    assert mine.keys() == files[0].keys()
    await upload(client, "newest.png", png(picture(16, 16)))
    assert (await client.get("/internal/files/input"))[1] == [
        "newest.png [input]",
        "start.png [input]",
    ]


async def test_the_page_says_what_this_is(client):
    status, page = await client.get("/")
    assert status == 200
    assert b"simulated engine" in page


@pytest.mark.parametrize(
    ("name", "here"),
    [
        ("127.0.0.1:8188", True),
        ("[::1]:8188", True),
        ("localhost", True),
        ("192.0.2.1", False),
        ("nothing.invalid", False),
        ("", False),
    ],
)
async def test_a_name_means_this_machine_if_all_its_addresses_do(name, here):
    assert await resolves_here(name) is here


async def test_a_name_of_this_machine_in_its_table_is_compared_with_the_origin(client):
    assert is_foreign("mine:8188", "http://evil.example", None, loopback=True)
    assert not is_foreign("mine:8188", "http://mine:8188", None, loopback=True)
    assert not is_foreign("other:8188", "http://evil.example", None, loopback=False)


@pytest.mark.parametrize(
    "headers",
    [{"Host": "x:y", "Origin": "null"}, {"Host": "evil.example", "Origin": "http://x:y"}],
)
async def test_a_port_that_is_no_number_is_answered_as_a_real_one_does(client, headers):
    assert (await client.get("/queue", headers=headers))[0] == 500
