import pytest

from zoetrope.engine.simulated import serve as module


@pytest.mark.parametrize("name", ["simulate", "rehearse"])
def test_the_simulated_engine_is_started_as_asked(tmp_path, run, monkeypatch, name):
    seen = []

    async def serve(home, **options):
        seen.append((home, options))

    monkeypatch.setattr(module, "serve", serve)
    result = run(name, "--port", "9188", "--home", tmp_path / "r", "--step-seconds", 0.5)
    assert result.exit_code == 0, result.stderr
    ((home, options),) = seen
    assert home == tmp_path / "r"
    assert home.is_dir()
    assert (options["host"], options["port"], options["step_seconds"]) == ("127.0.0.1", 9188, 0.5)


def test_a_fault_that_does_not_exist_is_a_usage_error(tmp_path, run):
    result = run("simulate", "--home", tmp_path, "--fault", "boredom")
    assert result.exit_code == 2
    assert "--fault" in result.stderr


def test_the_earlier_name_is_in_no_help(run):
    assert "rehearse" not in run("--help").stdout
