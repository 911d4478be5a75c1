import asyncio
import os
import signal

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
        (("sh", "-c", "echo polkit says no >&2; exit 4"), "failed with 4: polkit says no"),
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


async def test_a_question_to_systemd_that_is_never_answered_leaves_no_program_behind(
    tmp_path, monkeypatch
):
    fake = tmp_path / "systemctl"
    fake.write_text("#!/bin/sh\nexec sleep 600\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(restart, "ASK_SECONDS", 0.05)
    real, started = asyncio.create_subprocess_exec, []

    async def start(*line, **more):
        started.append(await real(*line, **more))
        return started[-1]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", start)
    assert await restart.died_by_itself(Restart(unit="zoetrope-comfyui@0.service"))
    assert started[0].returncode == -signal.SIGKILL
