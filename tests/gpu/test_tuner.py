"""The service's side: clocks asked for while work runs, measured, and told how it went; over a real helper."""

import asyncio
import contextlib
import itertools
import json
import os
import time

import pytest

from tests.fakes.nvml.simulated import uid
from zoetrope.domain.usage import Usage
from zoetrope.gpu import wire
from zoetrope.gpu.device import Nvml
from zoetrope.gpu.probation import Trust
from zoetrope.gpu.tuner import Tuner
from zoetrope.gpu.watch import Watch
from zoetrope.settings import EngineSettings, Restart, parse

pytestmark = pytest.mark.system("gcc")

STOCK = (0, 0, 575)
BASELINE = (2700, 300, 450)
QUIET = (1200, 0, 575)
ONE = (EngineSettings(name="e0"),)


async def until(condition, patience=20.0):
    async with asyncio.timeout(patience):
        while not (found := condition()):
            await asyncio.sleep(0.01)
        return found


@pytest.fixture
def tune(helper):
    """Run a tuner in this process beside a helper in another."""

    @contextlib.asynccontextmanager
    async def make(*cards, engines=ONE, idle=0.2, start=True, **options):
        found = helper(*cards, start=start, **options)
        text = found.config.read_text().replace(
            "[gpu]\n", f"[gpu]\nhelper_socket = '{found.socket}'\nidle_seconds = {idle}\n"
        )
        settings = parse(text, "zoetrope.toml").gpu
        with found.simulated.here():
            # Ten seconds from one look to the next, so that a test's stage is as long as a real one.
            ticks = itertools.count(0.0, 10.0)
            watch = Watch(lambda: Nvml(clock=lambda: next(ticks)))
            tuner = Tuner(settings, engines, watch)
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(tuner.watch.run())]
                await tuner.watch.looked.wait()
                tasks.append(group.create_task(tuner.run()))
                try:
                    yield tuner, found
                finally:
                    for task in tasks:
                        task.cancel()

    return make


async def test_a_stage_works_at_its_profile_and_rest_comes_after_a_while(tune):
    async with tune() as (tuner, found):
        await until(lambda: found.simulated.tuning() == QUIET)
        metering = tuner.started("e0")
        await until(lambda: found.simulated.tuning() == BASELINE)
        await until(lambda: tuner.profile_of(uid(0)) == "baseline")
        found.simulated.set(load=1.0, vram_used=9e9)
        for _ in range(200):
            await tuner.watch.look()
        usage = await tuner.ended(metering)
        assert usage.profiles == ("baseline",)
        assert usage.peak_vram == 9_000_000_000
        assert usage.energy_wh > 0
        assert 180 < usage.mean_core_mhz <= 2715
        await until(lambda: found.simulated.tuning() == QUIET)
    await asyncio.to_thread(found.until, lambda: found.simulated.tuning() == STOCK)


async def test_the_next_stage_in_time_keeps_the_clocks(tune):
    async with tune(idle=60) as (tuner, found):
        await tuner.ended(tuner.started("e0"))
        metering = tuner.started("e0")
        await until(lambda: found.simulated.tuning() == BASELINE)
        await tuner.ended(metering)
        changes = found.simulated.get("setters", None)
        again = tuner.started("e0")
        await asyncio.sleep(0)
        await tuner.watch.look()
        assert found.simulated.get("setters", None) == changes
        await tuner.ended(again)


async def test_sound_stages_earn_trust_and_suspicious_failures_lose_it(tune):
    async with tune() as (tuner, found):
        metering = tuner.started("e0")
        await until(lambda: tuner.profile_of(uid(0)) == "baseline")
        usage = Usage(card=uid(0), name="RTX 5090", profiles=("baseline",), seconds=500.0)
        for _ in range(3):
            await tuner.sound(usage)
        assert tuner.states[uid(0)].profile("baseline").record.trust is Trust.PROVEN
        # Out of memory and a wrong length are no fault of clocks.
        await tuner.failed("e0", usage, "oom", (), "Out of memory.")
        await tuner.failed("e0", usage, "doubtful", ("frames",), "It has 80 frames.")
        assert found.simulated.tuning() == BASELINE
        await tuner.failed("e0", usage, "doubtful", ("black",), "It is black.")
        assert found.simulated.tuning() == STOCK
        record = tuner.states[uid(0)].profile("baseline").record
        assert (record.trust, record.why.sentence) == (Trust.DISABLED, "It is black.")
        stock = Usage(card=uid(0), name="RTX 5090", profiles=("stock",), seconds=500.0)
        await tuner.failed("e0", stock, "doubtful", ("black",), "It is black.")
        assert tuner.states[uid(0)].profile("baseline").record.at_stock_too
        await tuner.ended(metering)


@pytest.mark.parametrize(("kind", "looks"), [("crash", ()), ("cuda", ()), ("doubtful", ("noise",))])
async def test_what_clocks_can_be_behind(tune, kind, looks):
    async with tune() as (tuner, _):
        metering = tuner.started("e0")
        await until(lambda: tuner.profile_of(uid(0)) == "baseline")
        usage = Usage(card=uid(0), name="x", profiles=("stock", "baseline"), seconds=9.0)
        await tuner.failed("e0", usage, kind, looks, "It went wrong.")
        assert tuner.states[uid(0)].profile("baseline").record.trust is Trust.DISABLED
        await tuner.ended(metering)


