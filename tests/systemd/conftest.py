"""Hosts that boot in containers."""

import os

import pytest

from tests.nix.render import ROOT
from tests.systemd.machine import Machine

HOST = f"""
  enable = true;
  inbox.group = "users";
  recipes = [ "tiny" ];
  models.recipes = [ ];
  extraRecipes.tiny = {ROOT}/tests/recipes/tiny;
  settings.inbox.settle_seconds = 0.3;
  settings.inbox.ticket_grace_seconds = 0.3;
  settings.jobs.review = false;
"""


@pytest.fixture
def boot(tmp_path):
    """Boot a host; what goes wrong from here on, as root, is a failure and no reason to skip."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to boot a system in a container")
    machines = []

    def start(settings="", *, device='gpus."0".cpu = true;', page=True, binds=None, **more_units):
        folder = tmp_path / str(len(machines))
        folder.mkdir(exist_ok=True)
        machine = Machine(folder, HOST + device + settings, binds=binds, **more_units)
        machines.append(machine)
        machine.boot()
        if page:
            machine.until(lambda: machine.get("/healthz")[0] == 200, "the page")
            # The page is there a moment before systemd hears that the service is.
            machine.until(
                lambda: machine.show("zoetrope.service", "ActiveState") == "active", "the unit"
            )
        return machine

    yield start
    for machine in machines:
        machine.cut()
