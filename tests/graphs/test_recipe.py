import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import RECIPES
from tests.fakes.source_image import plain_image
from zoetrope.domain.values import SourceImage, Ticket
from zoetrope.errors import Rejected
from zoetrope.graphs.recipe import Recipe, fit
from zoetrope.graphs.recipe_file import Fallback, Memory, Parameter, Size
from zoetrope.graphs.shelf import load

TINY = load(RECIPES / "tiny")
FILES = {"picture": "zoetrope/a.png", "end_picture": "", "source": "zoetrope/b.mp4"}


def image(width: int = 640, height: int = 480) -> SourceImage:
    return plain_image(width=width, height=height)


def plan(recipe: Recipe = TINY, seed: int = 7, **asked):
    return recipe.plan(Ticket(recipe="tiny", **asked), image(), seed)


def graph(stage: str = "i2v", fallbacks: tuple[str, ...] = (), **asked):
    spec = TINY.stage(stage)
    return TINY.build(plan(**asked), spec, files=FILES, prefix="p/1", fallbacks=fallbacks)


def test_defaults_fill_the_graph():
    found = graph()
    assert found["image"].inputs["image"] == "zoetrope/a.png"
    assert found["save"].inputs["filename_prefix"] == "p/1"
    assert found["ks_high"].inputs["noise_seed"] == 7
    assert found["cond"].inputs["length"] == 5
    assert found["pos"].inputs["text"] == ""


def test_what_the_ticket_asks_for_goes_where_the_recipe_says():
    found = graph(
        prompt="Beat 1", negative="blur", frames=9, width=64, height=96, parameters={"steps": 8}
    )
    assert found["pos"].inputs["text"] == "Beat 1"
    assert found["neg"].inputs["text"] == "blur"
    assert (found["ks_high"].inputs["steps"], found["ks_low"].inputs["steps"]) == (8, 8)
    cond = found["cond"].inputs
    assert (cond["length"], cond["width"], cond["height"]) == (9, 64, 96)


def test_a_later_stage_reads_the_stage_before():
    assert graph("upscale")["load"].inputs["file"] == "zoetrope/b.mp4"


def test_reliefs_set_swap_and_scale():
    tiled = graph(fallbacks=("free", "tiled-decode"), width=128, height=128)
    assert tiled["decode"].class_type == "VAEDecodeTiled"
    assert tiled["decode"].inputs["samples"] == ["ks_low", 0]
    assert tiled["cond"].inputs["width"] == 128
    smaller = graph(fallbacks=("tiled-decode", "smaller"), width=128, height=128)
    assert smaller["cond"].inputs["width"] == 96


def test_a_size_that_the_ticket_fixed_is_not_made_smaller():
    stage = TINY.stage("i2v")
    assert TINY.fallback_names(stage, Ticket(recipe="tiny")) == ("tiled-decode", "smaller")
    for fixed in ({"width": 64}, {"height": 64}, {"auto_resize": False}):
        assert TINY.fallback_names(stage, Ticket(recipe="tiny", **fixed)) == ("tiled-decode",)


@pytest.mark.parametrize(
    ("asked", "frames", "noted"),
    [
        ({}, 5, False),
        ({"frames": 9}, 9, False),
        ({"frames": 72}, 73, True),
        ({"seconds": 1}, 17, False),
        ({"seconds": 0.5}, 9, False),
        ({"seconds": 3}, 49, False),
        ({"seconds": 5}, 81, False),
    ],
)
def test_lengths_become_4n_plus_1(asked, frames, noted):
    found = plan(**asked)
    assert found.frames == frames
    assert bool(found.notes) is noted


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"frames": 0}, "5 to 81 frames"),
        ({"frames": 500}, "5 to 81 frames"),
        ({"seconds": 60}, r"0\.25 to 5 s"),
        ({"width": 4}, "Use 32 to 512"),
        ({"height": 9999}, "Use 32 to 512"),
        ({"seed": 1, "parameters": {"steps": 1}}, "a whole number from 2 to 100"),
        ({"parameters": {"steps": 4.5}}, "a whole number from 2 to 100"),
        ({"parameters": {"steps": True}}, "a whole number from 2 to 100"),
        ({"parameters": {"cfg": "high"}}, "a number from 1 to 10"),
        ({"parameters": {"stepz": 4}}, "did you mean `steps`"),
    ],
)
def test_impossible_wishes_are_refused_with_what_is_possible(asked, told):
    with pytest.raises(Rejected, match=told):
        plan(**asked)


def test_a_whole_number_serves_where_a_number_is_wanted():
    assert plan(parameters={"cfg": 3}).parameters == {"cfg": 3.0}


def test_a_seed_beyond_the_recipes_range_is_refused():
    with pytest.raises(Rejected, match="seed"):
        plan(seed=2**64)
    assert plan(seed=2**64 - 1).seed == 2**64 - 1


HERO = Size(pixels=480 * 832, multiple=16, width=(), height=(), min_edge=256, max_edge=1280)


