"""The page that walks a stranger through the code names only what is there, and every module of the street."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "street.md").read_text()
NAMED = re.findall(r"`((?:inbox|jobs|graphs|engine)/\w+\.py)` `(\w+)`", PAGE)


@pytest.mark.parametrize(("module", "name"), NAMED)
def test_what_the_page_names_is_there(module, name):
    tree = ast.parse((ROOT / "service" / "zoetrope" / module).read_text())
    kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    assert name in {node.name for node in tree.body if isinstance(node, kinds)}


def test_the_page_follows_the_street():
    folders = list(dict.fromkeys(module.split("/")[0] for module, _ in NAMED))
    assert folders == ["inbox", "jobs", "graphs", "engine"]
    assert len(NAMED) > 20
