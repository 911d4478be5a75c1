"""`/metrics` as a Prometheus server reads it."""

import math
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.fakes.ledger import fill
from tests.web.fakes import WorkerStatus, make_job
from zoetrope.domain import steps
from zoetrope.domain.job import Stage, State
from zoetrope.domain.usage import Usage
from zoetrope.domain.values import Artefact, Failure, Ticket
from zoetrope.errors import LedgerError, Reason
from zoetrope.jobs.tally import STAGE_SECONDS, Histogram
from zoetrope.store.sqlite.ledger import Ledger
from zoetrope.store.sqlite.schema import open_file
from zoetrope.web.gauges import Gauges

RECIPE = "tiny"  # is on the shelf of these tests
FILES = (Artefact(file="a.mp4", size=1, sha256="0"),)


class Scrape:
    """What one look at the metrics found."""

    def __init__(self, text):
        self.families = {family.name: family for family in text_string_to_metric_families(text)}
        self.samples = [sample for family in self.families.values() for sample in family.samples]

    def __call__(self, name, **labels):
        """Give the value of the one sample with this name and these labels, or None."""
        found = [s.value for s in self.samples if s.name == name and s.labels == labels]
        assert len(found) <= 1
        return found[0] if found else None


@pytest.fixture
def scrape(client):
    async def ask():
        answer = await client.get("/metrics")
        assert answer.status == 200
        return Scrape(await answer.text())

    return ask


async def add(parts, state=State.QUEUED, **changes):
    job = make_job(state, **{"ticket": Ticket(recipe=RECIPE), **changes})
    return await parts.ledger.add(job, claim=job.id)


async def make_video(parts, *, watt_hours=None, seconds=42.0, oom=False):
    """Take a job through one stage to the outbox, as the conductor writes it down."""
    ledger = parts.ledger
    job = (await add(parts, stages=(Stage(name="i2v"),))).id

    async def attempt():
        await ledger.change(job, lambda j: steps.submit(j, 5.0, "comfyui"))
        await ledger.change(job, lambda j: steps.start(j, 10.0))
        if watt_hours is not None:
            usage = Usage(card="GPU-1", name="RTX 5090", energy_wh=watt_hours)
            await ledger.change(job, lambda j: steps.measure(j, 11.0, usage))

    await attempt()
    if oom:
        failure = Failure(kind="oom", message="Allocation on device")
        await ledger.change(job, lambda j: steps.try_again(j, 12.0, failure, ("free",)))
        await attempt()
    await ledger.change(job, lambda j: steps.finish_stage(j, 10.0 + seconds, FILES))
    await ledger.publish(job, lambda j: steps.publish(j, 60.0, "cat-1"), [])


async def test_jobs_are_counted_by_recipe_and_state(parts, scrape):
    for state in (State.QUEUED, State.QUEUED, State.REVIEW):
        await add(parts, state)
    found = await scrape()
    told = {state: found("zoetrope_jobs", recipe=RECIPE, state=str(state)) for state in State}
    assert told == {**dict.fromkeys(State, 0.0), State.QUEUED: 2.0, State.REVIEW: 1.0}


async def test_names_that_only_tickets_know_make_no_series_of_their_own(parts, scrape):
    for name in ("nonsense", 'x"} 1\n# HELP'):
        await add(parts, State.REJECTED, ticket=Ticket(recipe=name), reason=Reason("recipe", "No."))
    found = await scrape()
    assert found("zoetrope_jobs", recipe="other", state="rejected") == 2
    assert {s.labels["recipe"] for s in found.families["zoetrope_jobs"].samples} == {"other"}


async def test_a_finished_stage_falls_into_the_buckets_of_its_recipe_and_stage(parts, scrape):
    await make_video(parts, seconds=42.0)
    found = await scrape()
    labels = {"recipe": RECIPE, "stage": "i2v"}
    assert found("zoetrope_stage_seconds_sum", **labels) == 42.0
    assert found("zoetrope_stage_seconds_count", **labels) == 1
    assert found("zoetrope_stage_seconds_bucket", le="30.0", **labels) == 0
    assert found("zoetrope_stage_seconds_bucket", le="60.0", **labels) == 1
    assert found("zoetrope_stage_seconds_bucket", le="+Inf", **labels) == 1


async def test_the_energy_of_a_video_is_told_in_joules(parts, scrape):
    await make_video(parts, watt_hours=10.0, oom=True)
    await make_video(parts)
    found = await scrape()
    assert found("zoetrope_video_energy_joules_sum", recipe=RECIPE) == 72_000.0
    assert found("zoetrope_video_energy_joules_count", recipe=RECIPE) == 1


async def test_rungs_and_refusals_are_counted_by_what_they_were(parts, scrape):
    await make_video(parts, oom=True)
    await add(parts, State.REJECTED, reason=Reason("picture-broken", "It is broken."))
    refused = await add(parts)
    reason = Reason("graph-refused", "No such input.")
    await parts.ledger.change(refused.id, lambda j: steps.reject(j, 2.0, reason))
    found = await scrape()
    assert found("zoetrope_rungs_climbed_total", rung="free") == 1
    assert found("zoetrope_rejections_total", reason="picture-broken") == 1
    assert found("zoetrope_rejections_total", reason="graph-refused") == 1


