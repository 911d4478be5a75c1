"""Whole jobs with an engine, or something in its place, that says what cannot be right."""

import hashlib
import json

import pytest

from tests.fakes.pipeline import order
from zoetrope.domain.job import State
from zoetrope.jobs import wrong_answers

PAGE = b"<html><title>502 Bad Gateway</title></html>"
DEEP = b"[" * 100_000


# What one job each has to bear, one after the other.
PASSING = [
    [
        ("/upload/image", b'{"name": ["x"]}', 200),
        ("/upload/image", PAGE, 200),
        ("/prompt", PAGE, 200),
        ("/prompt", b'{"prompt_id": 3}', 200),
        ("/prompt", b"Bad Request", 400),
        ("/system_stats", b"{}", 200),
        ("/features", DEEP, 200),
    ],
    [
        ("/queue", b'{"queue_running": [{}], "queue_pending": []}', 200),
        ("/queue", b"\xff\xfe{}", 200),
        ("/queue", PAGE, 502),
        ("/queue", b"", 302),
        ("/system_stats", PAGE, 200),
    ],
    [
        ("/history", b'{"another": {}}', 200),
        ("/history", b"[]", 200),
        ("/history", PAGE, 500),
        ("/history", DEEP, 200),
        ("/history", b'{"a": NaN}', 200),
    ],
]


async def test_an_answer_that_cannot_be_right_is_asked_for_again_and_costs_nothing(garbled):
    pipeline = garbled.pipeline
    for number, answers in enumerate(PASSING):
        for path, body, status in answers:
            garbled.answers(path, body, status=status)
        given = len(garbled.given)
        job = await pipeline.drop(stem=f"cat{number}", colour=number)
        job = await pipeline.becomes(job, State.DONE, State.FAILED)
        assert job.state is State.DONE, job.reason
        assert [len(s.attempts) for s in job.stages] == [1, 1], "nothing is made twice"
        assert len(garbled.given) - given == len(answers)
    assert len(pipeline.videos()) == len(PASSING)


# Each of one request alone, while all others are well; together more than an attempt bears within a moment.
LIES = [
    ("/upload", b"", 307),
    ("/upload", PAGE, 404),
    ("/upload", PAGE, 502),
    ("/upload", PAGE, 504),
    ("/upload", b'{"name": "../../../etc/passwd", "subfolder": "zoetrope"}', 200),
    ("/prompt", PAGE, 500),
    ("/prompt", b"", 307),
    ("/prompt", PAGE, 200),
    ("/prompt", b"slow down", 429),
]


async def test_an_engine_that_fails_one_request_alone_costs_no_picture_while_it_does(garbled):
    pipeline, seen = garbled.pipeline, set()
    pipeline.ledger.on_change(
        lambda _, now: seen.add(now.reason.sentence) if now.reason is not None else None
    )
    for path, body, status in LIES:
        garbled.answers(path, body, status=status, method="POST", times=2)
    job = await pipeline.drop()
    job = await pipeline.becomes(job, State.DONE, State.FAILED, State.REJECTED)
    assert job.state is State.DONE, job.reason
    assert [len(s.attempts) for s in job.stages] == [1, 1], "nothing is made twice"
    assert len(garbled.given) == 2 * len(LIES) > wrong_answers.MOST
    assert any("It waits for the engine" in each for each in seen)


@pytest.mark.parametrize(
    ("body", "status", "key"), [(DEEP, 200, "wrong-answer"), (PAGE, 500, "engine-error")]
)
async def test_an_engine_that_never_says_how_it_ended_fails_the_job_with_a_key_of_its_own(
    garbled, body, status, key, monkeypatch
):
    monkeypatch.setattr("zoetrope.jobs.wrong_answers.SECONDS", 0.0)
    pipeline = garbled.pipeline
    garbled.answers("/history", body, status=status, times=None)
    job = await pipeline.becomes(await pipeline.drop(), State.DONE, State.FAILED)
    assert job.reason.key == key
    assert job.reason.next_step
    assert "engine" in job.reason.sentence
    assert [a.failure.kind for a in job.stages[0].attempts] == [key]


