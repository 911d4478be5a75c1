"""What a ticket may say is kept as it is, or refused with a sentence; nothing it says holds a picture for ever."""

from __future__ import annotations

import json
import math
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.fakes.source_image import plain_image
from tests.inbox.conftest import GRAPH, RECIPE, write_picture
from zoetrope import tables
from zoetrope.domain.job import Job, State
from zoetrope.domain.values import Ticket
from zoetrope.errors import Reason, Rejected
from zoetrope.graphs.recipe import Recipe
from zoetrope.graphs.shelf import Recipes
from zoetrope.inbox import ticket as tickets
from zoetrope.store.rows import Rows

# A parameter without bounds, in which anything that is a number has a place.
BOUNDLESS = """
[parameters.cfg]
type = "float"
default = 1.0
to = ["sampler.steps"]
"""

TICKETS = {
    "nan": "cfg = nan",
    "infinity": "cfg = inf",
    "minus infinity": "[parameters]\ncfg = -inf",
    "too large a number": "cfg = 1e400",
    "too large a whole number": f"cfg = {10**400}",
    "too large a whole number of seconds": f"seconds = {10**400}",
    "seconds without end": "seconds = inf",
    "more digits than can be read": f"seed = {'9' * 5000}",
    "more digits than can be said": f"seed = 0x{'f' * 6000}",
    "nested lists": f"prompt = {'[' * 500}{']' * 500}",
    "nested tables": "cfg = " + "{a = " * 500 + "1" + "}" * 500,
    "a key of many parts": f"{'.'.join('a' * 1200)} = 1",
    "a key of some parts": f"{'.'.join('a' * 900)} = 1",
    "a known key of some parts": f"cfg.{'.'.join('a' * 900)} = 1",
    "a table of many parts": f"[{'.'.join('a' * 1200)}]\nx = 1",
    "a parameter table of many parts": f"[parameters.{'.'.join('a' * 900)}]\nx = 1",
    "a long key": f"{'k' * 60_000} = 1",
}


def write_boundless(folder: Path, name: str = "plain") -> None:
    place = folder / name
    place.mkdir(parents=True, exist_ok=True)
    (place / "recipe.toml").write_text(RECIPE.format(pictures=1) + BOUNDLESS)
    (place / "one.json").write_text(json.dumps(GRAPH))


@pytest.mark.parametrize("text", TICKETS.values(), ids=TICKETS)
async def test_a_ticket_that_cannot_be_kept_is_refused_and_says_why(world, picture, text):
    write_boundless(world.root / "recipes")
    picture("cat.png")
    (world.inbox / "cat.toml").write_text(text)
    job = await world.take("cat.png", tickets=("cat.toml",))
    assert job.state is State.REJECTED
    assert job.reason.key in ("ticket-value", "ticket-file", "ticket-key")
    assert job.reason.next_step
    assert len(job.reason.sentence) < 600
    assert {"rejected/cat.png", "rejected/cat.toml"} < set(world.files())
    assert job.reason.sentence in world.why("cat.png")
    assert not world.intake.status.held


@pytest.mark.parametrize("text", TICKETS.values(), ids=TICKETS)
async def test_defaults_of_a_folder_are_looked_at_the_same_way(world, picture, text):
    write_boundless(world.root / "recipes")
    picture("plain/cat.png")
    (world.inbox / "plain" / "ticket.toml").write_text(text)
    assert await world.intake.take(world.drop("plain/cat.png")) is None
    (held,) = world.intake.status.held
    assert held.reason.key == "folder-ticket"
    assert "plain/ticket.toml" in held.reason.sentence
    assert len(held.reason.sentence) < 800


@pytest.mark.parametrize(
    "value",
    [math.nan, math.inf, 10**400, -(2**63) - 1, 2**64, "deep"],
    ids=["nan", "infinity", "huge", "too small", "too large", "deep"],
)
async def test_what_is_handed_over_is_looked_at_the_same_way(world, tmp_path, value):
    write_boundless(world.root / "recipes")
    if value == "deep":
        value = nested = []
        for _ in range(900):
            nested.append([])
            nested = nested[0]
    file = write_picture(tmp_path / "upload")
    for ticket in ({"cfg": value}, {"parameters": {"cfg": value}}, {"prompt": value}):
        with pytest.raises(Rejected) as refused:
            await world.intake.submissions.take_upload(file, "cat.png", ticket)
        assert refused.value.reason.next_step
    assert await world.jobs() == []


