"""An engine with a picture in its input folder, and a client for it."""

import aiohttp
import pytest

from tests.engine.simulated.stage import Client, picture
from zoetrope.engine.simulated import SimulatedEngine


@pytest.fixture
async def session():
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def start(tmp_path, session):
    """Start engines with chosen options; each is stopped at the end."""
    started = []

    async def start(**options):
        engine = SimulatedEngine(tmp_path / f"engine{len(started)}", **options)
        await engine.start()
        started.append(engine)
        picture().save(engine.files.input / "start.png")
        return Client(engine, session)

    yield start
    for engine in started:
        await engine.stop()


@pytest.fixture
async def client(start):
    return await start()
