import json
import re
from pathlib import Path

import pytest

from zoetrope.cli.group import COMMANDS
from zoetrope.settings import Settings

DOCS = Path(__file__).parents[2] / "docs"
TEXT = (DOCS / "api.md").read_text()
DESCRIBED = json.loads((DOCS / "openapi.json").read_text())["paths"]

# A place of an address in the page, and what it is called in the description.
PLACES = (("jobs/1f3a9c2e", "jobs/{id}"), ("lost/1f3a9c2e", "lost/{id}"), ("recipes/wan22-i2v-hero", "recipes/{name}"), ("recipes/NAME", "recipes/{name}"), ("artefacts/video.mp4", "artefacts/{name}"))  # fmt: skip


def addresses():
    short = re.findall(r"\$Z(/[^\s\"?]*)", TEXT)
    long = re.findall(r"`(?:GET )?(/(?:api|readyz|healthz)[^`\s]*)", TEXT)
    return sorted({*(f"/api/v1{path}" for path in short), *long})


@pytest.mark.parametrize("address", addresses())
def test_every_address_that_the_page_names_is_described(address):
    for named, called in PLACES:
        address = address.replace(named, called)
    assert address in DESCRIBED


def test_the_page_shows_every_address_that_people_use():
    assert len(addresses()) >= 12


@pytest.mark.parametrize(
    "command", sorted(COMMANDS.keys() - {"serve", "simulate", "gpu-helper", "demo"})
)
def test_it_is_said_what_every_command_prints_as_json(command):
    table = TEXT.partition("| command | prints |")[2]
    assert f"`{command}`" in table


@pytest.mark.parametrize("key", re.findall(r"`((?:web|gpu|inbox|outbox)\.\w+)`", (DOCS / "security.md").read_text()))  # fmt: skip
def test_the_settings_that_the_security_page_names_are_there(key):
    section, _, name = key.partition(".")
    assert hasattr(getattr(Settings(), section), name)
