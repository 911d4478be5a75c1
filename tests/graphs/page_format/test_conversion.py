"""What is not a page, or leads nowhere, gets a sentence with its place; what is random or doubtful is said."""

import json
import resource
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from zoetrope.errors import RecipeError
from zoetrope.graphs import catalog, document
from zoetrope.graphs.page_format import classes, doubles, text
from zoetrope.graphs.page_format.conversion import Conversion, convert
from zoetrope.graphs.page_format.frontend import Frontend, of_object_info, of_version, titles

HERE = Path(__file__).parent
CLASSES = json.loads((HERE / "classes.json").read_bytes())
NOW = datetime(2026, 11, 28, 9, 5, 7, tzinfo=UTC)


def converted(page: dict[str, Any], frontend: Frontend = Frontend.PINNED) -> Conversion:
    known = classes.from_object_info(CLASSES)
    return convert(page, known, frontend, now=NOW, choose=lambda options: options[-1])


def node(node_id: int | str, kind: str = "TSource", **more: Any) -> dict[str, Any]:
    return {"id": node_id, "type": kind, **more}


def chain(count: int) -> dict[str, Any]:
    """A picture that goes through so many reroutes."""
    nodes = [node(0, outputs=[{"name": "IMAGE", "type": "IMAGE"}])]
    for i in range(1, count + 1):
        ends = [{"name": "", "type": "*", "link": i}]
        nodes.append(node(i, "Reroute", inputs=ends, outputs=[{"name": "", "type": "IMAGE"}]))
    nodes.append(
        node(count + 1, "TSink", inputs=[{"name": "image", "type": "IMAGE", "link": count + 1}])
    )
    links = [[i, i - 1, 0, i, 0, "IMAGE"] for i in range(1, count + 2)]
    return {"nodes": nodes, "links": links}


def definition(name: str, *inner: str) -> dict[str, Any]:
    nodes = [node(i, kind) for i, kind in enumerate(inner)]
    return {"id": name, "nodes": nodes, "links": [], "inputs": [], "outputs": []}


@pytest.mark.parametrize(
    ("page", "place"),
    [
        ({"nodes": [3]}, r"nodes\[0\] is not an object"),
        ({"nodes": [{"type": "TSink"}]}, r"nodes\[0\] has no id"),
        ({"nodes": [{"id": 1}]}, r"nodes\[0\] has no type"),
        ({"nodes": [node(1, inputs=[4])]}, r"nodes\[0\].inputs\[0\] is not an object"),
        ({"nodes": [], "links": 5}, "links is not a list"),
        ({"nodes": [], "links": [[1, 2]]}, r"links\[0\] is not a link"),
        ({"nodes": [], "links": [{"id": 1, "origin_id": 2}]}, r"links\[0\] is not a link"),
        ({"nodes": [], "links": [[1, 2, "x", 3, 4]]}, r"links\[0\] is not a link"),
        ({"nodes": 5}, "nodes is not a list"),
        (
            {"nodes": [], "definitions": {"subgraphs": [{"nodes": [None]}]}},
            r"subgraphs\[0\].nodes\[0\]",
        ),
    ],
)
def test_what_is_no_page_is_rejected_with_its_place(page: dict[str, Any], place: str):
    with pytest.raises(RecipeError, match=place):
        converted(page)


@pytest.mark.parametrize("frontend", Frontend)
def test_a_subgraph_that_contains_itself_ends_with_its_name(frontend: Frontend):
    page = {
        "nodes": [node(1, "a")],
        "definitions": {"subgraphs": [definition("a", "b"), definition("b", "a")]},
    }
    found = converted(page, frontend)
    assert found.nodes is None
    assert found.findings[-1].key == "circle"
    assert found.findings[-1].node.startswith("1:")


def test_subgraphs_that_multiply_end_with_a_sentence_and_take_no_memory():
    graphs = [definition(f"g{i}", f"g{i + 1}", f"g{i + 1}") for i in range(40)]
    page = {
        "nodes": [node(1, "g0")],
        "definitions": {"subgraphs": [*graphs, definition("g40", "TSource")]},
    }
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = converted(page)
    assert found.nodes is None
    assert found.findings[-1].key == "too-many-nodes"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 1024


def test_a_long_chain_of_reroutes_is_followed_to_its_end():
    found = converted(chain(3000))
    assert found.nodes is not None
    assert found.nodes["3001"].inputs["image"] == ["0", 0]


