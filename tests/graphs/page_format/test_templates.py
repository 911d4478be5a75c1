"""The official templates become what the frontend makes of them; pages and answers stay outside the repository.

`ZOETROPE_PAGE_ANSWERS` names a folder with `object_info/FRONTEND.json` (what the server answered),
`pages/RELEASE/NAME.json` (the templates of a release of the package) and `answers/FRONTEND/RELEASE/NAME.json`
(`{"output": …}` of `app.graphToPrompt()`, or `{"error": …}`). `templates.txt` has the digest of each page.
"""

import hashlib
import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.graphs.page_format.test_pages import spelled
from zoetrope.graphs.page_format import classes
from zoetrope.graphs.page_format.conversion import convert
from zoetrope.graphs.page_format.frontend import Frontend, of_object_info

KEPT = Path(os.environ.get("ZOETROPE_PAGE_ANSWERS", "/nowhere"))
LISTED = dict(
    reversed(line.split(" ", 1))
    for line in (Path(__file__).parent / "templates.txt").read_text().splitlines()
)

# The frontend draws the model, uploads the picture of it, and sends the picture's name.
DRAWN = {
    "api_hunyuan3d_model2uv",
    "api_hunyuan3d_part",
    "api_hunyuan3d_retopo_uv",
    "api_hunyuan3d_smart_topology",
}
DIFFERENT = {
    Frontend.OLD: DRAWN
    # It gives nested instances the values of whichever inputs stand at stale places.
    | {"templates-1_click_multiple_character_angles-v1.0"},
    Frontend.SHARED: DRAWN,
    # It moves a primitive's value to the input at a stale place: a model's name becomes an aspect ratio.
    Frontend.PINNED: DRAWN | {"templates_graphic_design_recomposer"},
}


@pytest.mark.skipif(not KEPT.is_dir(), reason="ZOETROPE_PAGE_ANSWERS names no folder")
@pytest.mark.parametrize("frontend", Frontend)
@pytest.mark.parametrize("release", ["0.11.6", "0.11.44"])
def test_official_templates_become_what_the_frontend_makes_of_them(
    frontend: Frontend, release: str
):
    info = json.loads((KEPT / "object_info" / f"{frontend}.json").read_bytes())
    assert of_object_info(info) is frontend
    known = classes.from_object_info(info)
    different, equal = set(), 0
    for path in sorted((KEPT / "answers" / frontend / release).glob("*.json")):
        text = (KEPT / "pages" / release / path.name).read_bytes()
        assert LISTED[f"{release}/{path.stem}"] == hashlib.sha256(text).hexdigest()[:16]
        made = convert(
            json.loads(text),
            known,
            frontend,
            now=datetime.now(UTC),
            choose=lambda options: options[0],
        )
        wanted = json.loads(path.read_bytes()).get("output")
        if spelled(made.plain) == spelled(wanted):
            equal += 1
        else:
            different.add(path.stem)
    if not equal:
        pytest.skip("no answers of this frontend are kept")
    assert equal > 100
    assert different <= DIFFERENT[frontend]
