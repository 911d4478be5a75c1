"""What is told_before of a ticket is what its job is told by the same reader."""

import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.pipeline import Pipeline, recipe_with
from zoetrope.domain.job import State
from zoetrope.domain.values import Ticket
from zoetrope.graphs.document import encode, read
from zoetrope.graphs.graph import put
from zoetrope.graphs.shelf import Recipes, shipped
from zoetrope.jobs.lint_gate import LintGate, line
from zoetrope.jobs.preflight import check_graph, check_ticket, requests
from zoetrope.lint.effort import Effort
from zoetrope.lint.facts import pinned_context
from zoetrope.lint.findings import SEVERITIES
from zoetrope.settings import EngineSettings, Settings

SHELF = Recipes((shipped(),))
GATE = LintGate(Settings())
SIZE = (64, 64)


@pytest.fixture
async def pipeline(tmp_path):
    """Start a pipeline whose tiny recipe is changed at one place."""
    made = []

    async def start(node, key, value):
        recipe_with(tmp_path, node, key, value)
        made.append(Pipeline(tmp_path, recipes=tmp_path / "recipes"))
        await made[-1].start()
        return made[-1]

    yield start
    for each in made:
        await each.close()


def seen_by(pipeline, ticket):
    recipe = Recipes((pipeline.recipes,)).get(ticket.recipe)
    return check_ticket(LintGate(pipeline.settings), recipe, ticket, {"e0": 0.0}, SIZE).findings


async def test_every_warning_of_a_receipt_was_told_before_and_no_other(pipeline):
    place = await pipeline("shift_low", "shift", 6.0)
    job = await place.becomes(await place.drop(prompt=""), State.DONE)
    told_before = [
        (found.stage, line(found))
        for found in seen_by(place, job.ticket)
        if found.severity == "warn"
    ]
    told = [(stage.name, each) for stage in job.stages for each in stage.attempts[0].lint]
    assert told_before == told
    assert told


async def test_a_refusal_was_told_before_and_says_rule_reason_and_fix(pipeline):
    place = await pipeline("ks_low", "start_at_step", 3)
    job = await place.becomes(await place.drop(), State.REJECTED, State.DONE)
    (error,) = [found for found in seen_by(place, job.ticket) if found.severity == "error"]
    assert (error.stage, error.rule) == ("i2v", "S002")
    for word in (error.rule, error.found, error.why):
        assert word in job.reason.sentence
    assert error.fix in job.reason.next_step


@pytest.mark.parametrize("name", SHELF.names())
@given(memory=st.sampled_from([0.0, 16.0, 24.0, 96.0]), size=st.none() | st.tuples(*[st.integers(16, 8000)] * 2))  # fmt: skip
def test_every_shipped_recipe_is_read_in_all_its_stages_on_any_card(name, memory, size):
    recipe = SHELF.get(name)
    ticket = Ticket(recipe=name)
    if size is not None and recipe.file.clip is not None:
        # A video that is large already has nothing to gain.
        size = (min(size[0], 480), min(size[1], 854))
    stages = [request.spec.name for request in requests(recipe, ticket, memory, size)]
    assert stages == [spec.name for spec in recipe.file.stages]
    found = check_ticket(GATE, recipe, ticket, {"e0": memory}, size)
    assert not any(each.severity == "error" for each in found.findings)
    for _, group in itertools.groupby(found.findings, key=lambda each: each.stage):
        ranks = [SEVERITIES.index(each.severity) for each in group]
        assert ranks == sorted(ranks)


@given(memory=st.sampled_from([0.0, 16.0, 32.0]))
def test_equal_cards_name_no_engine(memory):
    recipe = SHELF.get("wan22-i2v-hero")
    ticket = Ticket(recipe=recipe.name, prompt="")
    one = check_ticket(GATE, recipe, ticket, {"a": memory})
    two = check_ticket(GATE, recipe, ticket, {"a": memory, "b": memory})
    assert one == two
    assert one.findings
    assert msgspec.json.encode(one)


def test_each_engine_is_judged_by_the_kernels_that_its_own_self_test_found(tmp_path):
    def engine(name, *kernels):
        report = tmp_path / f"{name}.json"
        found = [{"name": kernel, "verdict": "ok", "ms": 9} for kernel in ("sdpa", *kernels)]
        report.write_bytes(msgspec.json.encode({"schema": 1, "chosen": "sdpa", "kernels": found}))
        return EngineSettings(name=name, url="http://127.0.0.1:1", report=report)

    recipe = SHELF.get("seedvr2-rife-upscale")
    sage = {"dit.attention_mode": "sageattn_2"}
    graphs = {name: put(graph, sage) for name, graph in recipe.graphs.items()}
    recipe = msgspec.structs.replace(recipe, graphs=graphs)
    settings = Settings(engines=(engine("plain"), engine("fast", "sageattn")))
    cards = {"plain": 32.0, "fast": 32.0}
    found = check_ticket(LintGate(settings), recipe, Ticket(recipe=recipe.name), cards).findings
    assert [each.engines for each in found if each.rule == "U010"] == [("plain",)]


@pytest.mark.parametrize("reported", [15.5, 23.6, 31.4, 79.2])
def test_a_recipes_own_table_for_a_card_is_never_warned_of_as_too_much_for_it(reported):
    hero = SHELF.get("wan22-i2v-hero")
    found = check_ticket(
        GATE, hero, Ticket(recipe=hero.name), {"e0": reported}, (720, 1280)
    ).findings
    assert not {each.rule for each in found} & {"F005", "U009"}


def test_a_graph_of_a_user_costs_the_same_however_many_engines_there_are(monkeypatch):
    spent = []

    class Counted(Effort):
        def __init__(self, **more):
            super().__init__(**more)
            spent.append(self)

    monkeypatch.setattr("zoetrope.jobs.preflight.Effort", Counted)
    recipe = SHELF.get("wan22-i2v-lightning")
    [request, *_] = requests(recipe, Ticket(recipe=recipe.name), 16.0, None)
    document = read(encode(request.graph(request.names())), "a graph")
    check_graph(GATE, document, pinned_context(), {"one": 16.0, "two": 24.0, "three": 32.0})
    assert len(spent) == 1
    assert spent[0].looks > 0
