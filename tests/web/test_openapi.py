import os
from pathlib import Path

import msgspec

from zoetrope.health.standard import standard
from zoetrope.settings import Settings
from zoetrope.web.api.events import EventsApi
from zoetrope.web.api.openapi import OpenApi
from zoetrope.web.api.settings import plain
from zoetrope.web.openapi import document
from zoetrope.web.server import api

FILE = Path(__file__).parents[2] / "docs" / "openapi.json"


def endpoints(parts):
    found = api(parts, standard(parts), EventsApi(parts.bus))
    return [*found, *OpenApi(found, token=True).endpoints()]


async def test_the_document_in_the_docs_is_current(parts):
    made = msgspec.json.format(
        msgspec.json.encode(document(endpoints(parts), token=True)), indent=1
    )
    if os.environ.get("UPDATE_GOLDEN"):
        FILE.write_bytes(made + b"\n")
    assert FILE.read_bytes() == made + b"\n", "UPDATE_GOLDEN=1 writes it anew"


async def test_every_address_of_the_api_is_described_and_no_other(client, parts):
    described = await (await client.get("/api/v1/openapi.json")).json()
    found = {
        (route.resource.canonical, route.method)
        for route in client.app.router.routes()
        if route.resource.canonical.startswith("/api/") and route.method != "HEAD"
    }
    told = {
        (path, method.upper())
        for path, methods in described["paths"].items()
        for method in methods
        if path.startswith("/api/")
    }
    assert found == told
    assert {"/healthz", "/readyz"} <= described["paths"].keys()


async def test_names_are_told_apart_and_every_reference_leads_somewhere(parts):
    made = document(endpoints(parts), token=True)
    text = msgspec.json.encode(made).decode()
    for name in [part.partition('"')[0] for part in text.split('"#/components/schemas/')[1:]]:
        assert name in made["components"]["schemas"], name
    for name in [part.partition('"')[0] for part in text.split('"#/components/responses/')[1:]]:
        assert name in made["components"]["responses"], name
    operations = [each for methods in made["paths"].values() for each in methods.values()]
    ids = [each["operationId"] for each in operations]
    assert len(set(ids)) == len(ids)
    assert all(each["summary"] for each in operations)


async def test_a_token_is_asked_for_where_the_service_has_one(parts):
    with_token = document(endpoints(parts), token=True)
    assert with_token["security"] == [{"token": []}, {"cookie": []}]
    assert with_token["paths"]["/healthz"]["get"]["security"] == []
    assert "security" not in with_token["paths"]["/api/v1/jobs"]["get"]
    assert "security" not in document(endpoints(parts), token=False)


async def test_the_settings_that_are_shown_are_what_the_document_says(client, parts):
    body = await (await client.get("/api/v1/settings")).read()
    shown = msgspec.json.decode(body, type=plain(Settings))
    assert shown.inbox.path == str(parts.settings.inbox.path)
