"""What the jobs' tests share."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fakes.checking import answer_here
from tests.fakes.garbled import Garbled
from tests.fakes.keeping import Host
from tests.fakes.pipeline import Pipeline
from zoetrope.settings import JobsSettings, KeepSettings


@pytest.fixture(autouse=True)
def checked_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Check videos in this process; `test_checkers.py` and `tests/verify` have the real ones."""
    monkeypatch.setattr("zoetrope.verify.check.ask", answer_here)


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


@pytest.fixture
async def garbled(tmp_path, monkeypatch):
    """A pipeline whose engine is reached through a proxy that may say anything."""
    for place in ("FIRST_RETRY", "LONGEST_RETRY"):
        monkeypatch.setattr(f"zoetrope.jobs.worker.{place}", 0.02)
        monkeypatch.setattr(f"zoetrope.jobs.engine_watch.{place}", 0.02)
    monkeypatch.setattr("zoetrope.jobs.wrong_answers.LONGEST_PAUSE", 0.02)
    pipeline = Pipeline(tmp_path)
    pipeline.jobs_settings = JobsSettings(patience_seconds=20, retries=0)
    await pipeline.engines[0].start()
    async with Garbled(pipeline.engines[0].url).serve() as proxy:
        pipeline.addresses[0] = proxy.url
        await pipeline.start()
        proxy.pipeline = pipeline
        yield proxy
        await pipeline.close()
