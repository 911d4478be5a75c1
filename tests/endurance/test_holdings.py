"""Nothing that the service holds in memory grows with the jobs that it has done."""

import random

from tests.endurance.holdings import grown, held
from tests.endurance.town import Town
from zoetrope.domain.job import ENDED, State

BATCH = 10
FEW, MANY = 2, 6  # batches before the first look, and before the second
FATES = ("done", "oom", "node", "interrupted", "vanished", "cleared", "done", "cuda", "done")


def work_through(town: Town) -> None:
    """Have pictures end in every way that there is: done, rejected, failed, cancelled."""
    for number in range(BATCH):
        town.drop(sound=number % 5 != 0, ticket=number % 2 == 0)
    town.take()
    for fate in FATES:
        town.engine.decide(fate)
        town.rest()
    for verb in ("cancel", "approve", "decline", "retry"):
        town.decide(verb)
    town.engine.forget()
    for _ in range(6 * BATCH):
        while town.engine.decide("done"):
            town.rest()
        for job in town.jobs():
            if job.state is State.REVIEW:
                town.run(town.conductor.approve(job.id))
        if all(job.state in ENDED for job in town.jobs()):
            break
        town.rest()


def test_nothing_in_memory_grows_with_the_jobs(tmp_path):
    town = Town(tmp_path, random.Random(1834))
    try:
        for _ in range(FEW):
            work_through(town)
        before = held(town.conductor, town.intake, town.ledger, town.bus)
        for _ in range(MANY - FEW):
            work_through(town)
        after = held(town.conductor, town.intake, town.ledger, town.bus)
        ended = [job for job in town.jobs() if job.state in ENDED]
    finally:
        town.close()
    assert len(after) > 100, "the parts were not looked at"
    assert len(ended) > MANY * BATCH // 2
    assert grown(before, after, (MANY - FEW) * BATCH // 2) == {}


def test_what_grows_is_seen_wherever_it_is_held(tmp_path):
    town = Town(tmp_path, random.Random(7))
    try:
        before = held(town.conductor)
        for number in range(30):
            town.bus.progress(f"job {number}", None)
        town.conductor.forgotten = {"a list in a table": [*range(30)]}
        found = grown(before, held(town.conductor), 30)
        assert found.keys() == {"Conductor.forgotten", "Bus._live", "Bus._last_progress"}
        assert found["Conductor.forgotten"] == 31
    finally:
        town.close()