async def test_engines_that_are_up_and_down_and_their_sockets(parts, scrape):
    parts.conductor.workers = [
        WorkerStatus(name="a", reconnects=3),
        WorkerStatus(name="b", up=False, reason=Reason("engine-down", "Gone.")),
    ]
    found = await scrape()
    assert found("zoetrope_engine_up", engine="a") == 1
    assert found("zoetrope_engine_up", engine="b") == 0
    assert found("zoetrope_engine_socket_reconnects_total", engine="a") == 3


AGE = "zoetrope_oldest_waiting_job_seconds"


async def test_the_age_of_the_oldest_job_that_nobody_has(parts, scrape):
    assert (await scrape())(AGE) == 0
    now = time.time()
    held = await add(parts, updated=now - 900)
    await add(parts, updated=now - 300)
    await add(parts, updated=now - 100)
    assert (await scrape())(AGE) == pytest.approx(900, abs=30)
    parts.conductor.workers = [WorkerStatus(in_hand=(held.id,))]
    assert (await scrape())(AGE) == pytest.approx(300, abs=30)


async def test_a_job_that_is_held_again_and_again_grows_older(parts, scrape):
    now = time.time()
    job = await add(parts, created=now - 500, updated=now - 500)
    why = Reason("model-missing", "It lacks a file.")
    await parts.ledger.change(job.id, lambda j: steps.hold(j, now, why, now + 60))
    assert (await scrape())(AGE) == pytest.approx(500, abs=30)


async def test_a_job_that_waited_for_a_review_has_not_waited_for_an_engine(parts, scrape):
    job = await add(parts, State.REVIEW, created=1.0, updated=1.0)
    await parts.conductor.approve(job.id)
    assert (await scrape())(AGE) < 30


async def test_without_ledger_and_conductor_there_are_still_metrics(parts, scrape):
    parts.ledger = parts.conductor = None
    found = await scrape()
    assert "zoetrope_jobs" not in found.families
    assert "zoetrope_rejections" in found.families


async def test_a_ledger_that_cannot_answer_holds_nothing_else_back(parts, scrape, monkeypatch):
    async def fail():
        raise LedgerError("The ledger cannot be used.")

    monkeypatch.setattr(parts.ledger, "tally", fail)
    found = await scrape()
    assert "zoetrope_jobs" not in found.families
    assert found("zoetrope_engine_up", engine="comfyui") == 1


async def test_every_metric_is_explained_and_named_as_prometheus_wants_it(parts, scrape):
    await make_video(parts, watt_hours=10.0, oom=True)
    for family in (await scrape()).families.values():
        assert family.name.startswith("zoetrope_")
        assert family.documentation.endswith("."), family.name
        assert family.type in ("gauge", "counter", "histogram"), family.name
        assert not family.name.endswith(("_total", "_count", "_sum", "_bucket")), family.name
        for word in ("milli", "_ms", "_mb", "_wh", "percent", "_minutes"):
            assert word not in family.name


async def test_looking_changes_nothing(parts):
    await make_video(parts)
    gauges = Gauges(parts, now=lambda: 0.0)
    assert (await gauges.text()) == (await gauges.text())


async def test_a_look_costs_the_same_however_many_jobs_there_are(parts, tmp_path):
    steps_of_sqlite = 0

    def count():
        nonlocal steps_of_sqlite
        steps_of_sqlite += 1

    async def cost(times):
        nonlocal steps_of_sqlite
        file = tmp_path / f"{times}.db"
        states = (State.QUEUED, State.DONE, State.REJECTED) * times
        fill(file, (make_job(state, ticket=Ticket(recipe=RECIPE)) for state in states))
        connection, lock = open_file(file)
        ledger = Ledger(connection, lock, ThreadPoolExecutor(max_workers=1))
        assert (await ledger.counts())[State.QUEUED] == times
        steps_of_sqlite = 0
        connection.set_progress_handler(count, 1)
        parts.ledger, kept = ledger, parts.ledger
        await Gauges(parts).text()
        parts.ledger = kept
        await ledger.close()
        return steps_of_sqlite

    few = await cost(1)
    assert 0 < await cost(700) <= few


@pytest.mark.parametrize("value", [0.0, 1.0, 1.5, 7200.0, 1e9])
def test_a_histogram_holds_a_value_in_every_bucket_from_its_own_on(value):
    histogram = Histogram(STAGE_SECONDS)
    histogram.observe(value)
    assert dict(histogram.buckets()) == {
        bound: int(value <= bound) for bound in (*STAGE_SECONDS, math.inf)
    }
    assert histogram.sum == value


def test_an_idle_service_does_not_load_the_library():
    code = "import sys, zoetrope.app; print('prometheus_client' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
