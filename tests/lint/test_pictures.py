"""Frames are followed back to where they come from; size, number and rate are told as far as they are known."""

from tests.lint.graphs import At, changed, full, hero, node, upscale
from zoetrope.graphs import catalog
from zoetrope.lint import pictures
from zoetrope.lint.graph_view import GraphView


def trail(graph, place="final.images"):
    name, _, key = place.partition(".")
    return pictures.trace(GraphView(graph, catalog.load()), name, key)


def test_interpolation_and_upscale_are_seen_on_the_way_to_the_sampler():
    found = trail(full())
    assert found.nodes == ("rife", "upscale", "decode")
    assert (found.sampler, found.decoder, found.multiplier) == ("ks_low", "decode", 2)
    assert found.same_count
    assert not found.same_size


def test_frames_of_a_file_end_at_the_node_that_loads_it():
    found = trail(upscale())
    assert (found.loader, found.sampler) == ("parts", None)


def test_what_cuts_the_clip_is_known_to_change_its_length():
    cut = node("ImageFromBatch", image=At("decode"), batch_index=0, length=40)
    found = trail(changed({**hero(), "cut": cut}, video__images=At("cut")), "video.images")
    assert found.sampler == "ks_low"
    assert found.same_size
    assert not found.same_count


def test_an_interpolation_that_nobody_knows_makes_the_rate_unknown():
    graph = changed(full(), rife__multiplier=At("nobody"))
    assert trail(graph).multiplier is None


def test_interpolators_multiply_and_an_absurd_multiple_is_none():
    row = {"r0": full()["rife"]}
    for i in range(1, 20):
        row[f"r{i}"] = changed(row, x=row["r0"], x__frames=At(f"r{i - 1}"))["x"]
    graph = {**full(), **row}
    assert trail(changed(graph, final__images=At("r1"))).multiplier == 4
    assert trail(changed(graph, final__images=At("r19"))).multiplier is None


def test_a_circle_of_pictures_has_an_end():
    graph = changed(full(), upscale__image=At("rife"))
    assert trail(graph).sampler is None


def test_a_canvas_knows_what_really_comes_out():
    view = GraphView(changed(hero(), cond__length=72), catalog.load())
    canvas = pictures.canvases(view)["cond"]
    assert canvas.frames == 69
    assert canvas.tokens == 18 * 30 * 52
