"""A recipe for pairs as small as the tests' own: the video goes from a first picture to a last one."""

from __future__ import annotations

import json
from pathlib import Path

from tests.fakes.service import RECIPES

NAME = "pair"


def write_recipe(folder: Path) -> None:
    """Write the tiny recipe once more, with a second picture for its end."""
    tiny, pair = RECIPES / "tiny", folder / NAME
    pair.mkdir(parents=True)
    text = (tiny / "recipe.toml").read_text()
    picture = 'picture = "image.image"\n'
    assert text.count(picture) == 1
    text = text.replace(picture, f'{picture}end_picture = "end.image"\n')
    (pair / "recipe.toml").write_text(f"pictures = 2\n{text}")
    graph = json.loads((tiny / "i2v.json").read_text())
    graph["end"] = graph["image"]
    graph["cond"]["class_type"] = "WanFirstLastFrameToVideo"
    graph["cond"]["inputs"]["end_image"] = ["end", 0]
    (pair / "i2v.json").write_text(json.dumps(graph))
    (pair / "upscale.json").write_bytes((tiny / "upscale.json").read_bytes())
