"""What every test may ask for, and which tests run where."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.fakes.service import EngineProcess, ServiceProcess
from zoetrope import openat2

# A marker is deselected unless its variable names what it needs.
NEEDS = {
    "engine": "ZOETROPE_COMFYUI_URL",
    "gpu": "ZOETROPE_GPU",
    "torch": "ZOETROPE_TORCH_PYTHON",
    "nixpkgs": "ZOETROPE_NIXPKGS_LIB",
}

LEFT_OUT = pytest.StashKey[tuple[int, set[str]]]()

# How long an example takes, or the making of one, is the machine's matter.
settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")

# Hundreds of processes are started, and each would compile the package anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

RECIPES = Path(__file__).parent / "recipes"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kills", type=int, default=6, help="how often the service is killed")
    parser.addoption("--kill-seed", type=int, default=1834, help="decides the moments")


@pytest.fixture
def kills(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption("--kills"))


@pytest.fixture
def kill_seed(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption("--kill-seed"))


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[EngineProcess]:
    """A simulated engine as a process."""
    engine = EngineProcess(tmp_path / "engine")
    engine.start()
    yield engine
    engine.stop()


@pytest.fixture
def service(tmp_path: Path, engine: EngineProcess) -> Iterator[ServiceProcess]:
    """The real service as a process, with that engine; not started yet."""
    service = ServiceProcess(tmp_path, engine.url)
    yield service
    service.stop()
    assert "Traceback" not in service.log.read_text()


@pytest.fixture(params=["kernel", "walk"])
def both_forms(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have folders that others may write in walked by the kernel, and then step by step."""
    if request.param == "walk":
        monkeypatch.setattr(openat2, "below", lambda *_: None)
    elif not openat2.available():
        pytest.skip("this kernel has no openat2")


def needed(item: pytest.Item) -> list[str]:
    """Name the variables that a test's markers need; a marker may name another than the usual one."""
    found = [(variable, item.get_closest_marker(name)) for name, variable in NEEDS.items()]
    return [str(mark.args[0]) if mark.args else variable for variable, mark in found if mark]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    left_out = [item for item in items if not all(map(os.environ.get, needed(item)))]
    missing = {variable for item in left_out for variable in needed(item)} - set(os.environ)
    config.stash[LEFT_OUT] = (len(left_out), missing)
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def pytest_terminal_summary(terminalreporter, config: pytest.Config) -> None:
    count, missing = config.stash.get(LEFT_OUT, (0, set()))
    if count:
        terminalreporter.write_line(
            f"{count} tests were left out: set {', '.join(sorted(missing))}"
        )


def pytest_runtest_setup(item: pytest.Item) -> None:
    marker = item.get_closest_marker("system")
    missing = [tool for tool in (marker.args if marker else ()) if shutil.which(tool) is None]
    if missing:
        sentence = f"needs {', '.join(missing)}: make system-deps installs it"
        if os.environ.get("ZOETROPE_REQUIRE_SYSTEM"):
            pytest.fail(sentence)
        pytest.skip(sentence)
