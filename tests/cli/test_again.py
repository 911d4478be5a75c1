import hashlib
import json

import msgspec
import pytest

from tests.web.fakes import IMAGE
from zoetrope.domain.job import State


@pytest.fixture
def done(service):
    image = msgspec.structs.replace(IMAGE, sha256=hashlib.sha256(b"source").hexdigest())
    job = service.add(State.FAILED, images=(image,))
    folder = service.parts.settings.work / job.id
    folder.mkdir(parents=True)
    (folder / "source.png").write_bytes(b"source")
    return job


def test_a_job_is_made_again_with_what_is_said(service, run, done):
    result = run(
        "again", done.short, "--prompt", "she smiles", "--seed", "7", "--set", "steps=24",
        "--set", "review=false", "--set", "name=x=y",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    (taken,) = service.parts.submissions.taken
    assert taken["ticket"] == {
        "prompt": "she smiles", "seed": 7, "steps": 24, "review": False, "name": "x=y",
    }  # fmt: skip
    assert result.stdout.endswith(f" repeats {done.short}: queued\n")


def test_nothing_need_be_said(service, run, done):
    assert run("again", done.id).exit_code == 0
    assert service.parts.submissions.taken[0]["ticket"] == {}


def test_the_new_job_as_json_is_what_the_api_gives(run, done, service):
    told = json.loads(run("again", done.short, "--json").stdout)
    assert told["parent"] == done.id
    assert json.loads(run("job", told["short"], "--json").stdout)["id"] == told["id"]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--set", "steps"], "--set 'steps' is not KEY=VALUE."),
        (["--seed", "7", "--set", "seed=8"], "--set seed sets what another flag"),
        (["--seed", "-1"], "--seed"),
    ],
)
def test_what_cannot_be_understood_is_said_before_anything_is_asked(run, done, args, said):
    result = run("again", done.short, *args)
    assert result.exit_code == 2
    assert said in result.stderr
    assert "zoetrope again --help" in result.stderr


def test_a_job_whose_source_is_gone_is_one_line(service, run, done):
    (service.parts.settings.work / done.id / "source.png").unlink()
    result = run("again", done.short)
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert "source.png is not there any more" in result.stderr


@pytest.mark.parametrize(("fate", "code"), [("done", 0), ("failed", 1)])
def test_its_end_can_be_waited_for(service, run, done, fate, code):
    service.drive_uploads(fate)
    result = run("again", done.short, "--sync", "--json")
    assert result.exit_code == code
    assert json.loads(result.stdout)["state"] == fate
