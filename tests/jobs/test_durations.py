"""Stages against their like on this host: when one was slow, and what is likely behind it."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.source_image import plain_image
from zoetrope.domain.job import Attempt, Job, Progress, Stage, State
from zoetrope.domain.usage import Usage
from zoetrope.domain.values import Ticket
from zoetrope.domain.verdict import Measured, Verdict
from zoetrope.graphs.recipe_file import Band
from zoetrope.graphs.shelf import Recipes, shipped
from zoetrope.jobs.durations import ENOUGH, Basis, MadeStage, judge, learned, runs

USUAL = MadeStage(
    recipe="hero", stage="i2v", card="GPU-1", size=(10, 10, 10), seconds=100.0, attention="sageattn",
    mhz=2700.0, profile="baseline", version="0.27.1", parameters=(("steps", "20"),),
)  # fmt: skip
HISTORY = [USUAL] * ENOUGH


def slow(**changes):
    return judge(msgspec.structs.replace(USUAL, seconds=200.0, **changes), HISTORY, None)


@given(st.floats(1, 134))
def test_a_stage_within_its_usual_time_is_fine(seconds):
    assert judge(msgspec.structs.replace(USUAL, seconds=seconds), HISTORY, None) is None


def test_a_larger_video_may_take_longer():
    twice = msgspec.structs.replace(USUAL, seconds=200.0, size=(10, 20, 10))
    assert judge(twice, HISTORY, None) is None


def test_one_outlier_makes_no_baseline():
    history = [*HISTORY, msgspec.structs.replace(USUAL, seconds=10_000.0)]
    assert judge(msgspec.structs.replace(USUAL, seconds=200.0), history, None).usual == 100.0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"attention": "sdpa"}, "the attention kernel is sdpa, and was sageattn"),
        ({"parameters": (("steps", "40"),)}, "the parameters are others (steps 40)"),
        ({"fallbacks": ("tiled-decode",)}, "less memory at a time (tiled-decode)"),
        ({"mhz": 1800.0, "slowed_by": ("heat (software)",)}, "1800 MHz, and is 2700 as a rule, limited by heat"),
        ({"version": "0.28.0"}, "ComfyUI is 0.28.0, and was 0.27.1"),
        ({}, "a LoRA that was not loaded"),
    ],
)  # fmt: skip
def test_what_differs_is_named_first(changes, words):
    found = slow(**changes)
    assert found.usual == pytest.approx(100.0)
    assert words in found.causes[0]


def test_causes_stand_in_the_order_in_which_they_are_worth_a_look():
    causes = slow(attention="sdpa", parameters=(), mhz=1000.0).causes
    assert [cause.split()[1] for cause in causes] == ["attention", "parameters", "core"]


def test_without_enough_of_its_like_the_recipes_estimate_counts():
    few = HISTORY[: ENOUGH - 1]
    assert judge(msgspec.structs.replace(USUAL, seconds=190.0), few, 100.0) is None
    found = judge(msgspec.structs.replace(USUAL, seconds=210.0), few, 100.0)
    assert found.by is Basis.RECIPE
    assert found.usual == 100.0
    assert judge(msgspec.structs.replace(USUAL, seconds=9999.0), few, None) is None


BAND = Band(seconds=(67, 85), width=10, height=10, frames=10, memory=32, source="a document")


def test_a_documents_band_counts_until_the_host_has_its_own_pace():
    last = msgspec.structs.replace(USUAL, seconds=86.0, memory=32.0)
    found = judge(last, HISTORY[1:], 1000.0, BAND)
    assert (found.by, found.usual) == (Basis.DOCUMENT, 85.0)
    assert judge(msgspec.structs.replace(last, seconds=85.0), [], 1.0, BAND) is None
    assert judge(last, HISTORY, 1.0, BAND) is None


def test_a_card_that_reports_a_little_less_is_still_one_that_a_band_is_fair_to():
    last = msgspec.structs.replace(USUAL, seconds=86.0, memory=31.4)  # of 32
    assert judge(last, [], 1000.0, BAND).by is Basis.DOCUMENT


def test_a_band_is_not_held_against_a_smaller_card():
    last = msgspec.structs.replace(USUAL, seconds=150.0, memory=24.0)
    assert judge(last, [], 100.0, BAND) is None


@pytest.mark.parametrize(("size", "limit"), [((10, 10, 5), 85.0), ((20, 10, 10), 170.0)])
def test_a_band_grows_with_the_clip_and_does_not_shrink(size, limit):
    assert BAND.limit(*size) == limit


def test_without_any_like_all_that_may_be_is_named_in_order():
    causes = judge(msgspec.structs.replace(USUAL, seconds=999.0, mhz=None), [], 100.0).causes
    words = (
        *("attention kernel", "LoRA", "parameters (steps 20)", "clocks"),
        *("swaps", "compilation", "other work"),
    )
    assert len(causes) == len(words)
    assert all(word in cause for word, cause in zip(words, causes, strict=True))


def test_an_engine_without_a_gpu_has_no_causes_of_a_gpu():
    last = msgspec.structs.replace(USUAL, seconds=999.0, mhz=None, processors=True)
    causes = judge(last, [], 100.0).causes
    assert "computes on processors" in causes[0]
    assert "other work" in causes[1]
    assert "swaps" in causes[2]
    named = " ".join(causes)
    assert not any(word in named for word in ("LoRA", "clocks", "kernel", "gpu status"))


def test_what_the_host_rules_out_is_not_named():
    causes = slow().causes
    assert not any(word in cause for cause in causes for word in ("kernel", "parameters", "clocks"))


def test_another_card_recipe_or_stage_is_nothing_to_compare_with():
    for changes in ({"card": "GPU-2"}, {"recipe": "lightning"}, {"stage": "upscale"}):
        other = msgspec.structs.replace(USUAL, seconds=9999.0, **changes)
        assert judge(other, HISTORY, None) is None


def make(gpu=None, started=10.0, ended=40.0, recipe="hero", steps=30, memory=0.0, **changes):
    attempt = Attempt(
        number=1, prompt_id="x", engine="e0", state=Progress.DONE, attention="sageattn",
        started=started, ended=ended, gpu=gpu, memory=memory,
    )  # fmt: skip
    measured = msgspec.convert(
        {
            "frames": 81, "fps": 16.0, "duration": 5.0, "width": 480, "height": 832, "codec": "h264",
            "size": 1, "luma": 100.0, "dark": 0.0, "clipped": 0.0, "motion": 1.0, "repeated": 0.0,
            "grain": [0.0, 0.0, 0.0], "colour": 1.0,
        },
        Measured,
    )  # fmt: skip
    stage = Stage(
        name="i2v", state=Progress.DONE, attempts=(attempt,),
        verdicts=(Verdict(file="i2v.mp4", measured=measured),),
    )  # fmt: skip
    return Job(
        id="ab" * 16, created=1.0, updated=2.0, state=State.DONE, stem="cat",
        ticket=Ticket(recipe=recipe, parameters={"steps": steps}), stages=(stage,), **changes,
    )  # fmt: skip


RECIPE = Recipes((shipped(),)).get("wan22-i2v-lightning")
IMAGE = plain_image(sha256="", format="png", width=480, height=832, source="", file="")


def took(factor, **changes):
    """Make a finished job that took so many times the recipe's estimate."""
    asked = {"recipe": RECIPE.name, "steps": 4, "images": (IMAGE,)} | changes
    planned = RECIPE.plan(make(**asked).ticket, asked["images"][0], 0)
    return make(started=0.0, ended=factor * RECIPE.estimate(planned, RECIPE.stage("i2v")), **asked)


