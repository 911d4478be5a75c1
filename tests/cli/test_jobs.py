import json

import msgspec

from tests.web.fakes import IMAGE
from zoetrope.domain.job import Attempt, Progress, Stage, State
from zoetrope.domain.values import Failure
from zoetrope.errors import Reason
from zoetrope.jobs.progress import Live


def test_jobs_are_listed_with_what_to_do_about_them(service, run):
    running = service.add(State.RUNNING)
    live = Live(stage="i2v", engine="e", value=3, maximum=20, fraction=0.15, eta=61.0)
    service.parts.conductor.lives[running.id] = live
    review = service.add(State.REVIEW)
    failed = service.add(State.FAILED, reason=Reason("oom", "Out of memory.", "Go smaller."))
    lines = run("jobs").stdout.splitlines()
    assert lines[0].split() == ["ID", "STATE", "PICTURE", "AGE", "RECIPE", "REMARK"]
    assert [line.split()[0] for line in lines[1:]] == [failed.short, review.short, running.short]
    assert "Out of memory." in lines[1]
    assert f"zoetrope approve {review.short}" in lines[2]
    assert "i2v 15 %, step 3/20" in lines[3]


def test_a_stage_that_the_engine_has_made_says_what_takes_the_time(service, run):
    job = service.add(State.RUNNING)
    live = Live(stage="i2v", engine="e", node="SaveVideo", value=1, maximum=1, fraction=0.98)
    for brings, words in (("fetch", "being fetched"), ("check", "being checked")):
        shown = msgspec.structs.replace(live, brings=brings)
        service.parts.conductor.lives[job.id] = shown
        line = run("jobs").stdout.splitlines()[1]
        assert f"i2v made; its {'file' if brings == 'fetch' else 'video'} is {words}" in line
        assert "98 %" not in line


def test_a_job_says_that_its_work_was_removed_and_what_is_left_to_do(service, run):
    job = service.add(State.FAILED, removed=1.0)
    shown = run("job", job.short).stdout
    assert "removed  the work files, " in shown
    assert "drop the picture again" in shown
    assert "zoetrope retry" not in shown


def test_a_job_says_that_its_picture_is_not_given_back_yet(service, run):
    reason = Reason("not-returned", "The picture could not be put into rejected.", "See to it.")
    job = service.add(State.FAILED, unreturned=reason)
    assert f"waits    {reason}\n" in run("job", job.short).stdout


def test_jobs_can_be_limited_filtered_and_all_be_shown(service, run):
    for _ in range(3):
        service.add(State.QUEUED)
    service.add(State.DONE)
    assert len(run("jobs", "--limit", 2).stdout.splitlines()) == 3
    assert len(run("jobs", "--all").stdout.splitlines()) == 5
    assert len(run("jobs", "--state", "done", "--state", "failed").stdout.splitlines()) == 2


def test_all_jobs_are_gathered_over_many_pages(service):
    async def add_many():
        from tests.web.fakes import make_job

        for _ in range(205):
            job = make_job()
            await service.ledger.add(job, claim=job.id)

    service.do(add_many())
    from zoetrope.client import Client

    assert len({job.id for job in Client(service.url).jobs("", None)}) == 205
    assert len(list(Client(service.url).jobs("", 203))) == 203


def test_no_jobs_say_how_to_make_one(service, run):
    assert "zoetrope submit" in run("jobs").stdout


def test_jobs_as_json_are_what_the_api_gives(service, run):
    job = service.add()
    (found,) = json.loads(run("jobs", "--json").stdout)
    assert found["id"] == job.id
    assert json.loads(run("job", job.short, "--json").stdout)["id"] == job.id


def test_one_job_is_shown_with_everything_that_was_tried(service, run):
    failure = Failure(kind="oom", message="CUDA out of memory")
    attempt = Attempt(
        number=1,
        prompt_id="p",
        engine="comfyui",
        state=Progress.FAILED,
        started=1.0,
        ended=31.0,
        failure=failure,
    )
    job = service.add(
        State.FAILED,
        stages=(Stage(name="i2v", fallbacks=("tiled",), attempts=(attempt,)),),
        reason=Reason("oom", "Nothing is left to try.", "Go smaller."),
    )
    text = run("job", job.short).stdout
    assert "cat.png (640x480)" in text
    assert "Nothing is left to try. Go smaller." in text
    assert "i2v: pending, fallbacks: tiled" in text
    assert "attempt 1 on comfyui: failed after 30 s: CUDA out of memory" in text
    assert f"zoetrope retry {job.short}" in text
    # With another seed alone it would run out of memory again.
    assert f"zoetrope again {job.short} --set KEY=VALUE" in text


def test_an_unknown_job_is_one_line(service, run):
    result = run("job", "ffff")
    assert result.exit_code == 1
    assert result.stderr == "zoetrope: There is no job 'ffff'. `zoetrope jobs` lists them.\n"


def test_a_name_cannot_send_commands_to_the_terminal(service, run):
    evil = msgspec.structs.replace(IMAGE, name="a\x1b]0;owned\x07\nb.png")
    job = service.add(images=(evil,))
    for args in (["jobs"], ["job", job.short], ["status"]):
        text = run(*args).stdout
        assert "\x1b" not in text
        assert "\x07" not in text
        assert "b.png" in text
