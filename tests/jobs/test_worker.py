"""How long a worker waits before it tries a stage again."""

import pytest

from zoetrope.errors import EngineDown, WrongAnswer
from zoetrope.jobs import worker, wrong_answers
from zoetrope.jobs.worker import next_pause

DOWN = EngineDown("e0 does not answer.")
WRONG = WrongAnswer("e0 answers with a web page.")


@pytest.fixture(autouse=True)
def _pauses_of_a_host(monkeypatch):
    monkeypatch.setattr(worker, "FIRST_RETRY", 0.25)
    monkeypatch.setattr(worker, "LONGEST_RETRY", 5.0)
    monkeypatch.setattr(wrong_answers, "LONGEST_PAUSE", 30.0)


@pytest.mark.parametrize(("error", "longest"), [(DOWN, 5.0), (None, 5.0), (WRONG, 30.0)])
def test_the_pauses_grow_to_a_limit(error, longest):
    pauses = [0.0]
    for _ in range(12):
        pauses.append(next_pause(pauses[-1], error))
    assert pauses[:4] == [0.0, 0.25, 0.5, 1.0]
    assert pauses == sorted(pauses)
    assert pauses[-1] == longest


def test_the_long_pauses_after_wrong_answers_end_with_them():
    """An engine that gave some, and is down now or fails otherwise, is not left alone for half a minute."""
    assert next_pause(30.0, DOWN) == 5.0
    assert next_pause(30.0) == 5.0