@pytest.mark.parametrize(("restarts", "trust"), [("0", Trust.UNPROVEN), ("1", Trust.DISABLED)])
async def test_an_engine_that_somebody_restarted_did_not_crash(
    tune, tmp_path, monkeypatch, restarts, trust
):
    systemctl = tmp_path / "systemctl"
    systemctl.write_text(
        f"#!/bin/sh\n[ $1 = show ] && [ $4 = comfyui.service ] && echo {restarts}\n"
    )
    systemctl.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    engines = (EngineSettings(name="e0", restart=Restart(unit="comfyui.service")),)
    async with tune(engines=engines) as (tuner, _):
        metering = tuner.started("e0")
        await until(lambda: tuner.profile_of(uid(0)) == "baseline")
        usage = Usage(card=uid(0), name="x", profiles=("baseline",), seconds=9.0)
        await tuner.failed("e0", usage, "crash", (), "The engine died.")
        assert tuner.states[uid(0)].profile("baseline").record.trust is trust
        await tuner.ended(metering)


async def test_a_self_test_that_differs_under_the_profile_bars_it(tune, tmp_path):
    report = tmp_path / "0.json"
    async with tune(engines=(EngineSettings(name="e0", report=report),)) as (tuner, found):
        await until(lambda: found.simulated.tuning() == QUIET)
        kernel = {"name": "sageattn", "verdict": "refused", "reason": "cosine 0.1"}
        told = {"schema": 1, "profile": "quiet", "mismatch": [kernel]}
        report.write_text(json.dumps(told))
        later = time.time() + 5
        os.utime(report, (later, later))
        metering = tuner.started("e0")
        record = lambda: tuner.states[uid(0)].profile("quiet").record  # noqa: E731
        await until(lambda: uid(0) in tuner.states and record().trust is Trust.DISABLED)
        assert "sageattn: cosine 0.1" in record().why.sentence
        await tuner.ended(metering)


async def test_an_engine_works_on_the_card_that_it_names(tune):
    engines = (EngineSettings(name="e0", gpu=uid(1)), EngineSettings(name="e1"))
    async with tune("RTX 5090", "RTX 5090", engines=engines) as (tuner, found):
        assert tuner.card_of("e0").uuid == uid(1)
        # With two cards nobody can say on which one the other works.
        assert tuner.card_of("e1") is None
        assert tuner.started("e1") is None
        assert await tuner.ended(None) is None
        metering = tuner.started("e0")
        await until(lambda: found.simulated.tuning(1) == BASELINE)
        assert found.simulated.tuning(0) == QUIET
        await tuner.ended(metering)


@pytest.fixture
def often(monkeypatch):
    """Ask the helper so often that a test need not wait."""
    monkeypatch.setattr("zoetrope.gpu.tuner.ASK_SECONDS", 0.05)


@pytest.mark.usefixtures("often")
async def test_a_helper_that_is_not_there_is_said_and_work_goes_on(tune):
    async with tune(start=False) as (tuner, found):
        metering = tuner.started("e0")
        await until(lambda: tuner.problem is not None)
        assert "zoetrope-gpu.socket" in tuner.problem.next_step
        found.start()
        await until(lambda: found.simulated.tuning() == BASELINE)
        await until(lambda: tuner.problem is None)
        assert await tuner.ended(metering) is not None


@pytest.mark.usefixtures("often")
async def test_a_helper_that_was_restarted_is_asked_again(tune):
    async with tune() as (tuner, found):
        metering = tuner.started("e0")
        await until(lambda: found.simulated.tuning() == BASELINE)
        await asyncio.to_thread(found.stop)
        assert found.simulated.tuning() == STOCK
        await asyncio.to_thread(found.start)
        await until(lambda: found.simulated.tuning() == BASELINE)
        await tuner.ended(metering)


@pytest.mark.usefixtures("often")
async def test_a_card_that_is_lost_while_it_works_is_known(tune):
    async with tune() as (tuner, found):
        metering = tuner.started("e0")
        await until(lambda: found.simulated.tuning() == BASELINE)
        found.simulated.set(lost=1)
        await until(lambda: tuner.watch.lost)
        assert "fallen off the bus" in tuner.watch.lost[uid(0)].sentence
        await tuner.ended(metering)

        def barred():
            state = tuner.states.get(uid(0))
            return state and state.profile("baseline").record.trust is Trust.DISABLED

        await until(barred)


async def test_a_host_without_cards_asks_nobody(tmp_path):
    def none():
        from zoetrope.gpu.faults import explain

        raise explain(12, "It")

    settings = parse(
        f"[gpu]\nhelper_socket='{tmp_path}/x'\nworking=['a']\n[gpu.profiles.a]\nmax_core_mhz=5", "x"
    )
    watch = Watch(none)
    tuner = Tuner(settings.gpu, settings.engines, watch)
    await watch.look()
    assert watch.cards == ()
    assert watch.problem is None
    assert tuner.started("comfyui") is None


async def test_a_person_is_told_what_the_helper_refuses(tune):
    from zoetrope.gpu.faults import GpuError

    async with tune() as (tuner, found):
        await tuner.order(wire.Apply(card=uid(0), profile="bold"))
        assert tuner.states[uid(0)].held == "bold"
        with pytest.raises(GpuError, match="There is no profile"):
            await tuner.order(wire.Apply(card=uid(0), profile="other"))
        await tuner.order(wire.Reset(card=uid(0)))
        assert found.simulated.tuning() == STOCK
