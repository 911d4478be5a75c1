import pytest

from tests.web.fakes import make_parts


@pytest.fixture
async def parts(tmp_path):
    parts = await make_parts(tmp_path)
    ledger = parts.ledger
    yield parts
    await ledger.close()
