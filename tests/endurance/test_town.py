"""A town's own rules: it is looked at when nothing happens in it any more."""

import random
import threading

import pytest

from tests.endurance.town import Town


@pytest.fixture
def town(tmp_path):
    """A town before anything has been done in it."""
    town = Town(tmp_path, random.Random(7))
    yield town
    town.close()


def test_a_town_is_looked_at_when_no_thread_changes_its_folders(town):
    go_on = threading.Event()
    work = town.loop.run_in_executor(None, go_on.wait)
    town.loop.call_later(0.2, go_on.set)
    town.jobs()
    assert work.done()