@pytest.mark.parametrize(
    ("picture", "asked", "found"),
    [
        ((832, 480), {}, (832, 480)),
        ((4000, 3000), {}, (736, 544)),
        ((3000, 4000), {}, (544, 736)),
        ((1000, 1000), {}, (624, 624)),
        ((1000, 1000), {"width": 512}, (512, 512)),
        ((1000, 500), {"height": 512}, (1024, 512)),
        ((1000, 500), {"width": 500, "height": 500}, (496, 496)),
        ((600, 400), {"auto": False}, (608, 400)),
    ],
)
def test_the_size_keeps_the_pictures_shape_within_the_budget(picture, asked, found):
    notes: list[str] = []
    wishes = {"width": None, "height": None, "auto": True} | asked
    assert fit(picture, HERO, notes=notes, **wishes) == found


@given(width=st.integers(16, 20000), height=st.integers(16, 20000))
def test_every_picture_gets_a_size_on_the_grid_near_the_budget(width, height):
    found = fit((width, height), HERO, width=None, height=None, auto=True, notes=[])
    assert all(edge % 16 == 0 and 256 <= edge <= 1280 for edge in found)
    if 0.5 < width / height < 2:
        assert abs(found[0] * found[1] / HERO.pixels - 1) < 0.06
        assert abs((found[0] / found[1]) / (width / height) - 1) < 0.04


def test_the_estimate_grows_with_the_pixels():
    small, large = plan(), plan(width=128, height=128, frames=81)
    spec = TINY.stage("i2v")
    assert TINY.estimate(large, spec) > 10 * TINY.estimate(small, spec)


UPSCALE = load(RECIPES.parent.parent / "workflows/seedvr2-rife-upscale")


def video(frames=81, fps=16.0, size=(480, 832)) -> SourceImage:
    return plain_image(
        "cat.mp4",
        format="MP4",
        width=size[0],
        height=size[1],
        source="source.mp4",
        file="upright.png",
        frames=frames,
        fps=fps,
    )


def test_a_video_brings_its_own_length_size_and_rate():
    spec = UPSCALE.stage("upscale")
    planned = UPSCALE.plan(Ticket(recipe=UPSCALE.name), video(fps=29.97), 7)
    assert (planned.width, planned.height) == (480, 832)
    assert (planned.frames, planned.fps) == (81, 29.97)
    built = UPSCALE.build(planned, spec, files={"source": "zoetrope/a.mp4"}, prefix="p/1")
    assert built["load"].inputs["file"] == "zoetrope/a.mp4"
    assert built["final"].inputs["fps"] == 59.94
    assert UPSCALE.expected_size(planned, spec, ()) == (480, 832)
    assert UPSCALE.estimate(planned, spec) == spec.estimate_seconds


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ({"frames": 4}, "video-length"),
        ({"frames": 242}, "video-length"),
        ({"fps": 60.5}, "video-rate"),
        ({"fps": 0.5}, "video-rate"),
        ({"size": (1080, 1920)}, "video-size"),
    ],
)
def test_a_video_that_the_recipe_cannot_use_is_refused(given, key):
    with pytest.raises(Rejected) as error:
        UPSCALE.plan(Ticket(recipe=UPSCALE.name), video(**given), 7)
    assert error.value.reason.key == key


def test_a_larger_size_is_possible_where_the_ticket_asks_for_one():
    asked = {"resolution": 1440, "max_resolution": 2560}
    ticket = Ticket(recipe=UPSCALE.name, parameters=asked)
    assert UPSCALE.plan(ticket, video(size=(1080, 1920)), 7).parameters["resolution"] == 1440


def with_file(**changes) -> Recipe:
    return msgspec.structs.replace(TINY, file=msgspec.structs.replace(TINY.file, **changes))


def test_a_parameter_without_a_default_leaves_what_the_graph_holds():
    steps = msgspec.structs.replace(TINY.file.parameters["steps"], default=None)
    recipe = with_file(parameters=TINY.file.parameters | {"steps": steps})
    held = recipe.graphs["i2v.json"]["ks_high"].inputs["steps"]
    built = recipe.build(plan(recipe), TINY.stage("i2v"), files=FILES, prefix="p")
    assert recipe.default("steps") == built["ks_high"].inputs["steps"] == held
    asked = plan(recipe, parameters={"steps": held + 1})
    built = recipe.build(asked, TINY.stage("i2v"), files=FILES, prefix="p")
    assert built["ks_high"].inputs["steps"] == built["ks_low"].inputs["steps"] == held + 1


def test_a_choice_may_set_several_places_and_links():
    options = {"plain": {}, "odd": {"ks_high.steps": 3, "ks_low.latent_image": ["cond", 2]}}
    order = Parameter(type="choice", default="plain", options=options)
    recipe = with_file(parameters={"order": order})

    def built(**asked):
        planned = plan(recipe, parameters=asked)
        return recipe.build(planned, TINY.stage("i2v"), files=FILES, prefix="p")

    assert built() == built(order="plain")
    assert built(order="odd")["ks_high"].inputs["steps"] == 3
    assert built(order="odd")["ks_low"].inputs["latent_image"] == ["cond", 2]
    with pytest.raises(Rejected, match="one of plain, odd"):
        built(order="even")


