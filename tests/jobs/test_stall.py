"""When an engine that answers counts as one whose worker has ended: decided from what was seen, look by look."""

import pytest

from zoetrope.engine.protocol import QueueEntry
from zoetrope.jobs import stall

LIMIT = 3600.0
STEP = 15.0


def running(prompt: str, *, ours: bool = False) -> QueueEntry:
    return QueueEntry(prompt_id=prompt, running=True, ours=ours)


def waits(prompt: str, *, ours: bool = False) -> QueueEntry:
    return QueueEntry(prompt_id=prompt, ours=ours)


def seen(looks, *, seconds: float):
    """Look again and again for so long; `looks` gives queue, memory and followed prompts at a time."""
    found, now = None, 0.0
    while now <= seconds:
        queue, pool_free, followed = looks(now)
        found = stall.after(found, queue, pool_free=pool_free, followed=followed, now=1000.0 + now)
        now += STEP
    return stall.judge(found, "e0", now=1000.0 + now - STEP, limit=LIMIT)


FOREIGN = (running("theirs"), waits("ours", ours=True))


@pytest.mark.parametrize(
    ("looks", "seconds", "words"),
    [
        (lambda _: ((), 0, ()), 9e4, None),
        (lambda _: (FOREIGN, 5, ()), LIMIT, None),
        (lambda _: (FOREIGN, 5, ()), LIMIT + STEP, "with a prompt of another client"),
        (lambda _: (FOREIGN[:1], 0, ()), LIMIT + STEP, "with a prompt of another client"),
        # Of other clients' prompts on processors nothing is seen at all, so nothing is said of them …
        (lambda _: (FOREIGN, None, ()), 9e4, None),
        # … and only a next one that does not begin, or one of this service's that does not end, counts.
        (lambda _: ((waits("a"), waits("b")), None, ()), LIMIT + STEP, "not begun"),
        (
            lambda _: ((running("mine", ours=True),), None, ()),
            LIMIT + STEP,
            "asked to interrupt",
        ),
        # Its memory on the GPU changes while it computes, for however long.
        (lambda now: (FOREIGN, int(now), ()), 9e4, None),
        # Each prompt is another one.
        (lambda now: ((running(f"{now // 3000}"),), 5, ()), 9e4, None),
        # A stage run follows it: how long it may be silent is known there.
        (lambda _: ((running("mine", ours=True),), 0, ("mine",)), 9e4, None),
        (
            lambda now: ((running("mine", ours=True),), 0, ("mine",) if now < 9000 else ()),
            9000 + LIMIT,
            None,
        ),
        (
            lambda now: ((running("mine", ours=True),), 0, ("mine",) if now < 9000 else ()),
            9000 + LIMIT + STEP,
            "asked to interrupt",
        ),
        (lambda _: ((waits("a"), waits("b", ours=True)), 0, ()), LIMIT, None),
        (lambda _: ((waits("a"), waits("b", ours=True)), 0, ()), LIMIT + STEP, "not begun"),
        (lambda now: ((waits(f"{now // 3000}"),), 0, ()), 9e4, None),
    ],
)
def test_only_a_queue_that_shows_no_sign_of_work_for_longer_than_the_limit_stands_still(
    looks, seconds, words
):
    reason = seen(looks, seconds=seconds)
    if words is None:
        assert reason is None
    else:
        assert reason is not None
        assert words in reason.sentence
        assert "60 min" in reason.sentence
        assert "Restart the engine" in reason.next_step
