"""What the jobs' tests share."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fakes.keeping import Host
from tests.fakes.pipeline import Pipeline
from zoetrope.settings import KeepSettings


@pytest.fixture
async def pipeline(tmp_path):
    pipeline = Pipeline(tmp_path)
    await pipeline.start()
    yield pipeline
    await pipeline.close()


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Host]:
    host = Host(tmp_path, KeepSettings(outbox_days=30))
    await host.open()
    yield host
    await host.ledger.close()
