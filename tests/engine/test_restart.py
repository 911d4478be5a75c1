import pytest

from zoetrope.engine import restart
from zoetrope.errors import EngineDown
from zoetrope.settings import Restart


def test_a_unit_is_restarted_by_systemctl():
    assert restart.command_line(Restart(unit="zoetrope-comfyui@0.service")) == (
        "systemctl",
        "restart",
        "zoetrope-comfyui@0.service",
    )


async def test_a_command_that_ends_well_is_enough(tmp_path):
    await restart.restart_engine(Restart(command=("true",)))


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (("sh", "-c", "echo polkit says no >&2; exit 4"), "ended with 4: polkit says no"),
        (("/absent/command",), "cannot be run"),
    ],
)
async def test_a_command_that_fails_is_one_sentence(command, told):
    with pytest.raises(EngineDown, match=told) as caught:
        await restart.restart_engine(Restart(command=command))
    assert caught.value.reason.key == "restart-failed"


async def test_a_command_that_never_ends_is_ended(monkeypatch):
    monkeypatch.setattr(restart, "TIMEOUT", 0.1)
    with pytest.raises(EngineDown, match="took longer"):
        await restart.restart_engine(Restart(command=("sleep", "60")))
