"""What the jobs' tests share."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fakes.keeping import Host
from tests.fakes.street import Street
from zoetrope.settings import KeepSettings


@pytest.fixture
async def street(tmp_path):
    street = Street(tmp_path)
    await street.start()
    yield street
    await street.close()


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Host]:
    host = Host(tmp_path, KeepSettings(outbox_days=30))
    await host.open()
    yield host
    await host.ledger.close()