def test_a_class_that_the_server_lacks_is_an_error_with_its_title():
    found = converted({"nodes": [node(7, "NoSuch", title="My node")]})
    assert [(f.key, f.node, f.title, f.error) for f in found.findings] == [
        ("unknown-class", "7", "My node", True)
    ]
    assert str(found.findings[0]) == "node 7 (My node): this ComfyUI has no node 'NoSuch'"


def test_a_link_to_nothing_says_which_input_it_is():
    page = {"nodes": [node(2, "TSink", inputs=[{"name": "image", "type": "IMAGE", "link": 5}])]}
    found = converted(page)
    assert found.plain is None
    assert (
        str(found.findings[0])
        == "node 2 (TSink): its input 'image' has the link 5, which does not exist"
    )


def test_an_id_that_two_nodes_have_is_said():
    assert [f.key for f in converted({"nodes": [node(1), node(1)]}).findings] == ["duplicate-id"]


def test_numbers_come_out_as_a_browser_writes_them():
    kept = [2**64 - 1, 1.0, 0.1, 1e22, float("nan"), True, 2**53, {"a": [-0.0, 3.0]}]
    assert doubles.plain(kept) == [
        18446744073709552000,
        1,
        0.1,
        1e22,
        None,
        True,
        2**53,
        {"a": [0, 3]},
    ]
    assert [type(found) for found in doubles.plain(kept)][1] is int
    assert [doubles.text(v) for v in (None, True, 2.0, 0.5, 1e-7, "x", [1, None])] == [
        "",
        "true",
        "2",
        "0.5",
        "1e-7",
        "x",
        "1,",
    ]
    assert doubles.plain(10**400) is None


@pytest.mark.parametrize(
    ("told", "made"),
    [
        ("{a|b} and {c|{d|e}}", "b and e"),
        ("{x}", "x"),
        (r"\{a\|b\}", "{a|b}"),
        ("{a\\|b}", "a|b"),
        ("see https://x.org\nnext // gone", "see https:\nnext "),
        ("a /* b\nc */ d", "a  d"),
        ("{open", "open"),
        ("{a|}", ""),
    ],
)
def test_random_parts_of_a_prompt_are_chosen_and_comments_go(told: str, made: str):
    assert text.prompt(told, lambda options: options[-1]) == made


def test_endless_braces_do_not_nest_endlessly():
    assert len(text.prompt("{" * 5000, lambda options: options[-1])) <= 5000


def test_dates_are_written_in_their_form():
    assert text.date("yyyy-MM-dd_hh.mm.ss d/M h yy", NOW) == "2026-11-28_09.05.07 28/11 9 26"


def test_the_frontend_is_the_one_of_the_catalogue():
    assert of_object_info({"A": {}}) is Frontend.OLD
    assert of_object_info({"A": {"search_aliases": []}}) is Frontend.SHARED
    assert of_object_info({"A": {"search_aliases": []}, "SaveText": {}}) is Frontend.PINNED
    assert [of_version(v) for v in ("0.3.64", "0.27.1", "0.33.0")] == list(Frontend)
    assert titles(Frontend.SHARED)["ComfySwitchNode"] == "Switch"
    assert len(titles(Frontend.OLD)) > 490
    assert len(titles(Frontend.PINNED)) > len(titles(Frontend.SHARED)) > 700


def test_a_recorded_catalogue_serves_as_well():
    """Its names of nodes and defaults are enough for what the shipped recipes are made of."""
    known = classes.from_catalog(catalog.load())
    page = {
        "nodes": [
            node(
                1,
                "EmptyLatentImage",
                widgets_values=[640, 368, 2],
                outputs=[{"name": "LATENT", "type": "LATENT", "links": [1]}],
            ),
            node(
                2,
                "SaveLatent",
                inputs=[{"name": "samples", "type": "LATENT", "link": 1}],
                widgets_values=["latents/x"],
            ),
        ],
        "links": [[1, 1, 0, 2, 0, "LATENT"]],
    }
    found = convert(
        page, known, of_version(catalog.PINNED), now=NOW, choose=lambda options: options[0]
    )
    assert not found.findings
    read = document.read(found.plain, "it")
    assert read.nodes["1"].inputs == {"width": 640, "height": 368, "batch_size": 2}
    assert read.nodes["2"].inputs == {"samples": ["1", 0], "filename_prefix": "latents/x"}
