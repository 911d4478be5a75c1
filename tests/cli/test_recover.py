import json

from tests.fakes.lost import lose
from zoetrope.domain.job import State
from zoetrope.errors import Reason


def test_lost_work_is_listed_with_what_is_known(service, run):
    assert run("recover").stdout == "No work waits in lost+found.\n"
    known = lose(service.parts.settings)
    lose(service.parts.settings, note=False, video="cat-1f3a9c2e")
    result = run("recover")
    assert result.exit_code == 0
    assert f"{known.short}  cat.png" in result.stdout
    assert "its video is cat-1f3a9c2e" in result.stdout
    assert f"In {service.parts.settings.lost}; next: zoetrope recover ID..." in result.stdout
    assert len(json.loads(run("recover", "--json").stdout)) == 2


def test_named_work_becomes_jobs_and_one_refusal_does_not_hold_back_the_others(service, run):
    jobs = [lose(service.parts.settings) for _ in range(2)]
    result = run("recover", jobs[0].short, "ffff", jobs[1].short)
    assert result.exit_code == 1
    assert [line.partition(" is job ")[0] for line in result.stdout.splitlines()] == [
        job.short for job in jobs
    ]
    assert result.stdout.endswith("cat.png: queued\n")
    assert "no lost work 'ffff'" in result.stderr
    assert run("recover").stdout == "No work waits in lost+found.\n"


def test_what_a_user_had_ended_is_said_and_made_only_by_its_id(service, run):
    declined = Reason("declined", "Declined at the review.")
    ended = lose(service.parts.settings, state=State.CANCELLED, reason=declined)
    lose(service.parts.settings)
    assert "declined by a user" in run("recover").stdout
    result = run("recover", "--all")
    assert (result.exit_code, result.stdout.count(" is job ")) == (0, 1)
    assert ended.short not in result.stdout
    assert run("recover", ended.short).exit_code == 0


def test_all_of_it_becomes_jobs(service, run):
    for _ in range(3):
        lose(service.parts.settings)
    told = json.loads(run("recover", "--all", "--json").stdout)
    assert [each["state"] for each in told] == ["queued"] * 3
    assert run("recover", "--all").exit_code == 0
    assert run("recover", "--all", "ab").exit_code == 2
