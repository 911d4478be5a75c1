import json

import pytest

from zoetrope.domain.job import State


@pytest.mark.parametrize(
    ("action", "before", "after"),
    [
        ("approve", State.REVIEW, "queued"),
        ("decline", State.REVIEW, "cancelled"),
        ("retry", State.FAILED, "queued"),
        ("cancel", State.RUNNING, "cancelled"),
    ],
)
def test_a_decision_is_carried_out_and_said(service, run, action, before, after):
    jobs = [service.add(before) for _ in range(2)]
    result = run(action, *(job.short for job in jobs))
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [f"{job.short} cat.png: {after}" for job in jobs]


def test_why_is_kept_with_the_job(service, run):
    job = service.add(State.REVIEW)
    (told,) = json.loads(run("decline", job.short, "--why", "the hand melts", "--json").stdout)
    assert told["reason"]["sentence"] == "the hand melts"


def test_one_refusal_does_not_hold_back_the_others(service, run):
    running, review = service.add(State.RUNNING), service.add(State.REVIEW)
    result = run("approve", running.short, "ffff", review.short)
    assert result.exit_code == 1
    assert result.stdout == f"{review.short} cat.png: queued\n"
    assert len(result.stderr.splitlines()) == 2
