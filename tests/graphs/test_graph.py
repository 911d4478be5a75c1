import json

import pytest

from zoetrope.errors import RecipeError
from zoetrope.graphs.document import decode, encode
from zoetrope.graphs.graph import digest, put, swap

TEXT = json.dumps(
    {
        "decode": {"class_type": "VAEDecode", "inputs": {"samples": ["ks", 0], "vae": ["v", 0]}},
        "ks": {"class_type": "KSampler", "inputs": {"steps": 4}, "_meta": {"title": "Sampler"}},
    }
)


def test_a_graph_comes_back_as_it_was():
    assert encode(decode(TEXT, "x")) == json.loads(TEXT)


def test_the_digest_does_not_depend_on_the_order_of_keys():
    turned = json.dumps(dict(reversed(json.loads(TEXT).items())))
    assert digest(decode(TEXT, "x")) == digest(decode(turned, "x"))
    assert digest(decode(TEXT, "x")) != digest(put(decode(TEXT, "x"), {"ks.steps": 5}))


def test_values_are_put_without_touching_the_original():
    graph = decode(TEXT, "x")
    assert put(graph, {"ks.steps": 8})["ks"].inputs["steps"] == 8
    assert graph["ks"].inputs["steps"] == 4
    for place in ("nobody.steps", "ks"):
        with pytest.raises(RecipeError, match="no place"):
            put(graph, {place: 1})


def test_a_swapped_node_keeps_its_links():
    node = swap(decode(TEXT, "x"), "decode", "VAEDecodeTiled", {"tile_size": 256})["decode"]
    assert node.class_type == "VAEDecodeTiled"
    assert node.inputs == {"samples": ["ks", 0], "vae": ["v", 0], "tile_size": 256}
    with pytest.raises(RecipeError, match="no node"):
        swap(decode(TEXT, "x"), "nobody", "VAEDecode", {})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "not valid JSON"),
        ('{"nodes": [], "links": []}', "page's own format"),
        ('{"1": {"inputs": {}}}', "not an API-format graph"),
        ("[]", "has no object of nodes"),
    ],
)
def test_what_is_no_api_graph_is_named_as_such(text, told):
    with pytest.raises(RecipeError, match=told):
        decode(text, "g.json")
