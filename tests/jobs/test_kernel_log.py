"""What the kernel and systemd-oomd say of kills; the kernel's words are recorded from real ones.

The recording has three: an engine, a child of one in the same group, and another program. Stacks, counts of pages and
the host's name are left out.
"""

from pathlib import Path

import pytest

from zoetrope.engine.process import EngineProcess
from zoetrope.jobs import kernel_log
from zoetrope.jobs.engine_kills import EngineKills, is_of
from zoetrope.jobs.kernel_log import Kill, journal_kills, kernel_kills
from zoetrope.settings import EngineSettings, Restart

RECORDS = (Path(__file__).parent / "recordings/kernel-6.18-oom.txt").read_text()
UNIT = "zoetrope-comfyui@0.service"
GROUP = f"/system.slice/system-zoetrope.slice/{UNIT}"
BOOTED = 1_700_000_000.0


def test_each_kill_is_found_once_with_its_process_its_group_and_its_time():
    engine, child, other = kernel_kills(RECORDS, BOOTED)
    assert engine == Kill(at=pytest.approx(BOOTED + 82777.103462), group=GROUP, pid=31269)
    assert (child.group, child.pid) == (GROUP, 31271)
    assert (other.group, other.pid) == ("/user.slice/other.scope", 31272)


def as_journal(records):
    """As `journalctl -k -o short-unix` shows the same records."""
    return "\n".join(
        f"{BOOTED + int(head.split(',')[2]) / 1e6:.6f} box kernel: {words}"
        for head, _, words in (line.partition(";") for line in records.splitlines())
    )


def test_the_journal_has_the_same_words_behind_its_own():
    kernel = list(kernel_kills(RECORDS, BOOTED))
    journal = list(journal_kills(as_journal(RECORDS)))
    assert [(each.group, each.pid) for each in journal] == [
        (each.group, each.pid) for each in kernel
    ]
    assert [each.at for each in journal] == pytest.approx([each.at for each in kernel])


@pytest.mark.parametrize(
    "words",
    [
        f"Killed {GROUP} due to memory pressure for /system.slice being 61.20% > 60.00% for > 30s with reclaim activity",
        f"Marked {GROUP} for killing due to memory pressure for /system.slice being 61.20% > 60.00% for > 30s",
        f"Killed {GROUP} due to memory used (8000) / total (8192) and swap used (7900) / total (8192)",
    ],
)
def test_systemd_oomd_ends_whole_groups_and_the_kernel_says_nothing(words):
    (kill,) = journal_kills(f"1700000000.5 box systemd-oomd[412]: {words}")
    assert kill == Kill(at=1_700_000_000.5, group=GROUP)


@pytest.mark.parametrize(
    "line",
    [
        # By a program: its facility is not the kernel's.
        "14,9,5000000,-;oom-kill:constraint=CONSTRAINT_MEMCG,task_memcg=/a.service,task=x,pid=1,uid=0",
        "6,9,5000000,-;notice oom-kill:constraint=CONSTRAINT_MEMCG,task_memcg=/a,task=x,pid=1,uid=0",
        "6,9,5000000,-;oom-kill:constraint=CONSTRAINT_MEMCG,task_memcg=/a,task=x,pid=,uid=0",
        "6,9,-;",
        "",
    ],
)
def test_what_is_no_kill_is_none(line):
    assert not list(kernel_kills(line, BOOTED))


def test_a_task_may_be_called_anything():
    line = "6,9,5000000,-;oom-kill:constraint=NONE,task_memcg=/a.service,task=p,pid=7,uid=0,pid=42,uid=0"
    (kill,) = kernel_kills(line, BOOTED)
    assert kill.pid == 42


def test_only_kills_of_the_engine_count():
    engine, child, other = kernel_kills(RECORDS, BOOTED)
    in_unit = EngineProcess(31269, GROUP)
    in_login = EngineProcess(31272, "/user.slice/other.scope")
    assert [is_of(each, in_unit, None) for each in (engine, child, other)] == [True, True, False]
    # Next to a browser in a login's own group only the process itself counts.
    neighbour = EngineProcess(1, "/user.slice/other.scope")
    assert [is_of(each, in_login, None) for each in (engine, child, other)] == [False, False, True]
    assert [is_of(each, neighbour, None) for each in (engine, child, other)] == [False] * 3
    assert [is_of(each, None, UNIT) for each in (engine, child, other)] == [True, True, False]
    assert is_of(Kill(at=0, group="/user.slice/other.scope"), neighbour, None)


def test_the_log_is_read_for_an_engine_whose_process_or_unit_is_known():
    read = []

    def log(since):
        read.append(since)
        return tuple(kernel_kills(RECORDS, BOOTED))

    engines = (
        EngineSettings(name="unit", restart=Restart(unit=UNIT)),
        EngineSettings(name="started", url="http://127.0.0.1:8188"),
        EngineSettings(name="far", url="http://far:8188"),
    )
    processes = {"http://127.0.0.1:8188": EngineProcess(31272, "/user.slice/other.scope")}
    kills = EngineKills(engines, process=processes.get, log=log)
    assert not kills.since("started", 5.0)
    assert read == []
    kills.note("started", "http://127.0.0.1:8188")
    assert kills.since("started", 5.0)
    assert kills.since("unit", 6.0)
    assert not kills.since("far", 7.0)
    assert not kills.since("gone", 8.0)
    assert read == [5.0, 6.0]


class Kmsg:
    """The calls of `os` by which records are read, one at a time, until there are no more."""

    O_RDONLY = O_NONBLOCK = O_CLOEXEC = 0

    def __init__(self, *answers):
        self.answers = [*answers, BlockingIOError(11, "Resource temporarily unavailable")]
        self.closed = False

    def open(self, *_):
        if len(self.answers) == 1:
            raise PermissionError(1, "Operation not permitted")
        return 99

    def read(self, _, size):
        assert size >= 8192  # the kernel gives an error for less room than a record may need
        answer = self.answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    def close(self, _):
        self.closed = True


def test_records_are_read_until_there_are_no_more(monkeypatch):
    lines = [line.encode() + b"\n" for line in RECORDS.splitlines()]
    kmsg = Kmsg(*lines[:3], BrokenPipeError(32, "Broken pipe"), *lines[3:])
    monkeypatch.setattr(kernel_log, "os", kmsg)
    monkeypatch.setattr(kernel_log, "journal", lambda _: "")
    assert [each.pid for each in kernel_log.read(0.0)] == [31269, 31271, 31272]
    assert kmsg.closed


def test_a_log_that_may_not_be_read_says_nothing(monkeypatch, tmp_path):
    monkeypatch.setattr(kernel_log, "os", Kmsg())
    monkeypatch.setenv("PATH", str(tmp_path))  # without journalctl
    assert kernel_log.read(0.0) == ()