async def test_while_something_else_answers_in_the_engines_place_jobs_wait(garbled):
    pipeline = garbled.pipeline
    garbled.answers("/", PAGE, times=None)
    job = await pipeline.drop()
    await pipeline.until(lambda: len(garbled.given) > 40)
    (shown,) = pipeline.conductor.status().workers
    assert (shown.up, shown.reason.key) == (False, "wrong-answer")
    assert "engines.url" in shown.reason.next_step
    assert (await pipeline.ledger.get(job.id)).state is State.QUEUED
    garbled.is_well()
    job = await pipeline.becomes(job, State.DONE)
    assert [len(s.attempts) for s in job.stages] == [1, 1]


async def test_nonsense_on_the_socket_changes_nothing(garbled):
    pipeline = garbled.pipeline
    job = await pipeline.drop()
    await pipeline.until(lambda: pipeline.conductor.live(job.id))
    prompt_id = (await pipeline.ledger.get(job.id)).attempt.prompt_id
    for kind in ("execution_start", "execution_cached", "progress_state", "executed", "progress"):
        for odd in (None, [], {"nodes": [3]}, {"nodes": {"a": {"value": "NaN", "state": 1}}}):
            data = {**odd, "prompt_id": prompt_id} if isinstance(odd, dict) else odd
            await garbled.says(json.dumps({"type": kind, "data": data}))
    for text in ("", "{", DEEP.decode(), '{"type": "progress_state"}', "\ud7ff"):
        await garbled.says(text)
    for frame in (b"", b"\0", b"\0\0\0\1", b"\xff" * 100_000):
        await garbled.says(frame)
    job = await pipeline.becomes(job, State.DONE, State.FAILED)
    assert [len(s.attempts) for s in job.stages] == [1, 1]


async def test_a_history_that_another_client_cleared_costs_nothing_that_was_saved(
    garbled, monkeypatch
):
    monkeypatch.setattr("zoetrope.engine.comfyui.client.SETTLING_SECONDS", 0.05)
    garbled.answers("/history", b"{}", times=None)
    job = await garbled.pipeline.becomes(await garbled.pipeline.drop(), State.DONE, State.FAILED)
    assert job.state is State.DONE, job.reason
    assert [len(stage.attempts) for stage in job.stages] == [1, 1], "nothing is made twice"


async def test_a_failure_whose_history_another_client_cleared_is_no_crash(garbled, monkeypatch):
    monkeypatch.setattr("zoetrope.engine.comfyui.client.SETTLING_SECONDS", 0.05)
    garbled.answers("/history", b"{}", times=None)
    order(garbled.pipeline, "oom")
    job = await garbled.pipeline.becomes(await garbled.pipeline.drop(), State.DONE, State.FAILED)
    kinds = [a.failure.kind for stage in job.stages for a in stage.attempts if a.failure]
    assert kinds[:1] == ["oom"]


async def test_the_video_of_another_picture_is_a_wrong_answer_and_the_same_picture_may_give_it_again(
    garbled,
):
    pipeline = garbled.pipeline
    first = await pipeline.becomes(await pipeline.drop(pixels="a"), State.DONE, State.FAILED)
    (clip,) = first.stages[0].artefacts
    given = next(
        content
        for file in pipeline.settings.outbox.path.rglob("*.mp4")
        if hashlib.sha256(content := file.read_bytes()).hexdigest() == clip.sha256
    )
    garbled.answers("/view", given)
    other = await pipeline.drop(stem="dog", colour=7, pixels="b")
    other = await pipeline.becomes(other, State.DONE, State.FAILED)
    assert (other.state, other.reason.key) == (State.FAILED, "wrong-answer")
    assert first.short in other.reason.sentence
    garbled.answers("/view", given)
    again = await pipeline.drop(stem="again", colour=8, pixels="a")
    again = await pipeline.becomes(again, State.DONE, State.FAILED)
    assert again.state is State.DONE, again.reason
    assert again.stages[0].artefacts[0].sha256 == clip.sha256
