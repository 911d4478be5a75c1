"""The policy as values: what waits, who works, who gets what, and why."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoetrope.dispatch.policy import Assign, Stay, Worker, choose, fits, too_large
from zoetrope.domain.query import Waiting

NOW = 1000.0


def job(name: str, seq: int = 1, **more) -> Waiting:
    given = {"priority": 0, "memory": 0, "ran_on": 0.0, "not_before": 0.0} | more
    return Waiting(id=name, seq=seq, created=0.0, recipe="tiny", stage="i2v", **given)


def worker(name: str = "a", *, up=True, gigabytes: float | None = 15.6, held=0) -> Worker:
    return Worker(name=name, up=up, gigabytes=gigabytes, held=held, depth=2)


def test_the_first_to_arrive_is_the_first_to_go():
    found = choose([job("late", 9), job("early", 3)], [worker()], NOW)
    assert found == Assign("early", "a", "it waits the longest, and a is idle")


def test_priority_goes_before_arrival_and_is_named():
    found = choose([job("early", 3), job("dear", 9, priority=5)], [worker(held=1)], NOW)
    assert found == Assign("dear", "a", "it has priority 5, and a has room for one more")


def test_an_idle_worker_goes_before_a_busy_one():
    found = choose([job("j")], [worker("busy", held=1), worker("idle")], NOW)
    assert isinstance(found, Assign)
    assert found.worker == "idle"


def test_an_idle_worker_that_cannot_take_it_keeps_no_busy_one_from_it():
    large = job("j", memory=32, ran_on=31.4)
    workers = [worker("idle", gigabytes=15.6), worker("busy", gigabytes=31.8, held=1)]
    found = choose([large], workers, NOW)
    assert isinstance(found, Assign)
    assert found.worker == "busy"


def test_a_job_that_fits_nobody_now_lets_the_next_one_pass():
    jobs = [job("large", 1, memory=80, ran_on=79.2), job("new", 2)]
    found = choose(jobs, [worker()], NOW)
    assert isinstance(found, Assign)
    assert found.job == "new"


def test_a_job_too_large_for_every_gpu_that_is_known_is_named():
    large = job("large", memory=80, ran_on=79.2)
    for workers in ([worker()], [worker(up=False)], [worker(held=2)]):
        assert isinstance(choose([large, job("new", 9)], [], NOW), Stay)
        assert too_large([large, job("new", 9)], workers) == (large,)
    unasked = worker("b", up=False, gigabytes=None)
    assert too_large([large], [worker(), unasked]) == (), "the other engine was not asked yet"


def test_a_postponed_job_waits_for_its_time():
    later = job("later", not_before=NOW + 1)
    assert choose([later], [worker()], NOW) == Stay("no job is due")
    assert isinstance(choose([later], [worker()], NOW + 1), Assign)


@pytest.mark.parametrize(
    ("memory", "ran_on", "gigabytes", "fit"),
    [
        (0, 0.0, 0.0, True),  # nothing was made yet
        (0, 0.0, None, True),
        (16, 15.6, 15.5, True),  # two makes of one size
        (16, 15.6, 11.6, False),
        (16, 11.6, 11.6, True),  # the smallest class, on a smaller GPU than it is for
        (16, 11.6, 7.6, False),
        (32, 31.4, 0.0, False),  # an engine that does not say
        (32, 31.4, None, False),
        (24, 79.2, 23.6, True),  # the recipe knows no larger class
        (0, 31.4, 15.6, True),  # the recipe knows no classes
    ],
)
def test_a_begun_job_goes_where_its_plan_has_room(memory, ran_on, gigabytes, fit):
    assert fits(job("j", memory=memory, ran_on=ran_on), worker(gigabytes=gigabytes)) is fit


sizes = st.sampled_from([0.0, 7.6, 11.6, 15.6, 23.6, 31.4, 79.2])
lines = st.lists(
    st.builds(
        lambda seq, priority, memory, ran_on, not_before: job(
            f"j{seq}", seq, priority=priority, memory=memory, ran_on=ran_on, not_before=not_before
        ),
        st.integers(1, 10**9),
        st.integers(-2, 2),
        st.sampled_from([0, 16, 32, 80]),
        sizes,
        st.sampled_from([0.0, NOW, NOW + 1]),
    ),
    unique_by=lambda each: each.seq,
    max_size=8,
)
staffs = st.lists(
    st.builds(
        lambda name, up, gigabytes, held: worker(name, up=up, gigabytes=gigabytes, held=held),
        st.sampled_from("abcd"),
        st.booleans(),
        st.one_of(st.none(), sizes),
        st.integers(0, 3),
    ),
    unique_by=lambda each: each.name,
    max_size=4,
)


@given(lines, staffs, st.randoms(use_true_random=False))
def test_nothing_goes_where_it_cannot_and_nothing_that_can_go_stays(waiting, staff, random):
    found = choose(waiting, staff, NOW)
    able = [
        each
        for each in waiting
        if each.not_before <= NOW and any(w.has_room and fits(each, w) for w in staff)
    ]
    if isinstance(found, Stay):
        assert not able
    else:
        chosen = next(each for each in waiting if each.id == found.job)
        taker = next(each for each in staff if each.name == found.worker)
        assert taker.has_room
        assert fits(chosen, taker)
        assert chosen == min(able, key=lambda each: (-each.priority, each.seq))
        assert chosen not in too_large(waiting, staff)
        shuffled = random.sample(waiting, len(waiting))
        assert choose(shuffled, staff, NOW) == found
