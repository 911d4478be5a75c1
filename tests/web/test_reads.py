"""What a request needs of files is read once, again only after a change, and never on the event loop."""

import json
from pathlib import Path

import msgspec
import pytest

from tests.fakes.opens import Opens

HERO = Path(__file__).parents[2] / "workflows" / "wan22-i2v-hero" / "workflow.json"
ASKED = [
    ("POST", "/api/v1/lint", {"graph": json.loads(HERO.read_text())}),
    ("POST", "/api/v1/lint", {"ticket": {"recipe": "tiny"}}),
    ("GET", "/api/v1/recipes", None),
    ("GET", "/api/v1/recipes/tiny", None),
    ("GET", "/readyz", None),
    ("GET", "/api/v1/status", None),
    ("GET", "/api/v1/engines", None),
    ("GET", "/api/v1/settings", None),
]
IDS = [f"{method} {path} {next(iter(body or {}), '')}".strip() for method, path, body in ASKED]


@pytest.fixture
def models(parts, tmp_path):
    """Let the health check of the models have a folder to look into."""
    wanted = msgspec.structs.replace(parts.settings.models, path=tmp_path / "models")
    parts.settings = msgspec.structs.replace(parts.settings, models=wanted)


async def ask(client, method, path, body):
    answer = await client.request(method, path, json=body)
    assert answer.status < 500
    return await answer.read()


@pytest.mark.parametrize(("method", "path", "body"), ASKED, ids=IDS)
async def test_no_request_opens_a_file_on_the_event_loop(models, client, method, path, body):
    with Opens() as opens:
        for _ in range(2):
            await ask(client, method, path, body)
    assert opens.on_loop == []


@pytest.mark.parametrize(("method", "path", "body"), ASKED[:5], ids=IDS[:5])
async def test_what_has_not_changed_is_not_read_again(models, client, method, path, body):
    await ask(client, method, path, body)
    with Opens() as opens:
        await ask(client, method, path, body)
    assert [name for name in opens.all if name.endswith((".toml", ".json"))] == []
