"""The checks of cards: found, not found, and what to do next."""

import asyncio

import msgspec
import pytest

from zoetrope.errors import Reason
from zoetrope.gpu.book import Closed
from zoetrope.gpu.card import Card, PState, Sample, Span
from zoetrope.gpu.probation import Record, Trust
from zoetrope.gpu.tuner import Tuner
from zoetrope.gpu.watch import Watch
from zoetrope.gpu.wire import CardState, ProfileState
from zoetrope.health.checks.baseline import BaselineCheck
from zoetrope.health.checks.card import CardCheck
from zoetrope.health.checks.heat import HeatCheck
from zoetrope.health.checks.profile import ProfileCheck
from zoetrope.health.standard import standard
from zoetrope.settings import EngineSettings, parse

CARD = Card(
    uuid="GPU-1",
    index=0,
    name="NVIDIA GeForce RTX 5090",
    bus="",
    driver="580.95.05",
    architecture="Blackwell",
    pstates=(PState(0, Span(180, 3090), Span(405, 14001)),),
)
OTHER = msgspec.structs.replace(CARD, uuid="GPU-2", name="NVIDIA RTX 3090", architecture="Ampere")
TUNED = parse(
    "[gpu]\nworking = ['baseline']\n[gpu.profiles.baseline]\ncards = ['*5090*']\nmax_core_mhz = 2700\n",
    "zoetrope.toml",
).gpu


@pytest.fixture
async def host(parts):
    """Make a host with these cards."""

    def make(*cards, settings=TUNED, engines=(), **readings):
        engines = engines or parts.settings.engines
        parts.settings = msgspec.structs.replace(parts.settings, gpu=settings, engines=engines)
        watch = Watch()
        watch.cards = cards
        watch.looked.set()
        watch.latest = {card.uuid: Sample(uuid=card.uuid, taken=0.0, **readings) for card in cards}
        parts.tuner = Tuner(settings, engines, watch)
        return parts

    return make


def state(trust=Trust.PROVEN, **changes):
    why = Reason("gpu-xid", "Xid 13.", "See dmesg.") if trust is Trust.DISABLED else None
    record = Record(trust=trust, why=why)
    profile = ProfileState(name="baseline", steps=("core clock at most 2700 MHz",), record=record)
    found = CardState(uuid="GPU-1", name="RTX 5090", working="baseline", profiles=(profile,))
    return msgspec.structs.replace(found, **changes)


async def test_a_host_without_cards_hears_nothing_of_them(host):
    names = {verdict.name for verdict in (await standard(host()).report()).checks}
    assert not names & {"card", "heat", "profile", "baseline"}


async def test_a_host_with_a_card_hears_of_it(host):
    report = await standard(host(CARD, celsius=61, core_mhz=2100, reasons=())).report()
    assert {"card", "heat", "profile", "baseline"} <= {verdict.name for verdict in report.checks}


async def test_heat_that_slows_a_card_is_degraded(host):
    cool = await HeatCheck(host(CARD, celsius=61, core_mhz=2700, reasons=("power limit",))).look()
    assert (cool.level, cool.found) == ("ok", "RTX 5090: 61 °C.")
    hot = await HeatCheck(
        host(CARD, celsius=91, core_mhz=1900, reasons=("heat (hardware)",))
    ).look()
    assert hot.level == "degraded"
    assert hot.found == "RTX 5090: 91 °C, throttled to 1900 MHz."
    assert "air" in hot.next_step


async def test_cards_are_named_with_their_driver(host):
    found = await CardCheck(host(CARD, OTHER, settings=parse("", "x").gpu)).look()
    assert (found.level, found.found) == (
        "ok", "RTX 5090 (driver 580.95.05), RTX 3090 (driver 580.95.05)."
    )  # fmt: skip


async def test_a_card_that_an_engine_names_and_that_is_not_there_is_failing(host):
    engines = (EngineSettings(name="gpu-0", gpu="GPU-9"),)
    found = await CardCheck(host(CARD, engines=engines)).look()
    assert found.level == "failing"
    assert "gpu-0 (GPU-9)" in found.found
    assert "nvidia-smi -L" in found.next_step