CARDS = {
    16: Memory(pixels=4096, set={"ks_high.steps": 5, "ks_low.steps": 5}),
    24: Memory(pixels=9216, set={"ks_low.steps": 6}),
    80: Memory(set={"ks_low.steps": 7}),
}


@pytest.mark.parametrize(
    ("gigabytes", "pixels", "steps"),
    [
        (0, 4096, (5, 5)),
        (11.6, 4096, (5, 5)),
        (15.5, 4096, (5, 5)),
        (22, 4096, (5, 5)),
        (23.5, 9216, (5, 6)),
        (31.4, 9216, (5, 6)),
        (79.2, 9216, (5, 7)),
    ],
)
def test_a_card_can_what_smaller_ones_can_and_more(gigabytes, pixels, steps):
    recipe = with_file(memory=CARDS).on(gigabytes)
    planned = recipe.plan(Ticket(recipe="tiny"), image(64, 64), 7)
    built = recipe.build(planned, TINY.stage("i2v"), files=FILES, prefix="p")
    assert planned.width * planned.height == pixels
    assert (built["ks_high"].inputs["steps"], built["ks_low"].inputs["steps"]) == steps


def test_the_ticket_comes_before_the_card_and_relief_before_both():
    recipe = with_file(memory=CARDS).on(24)
    asked = plan(recipe, parameters={"steps": 9}, width=128, height=128)
    built = recipe.build(asked, TINY.stage("i2v"), files=FILES, prefix="p")
    assert (built["ks_high"].inputs["steps"], built["ks_low"].inputs["steps"]) == (9, 9)
    assert (asked.width, asked.height) == (128, 128)
    eased = msgspec.structs.replace(
        TINY.stage("i2v"), fallbacks=(Fallback(name="few", set={"ks_low.steps": 2}),)
    )
    built = recipe.build(asked, eased, files=FILES, prefix="p", fallbacks=("few",))
    assert (built["ks_high"].inputs["steps"], built["ks_low"].inputs["steps"]) == (9, 2)


def test_a_larger_picture_is_expected_to_take_longer():
    recipe = with_file(memory=CARDS)
    spec = TINY.stage("i2v")
    small, large = (recipe.on(gb).plan(Ticket(recipe="tiny"), image(), 7) for gb in (16, 24))
    assert recipe.estimate(large, spec) > 2 * recipe.estimate(small, spec)


@given(frames=st.integers(5, 81), gigabytes=st.floats(0, 200))
def test_no_clip_needs_more_than_its_card_holds(frames, gigabytes):
    recipe = with_file(memory=CARDS).on(gigabytes)
    planned = recipe.plan(Ticket(recipe="tiny", frames=frames), image(64, 64), 7)
    budget = recipe.card.pixels * ((TINY.file.length.frames - 1) // 4 + 1)
    seen = (planned.frames - 1) // 4 + 1
    smallest = 32 * 32 * seen
    assert planned.width * planned.height * seen <= max(1.7 * budget, smallest)


def test_one_picture_twice_loses_its_last_frame_where_the_recipe_makes_loops():
    length = msgspec.structs.replace(TINY.file.length, kept=("cond.batch_size",))
    other = msgspec.structs.replace(image(), sha256="1" * 64)
    for recipe, end, kept in (
        (with_file(length=length), image(), 4),
        (with_file(length=length), other, 5),
        (with_file(length=length), None, 5),
        (TINY, image(), 5),
    ):
        planned = recipe.plan(Ticket(recipe="tiny"), image(), 7, end=end)
        assert (planned.frames, planned.kept) == (5, kept)
        assert bool(planned.notes) is (kept == 4)


def test_a_whole_number_keeps_to_its_steps():
    with pytest.raises(Rejected, match="from 5 to 241 in steps of 4"):
        UPSCALE.plan(Ticket(recipe=UPSCALE.name, parameters={"batch": 12}), video(), 7)


def test_what_every_parameter_is_stands_in_the_plan():
    recipe = load(RECIPES / "tiny")
    cards = {16: Memory(set={"ks_high.cfg": 2.0}), 24: Memory(set={"ks_high.cfg": 3.0})}
    file = msgspec.structs.replace(recipe.file, memory=cards)
    sized = msgspec.structs.replace(recipe, file=file)
    plan = sized.on(23.6).plan(Ticket(recipe="tiny", parameters={"steps": 6}), image(), 5)
    assert plan.effective == {"prompt": "", "negative": "", "steps": 6, "cfg": 3.0}
    assert (plan.parameters, plan.memory, plan.set) == ({"steps": 6}, 24, {"ks_high.cfg": 3.0})
    said = sized.on(0).plan(Ticket(recipe="tiny", parameters={"cfg": 9.0}), image(), 5)
    assert (said.effective["cfg"], said.memory) == (9.0, 16)
