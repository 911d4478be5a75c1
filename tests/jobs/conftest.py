"""What the jobs' tests share."""

import pytest

from tests.fakes.street import Street


@pytest.fixture
async def street(tmp_path):
    street = Street(tmp_path)
    await street.start()
    yield street
    await street.close()
