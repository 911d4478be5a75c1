"""The example alerts fire on a service in trouble, and on no other."""

import operator
import re
import time
from pathlib import Path

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.web.fakes import WorkerStatus, make_job
from zoetrope.domain.job import State
from zoetrope.errors import Reason
from zoetrope.gpu.card import Card, Sample
from zoetrope.gpu.probation import Record, Trust
from zoetrope.gpu.tuner import Tuner
from zoetrope.gpu.watch import Watch
from zoetrope.gpu.wire import CardState, ProfileState

ROOT = Path(__file__).parents[2]
RULES = {
    rule["alert"]: rule
    for group in msgspec.yaml.decode((ROOT / "examples" / "alerts.yml").read_bytes())["groups"]
    for rule in group["rules"]
}
QUEUE, ENGINE, CARD = "ZoetropeQueueDoesNotMove", "ZoetropeEngineDown", "ZoetropeCardInTrouble"

# The part of PromQL that the rules use: comparisons, joined by set operators from left to right.
COMPARISON = re.compile(
    r"(?P<name>\w+)(?:\{(?P<labels>[^}]*)\})? (?P<op>[<>=!]=?) (?P<bound>[\d.]+)"
)
JOINED = re.compile(r" (or|unless on\(instance\)) ")
OPERATORS = {">": operator.gt, "<": operator.lt, "==": operator.eq, "!=": operator.ne}


def samples(expression, found):
    """Give the samples that a comparison leaves over."""
    parts = COMPARISON.fullmatch(expression)
    assert parts is not None, expression
    wanted = dict(re.findall(r'(\w+)="([^"]*)"', parts["labels"] or ""))
    holds, bound = OPERATORS[parts["op"]], float(parts["bound"])
    return [
        sample
        for sample in found
        if sample.name == parts["name"]
        and wanted.items() <= sample.labels.items()
        and holds(sample.value, bound)
    ]


def evaluate(expression, found):
    """Give the samples for which an alert fires."""
    first, *rest = JOINED.split(expression)
    fires = samples(first, found)
    for join, right in zip(rest[::2], rest[1::2], strict=True):
        more = samples(right, found)
        fires = fires + more if join == "or" else [] if more else fires
    return fires


@pytest.fixture
def firing(client):
    async def ask():
        text = await (await client.get("/metrics")).text()
        found = [s for family in text_string_to_metric_families(text) for s in family.samples]
        return {name for name, rule in RULES.items() if evaluate(rule["expr"], found)}

    return ask


async def add(parts, state=State.QUEUED, **changes):
    job = make_job(state, **{"created": time.time(), "updated": time.time(), **changes})
    return await parts.ledger.add(job, claim=job.id)


def limit(name):
    return float(COMPARISON.search(RULES[name]["expr"])["bound"])


@pytest.fixture
def cards(parts):
    watch = Watch()
    card = Card(uuid="GPU-1", index=0, name="NVIDIA GeForce RTX 5090", bus="", driver="580.95.05")
    watch.cards = (card,)
    watch.latest = {card.uuid: Sample(uuid=card.uuid, taken=1.0)}
    parts.tuner = Tuner(parts.settings.gpu, parts.settings.engines, watch)
    return parts.tuner


def profile(trust):
    profiles = (ProfileState(name="baseline", record=Record(trust=trust)),)
    return {"GPU-1": CardState(uuid="GPU-1", name="RTX 5090", profiles=profiles)}


async def test_nothing_fires_on_a_service_that_is_well(parts, cards, firing):
    cards.states = profile(Trust.PROVEN)
    await add(parts)
    await add(parts, State.RUNNING)
    await add(parts, State.DONE, created=1.0, updated=1.0)
    assert await firing() == set()


async def test_a_job_that_waits_for_a_moment_is_no_alarm(parts, firing):
    await add(parts, updated=time.time() - limit(QUEUE) / 2)
    assert await firing() == set()


async def test_a_queue_that_does_not_move_is_told(parts, firing):
    await add(parts, updated=time.time() - 2 * limit(QUEUE))
    parts.conductor.paused = Reason("disk-full", "A disk is full, so the queue waits.")
    assert await firing() == {QUEUE}


async def test_a_queue_that_a_user_has_paused_is_no_alarm(parts, firing):
    await add(parts, updated=time.time() - 2 * limit(QUEUE))
    await parts.conductor.pause()
    assert await firing() == set()


async def test_a_long_queue_behind_a_running_job_is_no_alarm(parts, firing):
    running = await add(parts, State.RUNNING)
    parts.conductor.workers = [WorkerStatus(in_hand=(running.id,))]
    await add(parts, updated=time.time() - 20 * limit(QUEUE))
    assert await firing() == set()


async def test_an_engine_that_is_down_is_told_by_its_name(parts, client, firing):
    parts.conductor.workers = [WorkerStatus(name="a"), WorkerStatus(name="b", up=False)]
    assert await firing() == {ENGINE}
    text = await (await client.get("/metrics")).text()
    found = [s for family in text_string_to_metric_families(text) for s in family.samples]
    assert [s.labels for s in evaluate(RULES[ENGINE]["expr"], found)] == [{"engine": "b"}]


async def test_a_lost_card_is_told(cards, firing):
    cards.watch.lost = {"GPU-1": Reason("gpu-lost", "It does not answer.")}
    assert await firing() == {CARD}


async def test_a_barred_profile_is_told_although_the_card_is_at_stock(cards, firing):
    cards.states = profile(Trust.DISABLED)
    assert await firing() == {CARD}


def test_every_rule_has_a_span_that_prometheus_understands_and_says_what_to_do():
    for rule in RULES.values():
        assert re.fullmatch(r"\d+[smh]", rule.get("for", "0s"))
        assert "zoetrope" in rule["annotations"]["description"]
        assert rule["labels"]["severity"] in ("warning", "critical")


async def test_the_page_about_metrics_names_every_metric_and_no_other(parts, cards, client):
    page = (ROOT / "docs" / "metrics.md").read_text()
    cards.watch.latest = {"GPU-1": full_reading()}
    told = set(re.findall(r"\| `(zoetrope_\w+)`|, `(zoetrope_\w+)` \|", page))
    named = {(one or other).removesuffix("_total") for one, other in told}
    text = await (await client.get("/metrics")).text()
    assert named == {family.name for family in text_string_to_metric_families(text)}


def full_reading():
    figures = {
        field.name: 1
        for field in msgspec.structs.fields(Sample)
        if field.name not in ("uuid", "reasons")
    }
    return Sample(uuid="GPU-1", reasons=(), **figures)


def test_every_metric_of_the_rules_is_one_of_the_page():
    page = (ROOT / "docs" / "metrics.md").read_text()
    for rule in RULES.values():
        for comparison in COMPARISON.finditer(rule["expr"]):
            assert f"`{comparison['name']}`" in page
