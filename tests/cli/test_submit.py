import json
import socket
import threading
from urllib.parse import urlsplit

import pytest

from zoetrope.client import Client, ServiceDown, decode
from zoetrope.domain.job import State
from zoetrope.errors import Reason
from zoetrope.jobs.fallbacks import TOO_LARGE
from zoetrope.jobs.preflight import Preflight, PreflightFinding
from zoetrope.web.api import lint
from zoetrope.web.views import JobView


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
        "--preset", "lcm", "--preset", "no-talking", "--no-check",
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


FROM_OUTSIDE = {
    "prompt": "from outside",
    "negative": "blur",
    "width": 640,
    "height": 480,
    "frames": 49,
    "seed": 5,
}


def prefixed(picture):
    return {f"ZOETROPE_{name}": value for name, value in environment(picture).items()}


@pytest.mark.parametrize("variables", [environment, prefixed])
def test_the_environment_stands_in_for_flags(service, run, picture, variables):
    result = run("submit", "--no-check", **variables(picture))
    assert result.exit_code == 0, result.stderr
    assert ticket(service) == FROM_OUTSIDE


def test_variables_of_other_programs_mean_nothing_for_a_picture_that_is_named(
    service, run, picture
):
    result = run("submit", picture, **environment("/nowhere.png"))
    assert result.exit_code == 0, result.stderr
    assert ticket(service) == {}
    result = run("submit", "-i", picture, WIDTH="wide", SEED="x", END_IMAGE="/nowhere.png")
    assert result.exit_code == 0, result.stderr
    assert ticket(service) == {}


def test_variables_with_the_prefix_count_for_every_picture(service, run, picture):
    other = prefixed("/nowhere.png") | environment("/nowhere.png") | {"ZOETROPE_SEED": "7"}
    result = run("submit", picture, "--no-check", **other)
    assert result.exit_code == 0, result.stderr
    assert ticket(service) == FROM_OUTSIDE | {"seed": 7}
    result = run("submit", picture, ZOETROPE_WIDTH="wide")
    assert result.exit_code == 2
    assert "'wide' is not a valid" in result.stderr


def test_a_picture_with_the_prefix_brings_no_variables_without_it(service, run, picture):
    asked = environment("/nowhere.png") | {"ZOETROPE_INPUT_IMAGE": str(picture)}
    result = run("submit", **asked)
    assert result.exit_code == 0, result.stderr
    assert ticket(service) == {}


def test_a_pair_comes_from_the_environment_as_well(service, run, picture, tmp_path):
    end = tmp_path / "end.png"
    end.write_bytes(b"last")
    result = run("submit", INPUT_IMAGE=str(picture), END_IMAGE=str(end))
    assert result.exit_code == 0, result.stderr
    assert service.parts.submissions.taken[0]["end"] == (b"last", "end.png")


def test_beats_are_a_prompt_and_win_over_the_environment(service, run, picture):
    asked = ("submit", "--no-check", "--beat", "she looks up", "--beat", "a smile")
    result = run(*asked, **environment(picture))
    assert result.exit_code == 0, result.stderr
    assert ticket(service)["prompt"] == ["she looks up", "a smile"]
    result = run(*asked, "-p", "she turns", **environment(picture))
    assert result.exit_code == 2
    assert "--prompt and --beat both set the prompt" in result.stderr


def test_flags_win_over_the_environment(service, run, picture, tmp_path):
    other = tmp_path / "dog: 1.png"
    other.write_bytes(b"dog")
    asked = environment(picture) | {"INPUT_IMAGE": str(other)}
    result = run("submit", "--no-check", "-p", "flag", "--seconds", 2, **asked)
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
    result = run("submit", picture, picture, "--no-check", "--set", "promt=x")
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


# Checked before


def drawn(tmp_path, size=(64, 64), name="drawn.png", **more):
    from PIL import Image

    file = tmp_path / name
    Image.new("RGB", size).save(file, **more)
    return file


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--set", "promt=x"], "did you mean `prompt`?"),
        (["-r", "tinny"], "did you mean `tiny`?"),
        (["--set", "steps=many"], "steps"),
        (["--seconds", "3600"], "out of range"),
    ],
)
def test_what_is_certain_to_be_rejected_is_not_sent(service, run, tmp_path, picture, flags, said):
    for file in (picture, drawn(tmp_path)):
        result = run("submit", file, *flags, "--json")
        assert result.exit_code == 1
        assert said in result.stderr
        assert result.stderr.count("\n") == 1
        assert json.loads(result.stdout) == []
    assert service.parts.submissions.taken == []
    assert run("submit", picture, *flags, "--no-check").exit_code in (0, 1)
    assert len(service.parts.submissions.taken) == 1


