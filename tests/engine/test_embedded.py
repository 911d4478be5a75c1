"""The engine that the service brings along: it comes, comes back, and never outlives the service."""

import asyncio
import contextlib
import os
import signal
import sys
import urllib.request
from pathlib import Path

import pytest

from zoetrope.engine.embedded import EmbeddedEngine
from zoetrope.engine.protocol import Stats
from zoetrope.errors import EngineDown
from zoetrope.settings import EngineSettings

SETTINGS = EngineSettings(name="e", url="rehearsal:")


@pytest.fixture
async def engine(tmp_path):
    engine = EmbeddedEngine(SETTINGS, "test", tmp_path / "rehearsal")
    await engine.start()
    yield engine
    await engine.close()


async def answers(engine) -> Stats:
    async with asyncio.timeout(20):
        while True:
            with contextlib.suppress(EngineDown):
                return await engine.stats()
            await asyncio.sleep(0.02)


async def test_it_answers_as_soon_as_it_is_started(engine):
    assert (await engine.stats()).rehearsal
    assert engine.url.startswith("http://127.0.0.1:")


async def test_a_restart_keeps_the_address(engine):
    url = engine.url
    assert engine.can_restart
    await engine.restart()
    assert (await answers(engine)).rehearsal
    assert engine.url == url


async def test_it_comes_back_when_it_dies(engine):
    process = engine._process
    os.kill(process.pid, signal.SIGKILL)
    await process.wait()
    assert (await answers(engine)).rehearsal


async def test_it_ends_with_the_service(tmp_path):
    engine = EmbeddedEngine(SETTINGS, "test", tmp_path / "rehearsal")
    await engine.start()
    pid = engine._process.pid
    await engine.close()
    assert not Path(f"/proc/{pid}").exists()


async def test_it_does_not_outlive_a_service_that_is_killed(tmp_path):
    code = (
        "import asyncio, sys, pathlib\n"
        "from zoetrope.engine.embedded import EmbeddedEngine\n"
        "from zoetrope.settings import EngineSettings\n"
        "async def main():\n"
        "    engine = EmbeddedEngine(EngineSettings(name='e', url='rehearsal:'), 't',"
        " pathlib.Path(sys.argv[1]))\n"
        "    await engine.start()\n"
        "    print(engine.url, flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    service = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, str(tmp_path / "r"), stdout=asyncio.subprocess.PIPE
    )
    url = (await service.stdout.readline()).decode().strip()
    service.kill()
    await service.wait()

    def gone() -> bool:
        try:
            urllib.request.urlopen(f"{url}/system_stats", timeout=1).close()
        except OSError:
            return True
        return False

    async with asyncio.timeout(10):
        while not await asyncio.to_thread(gone):
            await asyncio.sleep(0.05)
