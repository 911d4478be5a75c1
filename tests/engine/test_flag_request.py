import os
import stat

import pytest

from zoetrope.engine.flag_request import Asked, FlagRequests
from zoetrope.settings import EngineSettings

PINNED = Asked(by="fallback", words=("--disable-pinned-memory",), reason="job 1a2b")


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    return folder


@pytest.fixture
def make(tmp_path, run):
    (tmp_path / "state").mkdir()

    def make():
        engines = [
            EngineSettings(
                name="gpu-0", flag_request=run / "0.json", report=tmp_path / "report.json"
            ),
            EngineSettings(name="far", url="http://far:1"),
        ]
        return FlagRequests(engines, tmp_path / "state/flag-requests")

    return make


def test_the_engines_user_reads_what_is_asked_whatever_the_umask_is(make, run, tmp_path):
    before = os.umask(0o077)
    try:
        make().ask("gpu-0", PINNED)
    finally:
        os.umask(before)
    assert stat.S_IMODE((run / "0.json").stat().st_mode) == 0o644
    assert list(run.iterdir()) == [run / "0.json"]
    copy = tmp_path / "state/flag-requests/gpu-0.json"
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert copy.read_bytes() == (run / "0.json").read_bytes()


def test_it_is_asked_for_again_after_the_hosts_start_until_somebody_removes_the_copy(
    make, run, tmp_path
):
    make().ask("gpu-0", PINNED)
    (run / "0.json").unlink()
    make().publish()
    assert (run / "0.json").exists()
    assert make().asked("gpu-0") == (PINNED,)
    (tmp_path / "state/flag-requests/gpu-0.json").unlink()
    make().publish()
    assert not (run / "0.json").exists()
    assert make().may_ask("gpu-0", "--disable-pinned-memory")


def test_a_flag_is_asked_for_once_and_only_where_it_is_not_in_force(make, tmp_path):
    requests = make()
    assert (requests.has("gpu-0"), requests.has("far")) == (True, False)
    assert not requests.may_ask("far", "--cache-none")
    assert requests.may_ask("gpu-0", "--disable-pinned-memory")
    requests.ask("gpu-0", PINNED)
    assert not requests.may_ask("gpu-0", "--disable-pinned-memory")
    assert requests.may_ask("gpu-0", "--cache-none")
    (tmp_path / "report.json").write_text('{"schema": 1, "flags": ["--cache-none"]}')
    assert not requests.may_ask("gpu-0", "--cache-none")


def test_what_was_learned_is_forgotten_on_both_sides_and_what_is_worked_out_stays(make, run):
    requests = make()
    budget = Asked(by="budget", words=("--cache-none",))
    requests.ask("gpu-0", PINNED)
    requests.ask("gpu-0", budget)
    assert requests.forget("gpu-0") == (PINNED,)
    assert requests.asked("gpu-0") == (budget,)
    assert requests.forget("gpu-0") == ()
    # The same failure may teach it again.
    assert requests.may_ask("gpu-0", PINNED.words[0])


def test_the_newest_of_one_asker_replaces_its_earlier_one(make):
    requests = make()
    other = Asked(by="budget", words=("--cache-ram", "2", "2"))
    for each in (
        PINNED,
        Asked(by="budget", words=("--cache-ram", "9")),
        other,
    ):
        requests.ask("gpu-0", each)
    assert [each.by for each in requests.asked("gpu-0")] == ["fallback", "budget"]
    assert requests.asked("gpu-0")[-1] == other


@pytest.mark.parametrize("content", [b"", b"{", b'{"schema": 7}', b'{"asked": [{"by": "me"}]}'])
def test_a_copy_that_cannot_be_read_asks_for_nothing_and_stops_nothing(
    make, run, tmp_path, content
):
    requests = make()
    requests.ask("gpu-0", PINNED)
    (tmp_path / "state/flag-requests/gpu-0.json").write_bytes(content)
    requests.publish()
    assert requests.asked("gpu-0") == ()
    assert not (run / "0.json").exists()


def test_a_folder_that_is_not_there_is_named_and_keeps_nothing_from_starting(make, run, caplog):
    requests = make()
    run.rmdir()
    with pytest.raises(OSError, match="No such file"):
        requests.ask("gpu-0", PINNED)
    requests.publish()
    assert "gpu-0 starts without the flags" in caplog.text
    # The copy is there: it is asked for when the folder is.
    run.mkdir()
    requests.publish()
    assert (run / "0.json").exists()
