import json

import pytest

from zoetrope.domain.job import State


def ticket(service):
    return service.parts.submissions.taken[-1]["ticket"]


def test_a_picture_becomes_a_job(service, run, picture):
    result = run("submit", picture)
    assert result.exit_code == 0, result.stderr
    (taken,) = service.parts.submissions.taken
    assert (taken["bytes"], taken["name"], taken["ticket"]) == (b"picture", "cat.png", {})
    assert result.stdout.endswith("cat.png: queued\n")


def test_every_flag_reaches_the_ticket(service, run, picture, tmp_path):
    end = tmp_path / "end.png"
    end.write_bytes(b"last")
    result = run(
        "submit", "-i", picture, "-e", end, "-r", "tiny", "-p", "she turns", "-n", "blur",
        "-w", 832, "--height", 480, "-l", 81, "--seed", 2**63, "--name", "turn",
        "--no-auto-resize", "--no-review", "--set", "steps=6", "--set", "cfg=3.5",
        "--set", "fast=true", "--set", "sampler=euler", "--set", "note=a=b", "--set", "list=[1]",
        "--preset", "lcm", "--preset", "no-talking",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert ticket(service) == {
        "recipe": "tiny",
        "preset": ["lcm", "no-talking"],
        "prompt": "she turns",
        "negative": "blur",
        "width": 832,
        "height": 480,
        "frames": 81,
        "seed": 2**63,
        "name": "turn",
        "review": False,
        "auto_resize": False,
        "steps": 6,
        "cfg": 3.5,
        "fast": True,
        "sampler": "euler",
        "note": "a=b",
        "list": "[1]",
    }
    assert service.parts.submissions.taken[0]["end"] == (b"last", "end.png")


def environment(picture):
    return {
        "INPUT_IMAGE": str(picture),
        "POSITIVE_PROMPT": "from outside",
        "NEGATIVE_PROMPT": "blur",
        "WIDTH": "640",
        "HEIGHT": "480",
        "LENGTH": "49",
        "SEED": "5",
    }


def test_the_environment_stands_in_for_flags(service, run, picture):
    result = run("submit", **environment(picture))
    assert result.exit_code == 0, result.stderr
    assert ticket(service) == {
        "prompt": "from outside",
        "negative": "blur",
        "width": 640,
        "height": 480,
        "frames": 49,
        "seed": 5,
    }


def test_beats_are_a_prompt_and_win_over_the_environment(service, run, picture):
    asked = ("submit", "--beat", "she looks up", "--beat", "a smile")
    result = run(*asked, **environment(picture))
    assert result.exit_code == 0, result.stderr
    assert ticket(service)["prompt"] == ["she looks up", "a smile"]
    result = run(*asked, "-p", "she turns", **environment(picture))
    assert result.exit_code == 2
    assert "--prompt and --beat both set the prompt" in result.stderr


def test_flags_win_over_the_environment(service, run, picture, tmp_path):
    other = tmp_path / "dog: 1.png"
    other.write_bytes(b"dog")
    result = run("submit", other, "-p", "flag", "--seconds", 2, **environment(picture))
    assert result.exit_code == 0, result.stderr
    (taken,) = service.parts.submissions.taken
    assert taken["name"] == "dog: 1.png"
    assert taken["ticket"]["prompt"] == "flag"
    assert taken["ticket"]["seconds"] == 2.0
    assert "frames" not in taken["ticket"]


@pytest.mark.parametrize("name", ['a"b.png', "ü ö.png", "100%.png", "a;b=c.png"])
def test_names_arrive_as_they_are(service, run, tmp_path, name):
    file = tmp_path / name
    file.write_bytes(b"x")
    assert run("submit", file).exit_code == 0
    assert service.parts.submissions.taken[0]["name"] == name


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ([], "No picture is given"),
        (["/nowhere.png"], "does not exist"),
        (["{cat}", "-l", 81, "--seconds", 5], "give one of them"),
        (["{cat}", "{cat}", "-e", "{cat}"], "one picture only"),
        (["{cat}", "{cat}", "--name", "x"], "one picture only"),
        (["{cat}", "--set", "steps"], "not KEY=VALUE"),
        (
            ["{cat}", "-p", "a", "--set", "prompt=b"],
            "sets what another flag or environment variable sets too",
        ),
        (["{cat}", "--seed", "x"], "--seed"),
        (["{cat}", "--seconds", "0"], "--seconds"),
    ],
)
def test_what_cannot_be_is_a_usage_error(run, picture, args, said):
    result = run("submit", *(str(arg).format(cat=picture) for arg in args))
    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stderr.count("\n") == 1


