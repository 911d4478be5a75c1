"""Profiles against a card's own ranges: all mistakes at once, before anything is touched."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoetrope.gpu.card import Card, PState, Sample, Span
from zoetrope.gpu.profile import ProfileError, SetterStep, choose, declared, plan
from zoetrope.settings import GpuSettings, ProfileSettings, parse

CARD = Card(
    uuid="GPU-1",
    index=0,
    name="NVIDIA GeForce RTX 5090",
    bus="00000000:01:00.0",
    driver="580.95.05",
    architecture="Blackwell",
    pstates=(PState(0, Span(180, 3090), Span(14001, 14001)),),
    power=Span(400, 600),
    power_default=575,
    offset=Span(-1000, 1000),
)
BARE = Card(uuid="GPU-2", index=1, name="NVIDIA H100", bus="", driver="535.1")


def test_steps_go_from_the_outside_in_and_come_back_the_other_way():
    found = plan(
        CARD, "baseline", ProfileSettings(max_core_mhz=2700, core_offset_mhz=300, power_limit_w=450)
    )
    assert found.steps == (
        SetterStep("power", 450),
        SetterStep("lock", 2700, low=180),
        SetterStep("offset", 300),
    )
    assert found.knobs == ("offset", "lock", "power")
    assert found.highest == 2700
    assert [str(step) for step in found.steps] == [
        "power limit 450 W",
        "core clock at most 2700 MHz",
        "core offset +300 MHz",
    ]


@pytest.mark.parametrize(
    ("profile", "words"),
    [
        (
            ProfileSettings(power_limit_w=350),
            ("outside of the GPU's 400 to 600 W", "max_core_mhz"),
        ),
        (ProfileSettings(power_limit_w=700), ("outside of the GPU's 400 to 600 W",)),
        (ProfileSettings(max_core_mhz=100), ("outside of the GPU's 180 to 3090 MHz",)),
        (ProfileSettings(max_core_mhz=9000, power_limit_w=1), ("max_core_mhz", "power_limit_w")),
        (ProfileSettings(max_core_mhz=2000, core_offset_mhz=1001), ("-1000 to 1000 MHz",)),
        (ProfileSettings(cards=("*4090*",), max_core_mhz=2000), ("it is for *4090*",)),
    ],
)
def test_what_does_not_fit_is_told_with_the_cards_own_range(profile, words):
    with pytest.raises(ProfileError) as error:
        plan(CARD, "odd", profile)
    for word in words:
        assert word in str(error.value)


def test_a_card_that_tells_no_ranges_takes_nothing():
    wanted = ProfileSettings(max_core_mhz=2000, core_offset_mhz=100, power_limit_w=400)
    with pytest.raises(ProfileError) as error:
        plan(BARE, "x", wanted)
    for word in (
        "the power limit of the GPU cannot be set",
        "clocks",
        "does not support a core offset",
    ):
        assert word in str(error.value)


@pytest.mark.parametrize(
    "pattern", ["*5090*", "rtx 5090", "NVIDIA GeForce RTX 5090", "gpu-1", "*", "*RTX*"]
)
def test_a_card_is_meant_by_uuid_name_or_pattern(pattern):
    assert CARD.is_called(pattern)


def test_the_first_profile_that_is_meant_for_a_card_counts():
    profiles = {
        "a": ProfileSettings(cards=("*3090*",), max_core_mhz=1500),
        "b": ProfileSettings(cards=("GPU-1",), max_core_mhz=2000),
        "c": ProfileSettings(max_core_mhz=1000),
    }
    settings = GpuSettings(working=("a", "b", "c"), idle=("a",), profiles=profiles)
    assert declared(CARD, settings) == ("b", "")
    assert declared(BARE, settings) == ("c", "")
    assert choose(CARD, [], profiles) == ""


def test_other_figures_another_driver_or_card_are_another_proof():
    import msgspec

    wanted = ProfileSettings(max_core_mhz=2000)
    first = plan(CARD, "p", wanted)
    assert plan(CARD, "renamed", wanted).fingerprint == first.fingerprint
    others = [
        plan(CARD, "p", ProfileSettings(max_core_mhz=2001)),
        plan(msgspec.structs.replace(CARD, driver="590"), "p", wanted),
        plan(msgspec.structs.replace(CARD, uuid="GPU-9"), "p", wanted),
    ]
    assert len({first.fingerprint, *(each.fingerprint for each in others)}) == 4


figures = st.one_of(st.none(), st.integers(-5000, 5000))


@given(high=figures, offset=figures, watts=figures)
def test_whatever_is_planned_lies_inside_of_the_cards_ranges(high, offset, watts):
    profile = ProfileSettings(max_core_mhz=high, core_offset_mhz=offset, power_limit_w=watts)
    fits = (
        (high is None or 180 <= high <= 3090)
        and (offset is None or -1000 <= offset <= 1000)
        and (watts is None or 400 <= watts <= 600)
    )
    if not fits:
        with pytest.raises(ProfileError):
            plan(CARD, "p", profile)
        return
    found = {step.knob: step.value for step in plan(CARD, "p", profile).steps}
    assert found == {
        knob: value
        for knob, value in (("lock", high), ("offset", offset), ("power", watts))
        if value is not None
    }


@pytest.mark.parametrize(
    ("step", "reading", "holds"),
    [
        (SetterStep("lock", 2700), {"core_mhz": 2715}, True),
        (SetterStep("lock", 2700), {"core_mhz": 2716}, False),
        (SetterStep("offset", 300), {"offset_mhz": 285}, True),
        (SetterStep("offset", 300), {"offset_mhz": 0}, False),
        (SetterStep("power", 450), {"limit_watts": 450.9}, True),
        (SetterStep("power", 450), {"limit_watts": 575.0}, False),
        (SetterStep("power", 450), {}, True),
    ],
)
def test_a_step_holds_within_one_step_of_the_driver(step, reading, holds):
    assert step.holds(Sample(uuid="GPU-1", taken=0.0, **reading)) is holds


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[gpu.profiles.a]\n", "gpu.profiles.a: is empty"),
        ("[gpu.profiles.a]\ncore_offset_mhz = 100\n", "an overclock; set max_core_mhz"),
        ("[gpu.profiles.a]\nmax_core_mhz = 1\nmax_memory_mhz = 5000\n", "slows the fabric"),
        ("[gpu.profiles.a]\nmax_core_mhz = 1\nmax_cor = 1\n", "did you mean `max_core_mhz`?"),
        ("[gpu.profiles.a]\nmax_core_mhz = 'x'\n", "gpu.profiles.a.max_core_mhz: found 'x'"),
        ("[gpu.profiles.'a b']\nmax_core_mhz = 5\n", "letters, digits"),
        (
            "[gpu]\nworking = ['basline']\n[gpu.profiles.baseline]\nmax_core_mhz = 5\n",
            "did you mean",
        ),
        ("[gpu]\nidle = ['x']\n", "gpu.idle: there is no profile 'x'; there are none."),
        ("[gpu]\nhelper_socket = 'x'\n", "gpu.helper_socket"),
        ("[gpu.profiles.a]\ncards = []\nmax_core_mhz = 5\n", "found an empty list"),
        ("[gpu]\nprofiles = 5\n", "gpu.profiles"),
    ],
)
def test_settings_that_cannot_be_are_told_with_their_place(text, words):
    from zoetrope.errors import SettingsError

    with pytest.raises(SettingsError) as error:
        parse(text, "zoetrope.toml")
    assert words in str(error.value)
    assert "Traceback" not in str(error.value)


def test_settings_with_profiles_are_read():
    found = parse(
        "[gpu]\nworking = ['a']\n[gpu.profiles.a]\ncards = ['*5090*']\nmax_core_mhz = 2700\n", "x"
    ).gpu
    assert found.profiles["a"].max_core_mhz == 2700
    assert found.working == ("a",)
