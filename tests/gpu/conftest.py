"""Hosts with simulated cards, in this process and in processes of their own."""

import pytest

from tests.fakes.helper import PROFILES, HelperProcess
from tests.fakes.nvml.simulated import Simulated


@pytest.fixture
def host(tmp_path):
    """Make hosts with simulated cards."""
    made = []

    def make(*cards, **options):
        made.append(Simulated(tmp_path / f"host-{len(made)}", *(cards or ("RTX 5090",)), **options))
        return made[-1]

    return make


@pytest.fixture
def here(host):
    """Make a host whose cards this process sees through the real bindings."""
    import contextlib

    with contextlib.ExitStack() as stack:

        def make(*cards, **options):
            simulated = host(*cards, **options)
            stack.enter_context(simulated.here())
            return simulated

        yield make


@pytest.fixture
def helper(tmp_path, host):
    """Make a helper over one simulated host."""
    made = []

    def make(*cards, settings=PROFILES, start=True, **options):
        found = HelperProcess(tmp_path, host(*cards, **options), settings)
        made.append(found)
        return found.start() if start else found

    yield make
    for each in made:
        for line in each.lines:
            line.close()
        if each.process is not None and each.process.poll() is None:
            each.kill()