def test_an_input_image_that_is_no_file_is_a_usage_error(run):
    result = run("submit", INPUT_IMAGE="/nowhere.png")
    assert result.exit_code == 2
    assert "INPUT_IMAGE" in result.stderr


def test_a_refused_picture_does_not_hold_back_the_others(service, run, picture):
    result = run("submit", picture, picture, "--set", "promt=x")
    assert result.exit_code == 1
    assert result.stderr.count("did you mean `prompt`?") == 2
    assert len(service.parts.submissions.taken) == 2


def test_a_picture_that_is_too_large_is_refused_while_it_is_sent(make_service, run, tmp_path):
    service = make_service("max_upload_megabytes = 1")
    big = tmp_path / "big.png"
    big.write_bytes(b"x" * 30_000_000)
    result = run("submit", big, "--url", service.url)
    assert result.exit_code == 1
    assert "big.png: The upload is larger than 1 MiB." in result.stderr


def test_a_token_is_sent_from_its_file(make_service, run, picture, tmp_path):
    token = tmp_path / "token"
    token.write_text("0123456789abcdef0123456789abcdef\n")
    service = make_service(f'token_file = "{token}"')
    refused = run("submit", picture, "--url", service.url)
    assert refused.exit_code == 1
    assert "--token-file" in refused.stderr
    taken = run("submit", picture, "--url", service.url, ZOETROPE_TOKEN_FILE=str(token))
    assert taken.exit_code == 0, taken.stderr


# Waiting


def test_sync_waits_for_the_video_and_says_where_it_is(service, run, picture):
    service.drive_uploads()
    result = run("submit", picture, "--sync")
    assert result.exit_code == 0, result.output
    last = result.stdout.splitlines()[-1]
    assert "cat.png: done: " in last
    assert f"{service.parts.settings.outbox.path}/cat-" in last


@pytest.mark.parametrize("fate", ["failed", "declined"])
def test_sync_exits_with_1_when_there_is_no_video(service, run, picture, fate):
    service.drive_uploads(fate)
    result = run("submit", picture, "--sync")
    assert result.exit_code == 1
    assert "The card has too little memory." in result.stdout or "Declined" in result.stdout


def test_sync_as_json_prints_the_jobs_as_they_ended(service, run, picture):
    service.drive_uploads()
    result = run("submit", picture, picture, "--sync", "--json")
    assert result.exit_code == 0
    assert [job["state"] for job in json.loads(result.stdout)] == ["done", "done"]


def test_sync_says_how_to_approve_and_goes_on_waiting(service, picture):
    from zoetrope.cli import follow
    from zoetrope.client import Client, decode
    from zoetrope.web.views import JobView

    job = service.add(State.REVIEW)
    client = Client(service.url)
    said = []

    class Screen(follow.Nothing):
        def show(self, job):
            said.append(follow.outcome(job))
            if job.state == "review":
                service.do(service.parts.conductor.approve(job.id))
            elif job.state == "queued":
                service.do(service.parts.conductor.cancel(job.id))

    shown = decode(client.job(job.id), JobView)
    (ended,), failed = follow.follow(client, [shown], Screen())
    assert (ended.state, failed) == ("cancelled", 1)
    assert f"zoetrope approve {job.short}" in said[0]
    assert f"/review/cat-{job.short}" in said[0]