async def test_what_nobody_thought_of_is_refused_by_the_ledger_and_the_refusal_is_kept(
    world, picture, monkeypatch
):
    write_boundless(world.root / "recipes")
    monkeypatch.setattr(tickets, "check", lambda values: None)
    monkeypatch.setattr(tables, "find", lambda values: None)
    picture("cat.png")
    (world.inbox / "cat.toml").write_text("cfg = inf")
    job = await world.take("cat.png", tickets=("cat.toml",))
    assert (job.state, job.reason.key) == (State.REJECTED, "unkept")
    assert job.ticket == Ticket(recipe="plain")
    assert job.reason.sentence in world.why("cat.png")


# Whatever a ticket says becomes a job that is read back as it was written, or is refused.

IMAGE = plain_image(height=48, source="source.png", file="source.png")
KEYS = st.sampled_from(
    (
        *("prompt", "negative", "seed", "seconds", "frames", "width", "height", "name", "review"),
        *("auto_resize", "steps", "cfg", "preset", "recipe", "parameters", "prmpt"),
    )
)
NUMBERS = st.one_of(
    st.integers(),
    st.integers(min_value=-(10**400), max_value=10**400),
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([0, 1, 17, 2**63, 2**64 - 1, 2**64, -(2**63), 5e-324, 1.7e308]),
)
PLAIN = st.one_of(NUMBERS, st.booleans(), st.text(), st.none(), st.dates())
VALUES = st.recursive(
    PLAIN, lambda inner: st.one_of(st.lists(inner), st.dictionaries(KEYS, inner)), max_leaves=8
)


@pytest.fixture(scope="module")
def boundless(tmp_path_factory) -> Recipe:
    folder = tmp_path_factory.mktemp("recipes")
    write_boundless(folder)
    return Recipes((folder,)).get("plain")


def check(error: Rejected) -> None:
    """A refusal has its sentence and next step, of a length to be read, and the ledger can keep it."""
    reason = error.reason
    assert reason.sentence
    assert reason.next_step
    assert len(reason.sentence) < 1000
    assert msgspec.json.decode(msgspec.json.encode(reason), type=Reason) == reason


def admitted(values: dict[str, Any], recipe: Recipe) -> Job | None:
    """Take values as far as admission does; None if they are refused with a reason."""
    try:
        ticket = tickets.resolve(values, recipe)
        plan = recipe.plan(ticket, IMAGE, ticket.seed or 0)
    except Rejected as error:
        check(error)
        return None
    return Job(
        id="0" * 32,
        created=1.0,
        updated=1.0,
        state=State.QUEUED,
        stem="cat",
        ticket=ticket,
        seed=ticket.seed or 0,
        notes=plan.notes,
    )


@given(values=st.dictionaries(KEYS, VALUES))
@example(values={"cfg": math.inf})
@example(values={"cfg": 10**400})
@example(values={"seconds": 10**400})
@example(values={"parameters": {"cfg": math.nan}})
@example(values={"prompt": [date(2000, 1, 1)]})
def test_any_values_become_a_job_that_is_read_back_or_are_refused(boundless, values):
    if (job := admitted(values, boundless)) is not None:
        rows = Rows()
        assert rows.read(job.id, rows.written(job)) == job


@given(
    text=st.one_of(
        st.text(max_size=300),
        st.builds(
            lambda key, value: f"{key} = {value}",
            KEYS,
            st.one_of(
                st.floats().map(str),
                st.integers().map(hex),
                st.integers().map(str),
                st.integers(min_value=1, max_value=1200).map(lambda n: "[" * n + "]" * n),
                st.text(alphabet="[]{}=,.'\"0x1e9nanif \n", max_size=40),
            ),
        ),
    )
)
def test_any_text_is_a_ticket_or_is_refused(boundless, text):
    try:
        values = tickets.parse(text.encode("utf-8", "surrogatepass"), "cat.toml")
    except Rejected as error:
        check(error)
        return
    if (job := admitted(values, boundless)) is not None:
        rows = Rows()
        assert rows.read(job.id, rows.written(job)) == job


def test_the_largest_values_that_are_kept_are_kept(boundless):
    for value in (2**64 - 1, -(2**63), 1.7e308, 5e-324):
        job = admitted({"cfg": value}, boundless)
        assert job is not None
        assert job.ticket == Ticket(recipe="plain", parameters={"cfg": value})
