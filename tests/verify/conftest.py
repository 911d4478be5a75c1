"""What the tests of verification share."""

import re

import pytest
from PIL import Image

from tests.verify.clips import EXPECTED, WIDTH
from zoetrope.verify.check import check


@pytest.fixture
def image(tmp_path):
    def save(picture):
        Image.fromarray(picture[:, :WIDTH]).save(tmp_path / "still.png")
        return tmp_path / "still.png"

    return save


@pytest.fixture
def keys():
    """Check a file and name its doubts; each has to tell its figure."""

    async def ask(file, expected=EXPECTED, **more):
        verdict = await check(file, expected, **more)
        for finding in verdict.findings:
            assert re.search(r"\d", finding.sentence) or finding.key == "unreadable", finding
        return [finding.key for finding in verdict.findings]

    return ask