def test_a_rule_that_rejects_the_picture_on_every_engine_is_an_answer(
    service, run, tmp_path, monkeypatch
):
    asked = []

    def check(_gate, _recipe, _ticket, _cards, size, *_more):
        asked.append(size)
        finding = {"rule": "P001", "severity": "error", "found": "a mistake", "fix": "Fix it."}
        empty = {"why": "", "source": ""}
        return Preflight(findings=(PreflightFinding(**finding, **empty, engines=engines),))

    monkeypatch.setattr(lint, "check_ticket", check)
    engines = ()
    turned = drawn(tmp_path, (60, 40), "turned.jpg", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0")  # fmt: skip
    result = run("submit", turned)
    assert result.exit_code == 1
    assert result.stderr == "zoetrope: turned.jpg: Rejected by rule P001: a mistake. Fix it.\n"
    assert service.parts.submissions.taken == []
    assert asked == [(40, 60)]
    engines = ("e1",)
    assert run("submit", turned).exit_code == 0
    assert len(service.parts.submissions.taken) == 1


def test_a_stage_that_cannot_fit_into_the_host_s_memory_is_said_and_the_picture_sent(
    service, run, tmp_path, monkeypatch
):
    """Other programs may leave more by then, and the job may be made smaller."""
    finding = {"rule": TOO_LARGE, "severity": "warn", "found": "It needs 6.9 GiB.", "fix": "Add."}
    found = PreflightFinding(**finding, why="", source="")
    monkeypatch.setattr(lint, "check_ticket", lambda *_: Preflight(findings=(found,)))
    result = run("submit", drawn(tmp_path))
    assert result.exit_code == 0
    assert "It needs 6.9 GiB. Add." in result.stderr
    assert len(service.parts.submissions.taken) == 1


def test_of_a_file_that_only_the_service_can_read_the_size_is_not_made_up(
    service, run, picture, monkeypatch
):
    monkeypatch.setattr(
        lint, "check_ticket", lambda *_: Preflight(refusal=Reason("video-size", "Too large."))
    )
    assert run("submit", picture).exit_code == 0
    assert run("submit", drawn(picture.parent)).exit_code == 1


# Cut off


class Cutting:
    """Stands between client and service, and cuts the connection once a whole answer was on its way."""

    def __init__(self, url, times):
        self.upstream = urlsplit(url)
        self.times = times
        self.keys = []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while True:
            try:
                client, _ = self.socket.accept()
            except OSError:
                return
            with client:
                self.pass_on(client)

    def pass_on(self, client):
        asked = b""
        while b"\r\n\r\n" not in asked:
            asked += client.recv(65536)
        head, _, body = asked.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
        while len(body) < int(fields["Content-Length"]):
            body += client.recv(65536)
        lines = head.replace(b"Accept-Encoding", b"Connection: close\r\nAccept-Encoding")
        with socket.create_connection((self.upstream.hostname, self.upstream.port)) as service:
            service.sendall(lines + b"\r\n\r\n" + body)
            answer = b"".join(iter(lambda: service.recv(65536), b""))
        if "Idempotency-Key" in fields:
            self.keys.append(fields["Idempotency-Key"])
            if len(self.keys) <= self.times:
                return
        client.sendall(answer)

    def close(self):
        self.socket.close()


@pytest.mark.parametrize("times", [1, 4])
def test_an_upload_whose_answer_was_lost_is_sent_again_and_makes_one_job(service, picture, times):
    between = Cutting(service.url, times)
    try:
        client = Client(between.url, pauses=(0.0,) * 4)
        job = decode(client.upload(picture, {"prompt": "she turns"}), JobView)
    finally:
        between.close()
    assert len(between.keys) == times + 1
    assert len(set(between.keys)) == 1
    (taken,) = service.parts.submissions.taken
    assert taken["name"] == "cat.png"
    assert decode(client_of(service).job(job.id), JobView).id == job.id


def client_of(service):
    return Client(service.url)


def test_each_upload_has_a_key_of_its_own(service, picture):
    first, second = (decode(client_of(service).upload(picture, {}), JobView) for _ in range(2))
    assert first.id != second.id


def test_where_nothing_listens_it_is_said_at_once(picture):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(ServiceDown):
        Client(f"http://127.0.0.1:{port}", pauses=(3600.0,)).upload(picture, {})


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
