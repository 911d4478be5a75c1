import json

from tests.fakes.lost import lose
from zoetrope.cli import recover
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
    assert (
        f"In {service.parts.settings.lost}; next: zoetrope recover ID..., --all, or --discard"
        in result.stdout
    )
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


def test_what_is_discarded_is_said_with_its_room_and_asked_on_a_terminal(service, run, monkeypatch):
    kept, gone = (lose(service.parts.settings, body=b"x" * 2_000_000) for _ in range(2))
    monkeypatch.setattr(recover, "on_terminal", lambda: True)
    result = run("recover", "--discard", gone.short, said="n\n")
    assert result.exit_code == 1
    assert f"{gone.short}  cat.png, 2 MB" in result.stderr
    assert "Remove the work of 1 job for good? It frees 2 MB." in result.stderr
    assert "Nothing was removed." in result.stderr
    assert len(json.loads(run("recover", "--json").stdout)) == 2
    result = run("recover", "--discard", gone.short, said="y\n")
    assert result.exit_code == 0
    assert result.stdout == f"{gone.short} cat.png is removed; that freed 2 MB.\n"
    (left,) = json.loads(run("recover", "--json").stdout)
    assert left["job"] == kept.id
    assert not (service.parts.settings.lost / gone.id).exists()


def test_without_a_terminal_discarding_takes_a_yes(service, run):
    jobs = [lose(service.parts.settings) for _ in range(2)]
    for wrong in (
        ("--discard", jobs[0].short),
        ("--discard", "--yes"),
        ("--discard", "--all", "--yes"),
        ("--yes", jobs[0].short),
    ):
        assert run("recover", *wrong).exit_code == 2, wrong
    assert len(json.loads(run("recover", "--json").stdout)) == 2
    result = run("recover", "--discard", "--yes", "--json", *(job.id.upper() for job in jobs))
    assert [each["job"] for each in json.loads(result.stdout)] == [job.id for job in jobs]
    assert run("recover").stdout == "No work waits in lost+found.\n"


def test_where_one_id_is_not_there_nothing_is_discarded(service, run):
    job = lose(service.parts.settings)
    result = run("recover", "--discard", "--yes", job.short, "ffff")
    assert result.exit_code == 1
    assert "'ffff' is no lost work, so nothing was removed." in result.stderr
    assert "`zoetrope recover` lists what there is." in result.stderr
    assert (service.parts.settings.lost / job.id).is_dir()
    twice = (lose(service.parts.settings, id=f"abc{end}" + "0" * 28) for end in "de")
    assert len(list(twice)) == 2
    result = run("recover", "--discard", "--yes", "abc")
    assert "'abc' begins the ids of 2 pieces of lost work" in result.stderr
    assert result.exit_code == 1
