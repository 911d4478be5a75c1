"""What the endurance run's own tests share."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def log_level() -> Iterator[None]:
    """The fuzzing silences the log of its process; here other tests come after it, and some read the log."""
    logger = logging.getLogger("zoetrope")
    before = logger.level
    yield
    logger.setLevel(before)