async def test_several_cards_and_an_engine_that_names_none_is_degraded_where_tuning_is_wanted(host):
    found = await CardCheck(host(CARD, OTHER)).look()
    assert found.level == "degraded"
    assert "engines[].gpu" in found.next_step


async def test_a_driver_that_cannot_be_asked_and_a_lost_card_are_failing(host):
    parts = host(CARD)
    parts.tuner.watch.lost = {"GPU-1": Reason("gpu-lost", "It fallen off the bus.", "Restart.")}
    lost = await CardCheck(parts).look()
    assert (lost.level, lost.next_step) == ("failing", "Restart.")
    parts.tuner.watch.problem = Reason("gpu-mismatch", "Versions differ.", "Restart the host.")
    assert (await CardCheck(parts).look()).found == "Versions differ."


async def test_nothing_is_said_before_the_first_look(host):
    parts = host(CARD)
    parts.tuner.watch.looked = asyncio.Event()
    assert await CardCheck(parts).look() is None


async def test_a_blackwell_card_without_a_baseline_is_degraded(host):
    bare = await BaselineCheck(host(CARD, settings=parse("", "x").gpu)).look()
    assert bare.level == "degraded"
    assert "max_core_mhz = 2625" in bare.next_step
    fine = await BaselineCheck(host(CARD)).look()
    assert (fine.level, fine.found) == ("ok", "RTX 5090 runs at baseline.")
    assert await BaselineCheck(host(OTHER)).look() is None


@pytest.mark.parametrize(
    ("found", "level", "words"),
    [
        (state(), "ok", "baseline is proven"),
        (state(Trust.UNPROVEN), "ok", "baseline is unproven"),
        (state(Trust.DISABLED), "degraded", "Profile baseline is disabled. Xid 13."),
        (state(held=""), "ok", "set by the user"),
        (state(problem=Reason("gpu-lost", "It is lost.")), "degraded", "It is lost."),
    ],
)
async def test_what_is_said_of_a_profile(host, found, level, words):
    parts = host(CARD)
    parts.tuner.states = {"GPU-1": found}
    verdict = await ProfileCheck(parts).look()
    assert verdict.level == level
    assert words in verdict.found
    assert bool(verdict.next_step) == (level == "degraded")


async def test_a_profile_that_does_not_fit_is_degraded(host):
    parts = host(CARD)
    misfit = ProfileState(name="baseline", misfit=Reason("gpu-profile", "Too low.", "Change it."))
    parts.tuner.states = {"GPU-1": state(profiles=(misfit,))}
    verdict = await ProfileCheck(parts).look()
    assert (verdict.level, verdict.next_step) == ("degraded", "Change it.")


async def test_a_helper_that_is_not_there_is_degraded_where_a_profile_is_wanted(host):
    parts = host(CARD)
    parts.tuner.problem = Reason("gpu-helper", "There is no helper.", "Start it.")
    verdict = await ProfileCheck(parts).look()
    assert (verdict.level, verdict.found) == ("degraded", "There is no helper.")
    assert await ProfileCheck(host(CARD, settings=parse("", "x").gpu)).look() is None


@pytest.mark.parametrize("held", [None, ""])
async def test_a_record_that_was_not_readable_is_degraded_and_says_what_root_does(host, held):
    closed = Closed(why="it is not a file", kept="/var/lib/z/book-1.unreadable", since=0.0).reason
    record = Record(trust=Trust.DISABLED, why=closed)
    profile = ProfileState(name="baseline", record=record)
    parts = host(CARD)
    parts.tuner.states = {"GPU-1": state(profiles=(profile,), problem=closed, held=held)}
    found = await ProfileCheck(parts).look()
    assert found.level == "degraded"
    assert found.found.count("every profile is disabled") == 1
    assert "/var/lib/z/book-1.unreadable" in found.found
    assert "run as root: zoetrope gpu enable" in found.next_step