def expected(*before, engine="e0", steps=4):
    return learned(RECIPE, "i2v", engine, {"steps": steps}, before)


def test_the_estimate_is_the_recipes_until_something_is_known():
    assert expected() == 1.0


def test_a_hosts_own_videos_correct_the_estimate_whatever_their_size():
    wide = msgspec.structs.replace(IMAGE, width=1920, height=300)
    assert expected(took(0.4), took(0.5, images=(wide,)), took(9.0)) == pytest.approx(0.5)


def test_other_engines_and_other_parameters_teach_nothing():
    assert expected(took(0.4), engine="e1") == 1.0
    assert expected(took(0.4), steps=6) == 1.0


def test_what_fits_the_recipe_no_more_teaches_nothing():
    assert learned(RECIPE, "i2v", "e0", {"steps": 99}, [make(steps=99, images=(IMAGE,))]) == 1.0
    assert learned(RECIPE, "i2v", "e0", {"steps": 4}, [make(steps=4)]) == 1.0
    assert expected(make(steps=4, images=(IMAGE,), started=None)) == 1.0


def test_what_a_finished_job_tells():
    (run,) = runs(make())
    assert (run.seconds, run.card, run.size) == (30.0, "e0", (480, 832, 81))
    assert run.parameters == (("steps", "30"),)
    usage = Usage(
        card="GPU-1", name="RTX 5090", profiles=("baseline",), seconds=25.0, mean_core_mhz=2700
    )
    (run,) = runs(make(gpu=usage))
    assert (run.seconds, run.card, run.mhz, run.profile) == (25.0, "GPU-1", 2700, "baseline")
    assert runs(make(started=None)) == []
