"""The stateful property test: whatever people, engine and kills do in whatever order, every promise holds."""

from __future__ import annotations

import random
import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from tests.endurance.part import Part
from tests.endurance.town import Town

FATES = ("done", "done", "done", "oom", "node", "cuda", "interrupted", "vanished", "cleared")
VERBS = ("approve", "approve", "decline", "cancel", "retry", "retry")


class Machine(RuleBasedStateMachine):
    """Acts at random; the invariant is looked at after every act."""

    made = 0
    acts = 0

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="zoetrope-town-"))
        self.town = Town(self.root, random.Random(0))
        Machine.made += 1

    @initialize(number=st.integers(0, 2**32 - 1))
    def begin(self, number: int) -> None:
        """Have the town's own chances be part of what is tried: they are the same when it is tried again."""
        self.town.chance.seed(number)

    @rule(sound=st.sampled_from([True, True, True, False]), ticket=st.booleans())
    def drop(self, sound: bool, ticket: bool) -> None:
        """Somebody drops a picture."""
        self.town.drop(sound=sound, ticket=ticket)

    @rule()
    def take(self) -> None:
        """The inbox takes what is there."""
        self.town.take()

    @rule(at=st.integers(0, 30))
    def die_while_taking(self, at: int) -> None:
        """The service is killed while it takes a picture."""
        self.town.die_while_taking(at)

    @rule()
    def restart(self) -> None:
        """The service ends and begins anew."""
        self.town.restart()

    @rule(fate=st.sampled_from(FATES), times=st.integers(1, 3))
    def work(self, fate: str, times: int) -> None:
        """The engine is done with a prompt, in whatever way."""
        for _ in range(times):
            self.town.engine.decide(fate)  # type: ignore[arg-type]
            self.town.rest()

    @rule()
    def forget(self) -> None:
        """The engine's process is replaced."""
        self.town.engine.forget()
        self.town.rest()

    @rule(up=st.booleans())
    def switch(self, up: bool) -> None:
        """The engine ceases to answer, or answers again."""
        self.town.engine.switch(up=up)
        self.town.rest()

    @rule(verb=st.sampled_from(VERBS))
    def decide(self, verb: str) -> None:
        """A person decides something about a job."""
        self.town.decide(verb)

    @rule()
    def move_back(self) -> None:
        """A person moves a rejected picture back."""
        self.town.move_back()

    @invariant()
    def holds(self) -> None:
        """Every promise holds."""
        Machine.acts += 1
        self.town.check()

    def teardown(self) -> None:
        """Everything comes to its end."""
        try:
            self.town.settle()
        finally:
            self.town.close()
            shutil.rmtree(self.root, ignore_errors=True)


def act(number: int, *, examples: int, steps: int) -> None:
    """Run so many towns for so many acts each; the same number gives the same acts."""
    seed(number)(Machine)
    Machine.made = 0
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            phases=[Phase.generate],
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def machine(part: Part) -> None:
    """Run towns until the time is over, each round with the next seed."""
    part.counts.update({"towns": 0, "acts": 0})
    while part.left():
        acts = Machine.acts
        act(part.random.randrange(2**32), examples=4, steps=40)
        part.counts["towns"] += Machine.made
        part.counts["acts"] += Machine.acts - acts
        part.tick()
