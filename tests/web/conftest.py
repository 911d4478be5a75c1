import contextlib

import pytest
from aiohttp.test_utils import TestClient, TestServer

from tests.web.fakes import make_parts
from tests.web.house import House
from zoetrope.web.server import make_app


@pytest.fixture
async def parts(tmp_path):
    parts = await make_parts(tmp_path)
    ledger = parts.ledger
    yield parts
    # A test may take the ledger away, or open it anew.
    await (parts.ledger or ledger).close()


@pytest.fixture
async def client(parts):
    async with TestClient(TestServer(make_app(parts, parts.bus, pause=0.05))) as client:
        yield client


@pytest.fixture
async def serve(tmp_path):
    """Start a service with further lines in the settings' [web] table."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(extra: str):
            parts = await make_parts(tmp_path, extra)
            stack.push_async_callback(parts.ledger.close)
            return await stack.enter_async_context(
                TestClient(TestServer(make_app(parts, parts.bus)))
            )

        yield start


@pytest.fixture
async def house():
    """A server whose connections are bounded."""
    async with contextlib.AsyncExitStack() as stack:
        yield House(stack)
