import re
from pathlib import Path

import pytest

from zoetrope.web import page

FILES = Path(page.__file__).parent


async def test_the_page_and_everything_it_names_is_served(client):
    response = await client.get("/")
    assert response.content_type == "text/html"
    text = await response.text()
    named = re.findall(r'(?:src|href)="(/page/[^"]+)"', text)
    assert len(named) == 3
    for path in named:
        assert (await client.get(path)).status == 200, path


@pytest.mark.parametrize("path", ["/page/", "/page/../server.py", "/page/__init__.py", "/page/%2e%2e/x"])  # fmt: skip
async def test_nothing_else_of_the_disk_is_served(client, path):
    assert (await client.get(path)).status == 404


@pytest.mark.parametrize("name", ["index.html", "login.html"])
def test_the_page_has_no_inline_script_or_style_and_loads_nothing_from_elsewhere(name):
    text = (FILES / name).read_text()
    assert not re.search(r"<script(?![^>]*src=)", text)
    assert not re.search(r"<style|style=|\son\w+=", text)
    assert "://" not in text


def test_the_script_writes_text_and_never_markup():
    text = (FILES / "live.js").read_text()
    assert "textContent" in text
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|\.style\b", text
    )


async def test_the_login_leads_home_when_there_is_no_token(client):
    response = await client.get("/login")
    assert response.url.path == "/"
