"""Small pages, one a rule, become what ComfyUI's own frontends made of them.

Each file of `pages/` is a page with the answers of `app.graphToPrompt()`, by the version of the frontend package;
the frontend ran in headless Chromium on a server that knew `classes.json`. A null is a page that it gives up on.
"""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from zoetrope.graphs.page_format import classes
from zoetrope.graphs.page_format.conversion import convert
from zoetrope.graphs.page_format.frontend import Frontend, of_object_info

HERE = Path(__file__).parent
PAGES = sorted((HERE / "pages").glob("*.json"))
CLASSES = json.loads((HERE / "classes.json").read_bytes())
RANDOM = re.compile(r"&rand=[\d.e-]+")
YEAR = re.compile(r'"20\d\d"')


def served(frontend: Frontend) -> dict[str, Any]:
    """The classes as a server of that frontend tells them."""
    if frontend is Frontend.OLD:
        return {
            name: {key: value for key, value in told.items() if key != "search_aliases"}
            for name, told in CLASSES.items()
        }
    return {n: c for n, c in CLASSES.items() if n != "SaveText" or frontend is Frontend.PINNED}


def spelled(graph: dict[str, Any] | None) -> str:
    text = json.dumps(graph, sort_keys=True, indent=1, ensure_ascii=False)
    return YEAR.sub('"year"', RANDOM.sub("&rand=", text))


@pytest.mark.parametrize("frontend", Frontend)
@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_page_becomes_what_the_frontend_makes_of_it(path: Path, frontend: Frontend):
    kept = json.loads(path.read_bytes())
    if frontend not in kept["answers"]:
        pytest.skip("this frontend gave no answer at all")
    info = served(frontend)
    assert of_object_info(info) is frontend
    made = convert(
        kept["page"],
        classes.from_object_info(info),
        frontend,
        now=datetime(2026, 11, 28, 9, 5, 7, tzinfo=UTC),
        choose=lambda options: options[0],
    )
    assert spelled(made.plain) == spelled(kept["answers"][frontend])
    if made.plain is None:
        assert made.findings[-1].error
        assert made.findings[-1].node


def test_every_rule_has_the_answers_of_all_three_frontends():
    missing = [p.stem for p in PAGES if len(json.loads(p.read_bytes())["answers"]) < 3]
    assert len(PAGES) >= 60
    assert missing in ([], ["vhs"])
