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


@pytest.mark.parametrize("script", sorted(FILES.glob("*.js")), ids=lambda path: path.name)
def test_a_module_writes_text_and_never_markup_and_fits_in_the_head(script):
    text = script.read_text()
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|new Function|\.style\b", text
    )
    assert text.startswith("// "), "says in a sentence what it is"
    assert len(text.splitlines()) <= 400
    assert all(re.fullmatch(r"\./\w+\.js", name) for name in re.findall(r'from "(.*)"', text))


def test_every_module_and_every_element_that_is_asked_for_is_there():
    texts = {path.name: path.read_text() for path in FILES.glob("*.js")}
    wanted = {name for text in texts.values() for name in re.findall(r'from "\./(.*)"', text)}
    assert wanted | {"main.js"} == texts.keys()
    ids = re.findall(r' id="([^"]+)"', (FILES / "index.html").read_text())
    assert len(set(ids)) == len(ids)
    asked = {name for text in texts.values() for name in re.findall(r'byId\("([^"]+)"\)', text)}
    # What the fields of tickets are called is put together when they are made.
    assert {name for name in asked if not name.startswith("repeat-prompt")} <= set(ids)


def test_whatever_a_module_imports_is_exported_there_and_used_here():
    texts = {path.name: path.read_text() for path in FILES.glob("*.js")}
    for name, text in texts.items():
        for names, other in re.findall(r'import \{([^}]*)\} from "\./(.*)"', text):
            for asked in filter(None, map(str.strip, names.split(","))):
                there, _, here = asked.partition(" as ")
                exported = rf"export (?:async )?(?:function|class|const) {there}\b"
                assert re.search(exported, texts[other]), f"{name}: {there} of {other}"
                assert len(re.findall(rf"\b{here or there}\b", text)) > 1, f"{name}: {asked}"


async def test_a_file_that_the_browser_has_is_not_sent_again(client):
    first = await client.get("/page/main.js")
    again = await client.get("/page/main.js", headers={"If-None-Match": first.headers["ETag"]})
    assert again.status == 304
    assert await again.read() == b""
    other = await client.get("/page/main.js", headers={"If-None-Match": '"other"'})
    assert other.status == 200


async def test_the_login_leads_home_when_there_is_no_token(client):
    response = await client.get("/login")
    assert response.url.path == "/"
