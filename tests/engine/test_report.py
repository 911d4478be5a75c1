import os

import msgspec
import pytest

from zoetrope.engine.report import (
    MOST_BYTES,
    STATIC,
    EngineReport,
    ReportUnknown,
    killed_since,
    known,
    read,
)

REPORT = {
    "schema": 1,
    "chosen": "sageattn",
    "kernels": [{"name": "sdpa", "verdict": "ok", "ms": 9}],
}


@pytest.fixture
def file(tmp_path):
    file = tmp_path / "0.json"
    file.write_bytes(msgspec.json.encode(REPORT))
    return file


def test_a_report_is_read_and_what_is_not_needed_is_passed_over(file):
    found = read(file)
    assert found.chosen == "sageattn"
    assert found.kernels[0].name == "sdpa"
    assert found.problem is None


DEEP = b'{"schema": 1, "more": ' + b"[" * 100_000


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"chosen": 3, "schema": 1}', b"\xff\xfe", DEEP]
)
def test_what_is_no_report_is_an_error_that_names_the_file(file, content):
    file.write_bytes(content)
    with pytest.raises(ReportUnknown, match=r"0\.json is not a report"):
        read(file)


def test_a_missing_report_is_an_error_that_says_so(tmp_path):
    with pytest.raises(ReportUnknown, match="No such file"):
        read(tmp_path / "none.json")


@pytest.mark.parametrize("kind", ["pipe", "link", "large"])
def test_what_the_engine_s_user_puts_in_its_place_is_not_waited_for(tmp_path, kind):
    """ComfyUI's user writes the report, and its node packs are of third parties."""
    file = tmp_path / "0.json"
    if kind == "pipe":
        os.mkfifo(file)
    elif kind == "link":
        file.symlink_to("/dev/zero")
    else:
        file.write_bytes(msgspec.json.encode({**REPORT, "more": "x" * MOST_BYTES}))
    with pytest.raises(ReportUnknown):
        read(file)
    assert known(file) is None


def test_a_report_of_another_schema_is_not_guessed_at(file):
    file.write_bytes(msgspec.json.encode({**REPORT, "schema": 2}))
    with pytest.raises(ReportUnknown, match="schema 2"):
        read(file)


def test_what_cannot_be_read_is_not_known(file, tmp_path):
    assert known(file).chosen == "sageattn"
    assert known(None) is None
    assert known(tmp_path / "none.json") is None


def test_only_kernels_that_the_self_test_passed_are_right(file):
    kernels = [{"name": "sdpa", "verdict": "ok"}, {"name": "sageattn", "verdict": "refused"}]
    file.write_bytes(msgspec.json.encode({**REPORT, "kernels": kernels, "capability": "12.0"}))
    assert read(file).right == {"sdpa"}
    assert read(file).capability == "12.0"


def test_a_kill_counts_for_what_ran_then(file):
    assert not killed_since(file, 0, 2_000)
    file.write_bytes(msgspec.json.encode({**REPORT, "ended": [{"how": "oom-kill", "at": 1_000}]}))
    # Its clock gives whole seconds.
    assert killed_since(file, 1_000.9, 2_000)
    assert not killed_since(file, 1_001.1, 2_000)
    assert not killed_since(None, 0, 2_000)
    # A node can write the note as well; a time to come would explain every later end.
    assert not killed_since(file, 0, 900)


@pytest.mark.parametrize(
    ("mode", "runtime", "flags", "found"),
    [
        ("gpu", "python 3.12.3, torch 2.11.0, triton 3.6.0", (), "on"),
        ("gpu", "python 3.12.3, torch 2.11.0", ("--lowvram",), "on"),
        ("gpu", "torch 2.8.0", ("--cache-ram", "6", "6"), "on"),
        ("gpu", "torch 2.7.1", (), "off"),
        ("gpu", "torch 2.7.1", ("--enable-dynamic-vram",), "on"),
        *(("gpu", "torch 2.11.0", (flag,), "off") for flag in sorted(STATIC)),
        ("cpu", "torch 2.11.0", ("--cpu",), "off"),
        ("gpu", "python 3.12.3", (), ""),
        ("", "", (), ""),
    ],
)
def test_whether_vram_is_dynamic_is_said_as_comfyui_decides_it(mode, runtime, flags, found):
    report = EngineReport(schema=1, mode=mode, runtime=runtime, flags=flags)
    assert report.dynamic_vram == found
