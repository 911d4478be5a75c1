"""The engine that the service brings along: it comes, comes back, and never outlives the service."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from pathlib import Path

import aiohttp
import pytest
from PIL import Image

from tests.conftest import RECIPES
from zoetrope import settings
from zoetrope.engine.embedded import EmbeddedEngine
from zoetrope.engine.embedded_process import EmbeddedProcess
from zoetrope.engine.protocol import Absent, Finished, Stats
from zoetrope.errors import EngineDown, SettingsError
from zoetrope.graphs.graph import put
from zoetrope.graphs.shelf import load
from zoetrope.settings import EngineSettings

FIRST, SECOND = (f"0d1c2b3a-0000-4000-8000-00000000000{n}" for n in (1, 2))
SETTINGS = EngineSettings(name="e", url="simulated:", silence_seconds=0.5)


class Alone(EmbeddedEngine):
    """A client and its process, which ends with it."""

    def __init__(self, home, **options):
        self.process = EmbeddedProcess("e", home, **options)
        super().__init__(SETTINGS, "test", self.process)

    async def close(self):
        await super().close()
        await self.process.close()


@pytest.fixture
async def engine(tmp_path):
    engine = Alone(tmp_path / "simulated")
    await engine.start()
    yield engine
    await engine.close()


async def answers(engine) -> Stats:
    async with asyncio.timeout(45):
        while True:
            with contextlib.suppress(EngineDown):
                return await engine.stats()
            await asyncio.sleep(0.02)


def runs(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def process(home) -> int | None:
    """Find the process that works in a folder."""
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (place / "cmdline").read_bytes().split(b"\0")
            if b"--with-parent" in words and os.fsencode(home) in words and runs(int(place.name)):
                return int(place.name)
    return None


async def ended(pid: int) -> None:
    async with asyncio.timeout(45):
        while runs(pid):
            await asyncio.sleep(0.02)


async def tiny(engine, folder):
    """Upload a picture and give the tiny recipe's first graph around it."""
    Image.new("RGB", (64, 64), (200, 30, 40)).save(folder / "red.png")
    name = await engine.upload(folder / "red.png", "0123456789abcdef.png")
    graph = load(RECIPES / "tiny").graphs["i2v.json"]
    return put(graph, {"image.image": name, "save.filename_prefix": "zoetrope/x"})


async def order(engine, **fault) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{engine.url}/simulated/faults", json=fault) as answer,
    ):
        assert answer.status == 200


async def test_it_answers_as_soon_as_it_is_started(engine, tmp_path):
    assert (await engine.stats()).simulated
    assert engine.url.startswith("http://127.0.0.1:")
    assert (tmp_path / "simulated" / "input").is_dir()


async def test_it_works_as_any_engine_does_and_comes_back_after_an_ordered_exit(
    engine, tmp_path, caplog
):
    graph = await tiny(engine, tmp_path)
    await engine.submit(graph, FIRST, tags={})
    async with asyncio.timeout(45):
        *_, last = [event async for event in engine.follow(FIRST)]
    assert isinstance(last, Finished)

    await order(engine, kind="exit", node="KSamplerAdvanced", step=2)
    before = process(tmp_path / "simulated")
    await engine.submit(put(graph, {"ks_high.noise_seed": 2}), SECOND, tags={})
    await ended(before)
    assert (await answers(engine)).simulated
    assert "ended (137); restarting it" in caplog.text
    assert await engine.whereabouts(SECOND) == Absent()


async def test_a_restart_keeps_the_address_and_is_nothing_to_complain_about(
    engine, tmp_path, caplog
):
    url, before = engine.url, process(tmp_path / "simulated")
    assert before is not None
    assert engine.can_restart
    await engine.restart()
    assert (await answers(engine)).simulated
    assert engine.url == url
    assert process(tmp_path / "simulated") not in (before, None)
    assert [r.action for r in caplog.records] == ["engine-restart"]


async def test_it_comes_back_when_it_dies(engine, tmp_path, caplog):
    before = process(tmp_path / "simulated")
    os.kill(before, signal.SIGKILL)
    await ended(before)
    assert (await answers(engine)).simulated
    assert "ended (-9); restarting it" in caplog.text


async def test_it_ends_with_the_service(tmp_path):
    engine = Alone(tmp_path / "simulated")
    await engine.start()
    assert process(tmp_path / "simulated") is not None
    await engine.close()
    assert process(tmp_path / "simulated") is None


async def test_it_ends_when_the_service_stops_before_it_ever_answered(tmp_path):
    engine = Alone(tmp_path / "simulated")
    starting = asyncio.create_task(engine.start())
    await asyncio.sleep(0.05)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert process(tmp_path / "simulated") is None
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "simulated-e"]


async def test_it_does_not_outlive_a_service_that_is_killed(tmp_path):
    code = (
        "import asyncio, sys, pathlib\n"
        "from zoetrope.engine.embedded_process import EmbeddedProcess\n"
        "async def main():\n"
        "    engine = EmbeddedProcess('e', pathlib.Path(sys.argv[1]))\n"
        "    await engine.start()\n"
        "    print('started', flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    service = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, str(tmp_path / "r"), stdout=asyncio.subprocess.PIPE
    )
    assert await service.stdout.readline() == b"started\n"
    pid = process(tmp_path / "r")
    assert pid is not None
    service.kill()
    await service.wait()
    await ended(pid)


async def test_a_home_that_cannot_be_made_is_a_reason_and_no_end_of_the_service(tmp_path, caplog):
    (tmp_path / "file").write_text("in the way")
    engine = Alone(tmp_path / "file" / "home")
    await engine.start()
    try:
        with pytest.raises(EngineDown, match=r"Not a directory.*service restarts it"):
            await engine.stats()
        assert "cannot be started" in caplog.text
        (tmp_path / "file").unlink()
        assert (await answers(engine)).simulated
    finally:
        await engine.close()


async def test_the_last_words_of_one_that_does_not_start_are_in_the_log(tmp_path, caplog):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        engine = Alone(tmp_path / "home", port=lambda: taken.getsockname()[1])
        await engine.start()
        await engine.close()
    assert "address already in use" in caplog.text
    assert "ended (1); restarting it" in caplog.text


def test_the_settings_take_several_and_no_way_to_restart_them():
    text = "[[engines]]\nname='a'\nurl='simulated:'\n[[engines]]\nname='b'\nurl='simulated:'\n"
    assert [engine.name for engine in settings.parse(text, "z.toml").engines] == ["a", "b"]
    with pytest.raises(SettingsError, match=r"engines\[1\]\.restart"):
        settings.parse(f"{text}restart={{unit='x'}}", "z.toml")
