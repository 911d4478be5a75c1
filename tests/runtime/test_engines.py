"""What engines.sh asks of systemd, at boot and after a switch."""

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "nix/module/engines.sh"

# States are files by the units' names; every order is written down, in its order.
SYSTEMCTL = """#!/bin/sh
echo "$*" >> "$FAKE/orders"
case "$*" in
"is-active "*)
  state=$(cat "$FAKE/units/$2" 2>/dev/null || echo inactive)
  echo "$state"
  case $state in active | reloading) ;; *) exit 3 ;; esac ;;
"list-units --full --plain --no-legend zoetrope-comfyui@*.service")
  for each in "$FAKE"/units/*; do
    [ ! -e "$each" ] || [ "$(cat "$each")" = inactive ] || echo "${each##*/} loaded active running ComfyUI"
  done ;;
"--no-block restart "*) echo activating > "$FAKE/units/$3" ;;
"--no-block stop "*) rm "$FAKE/units/$3" ;;
"reset-failed "*) [ "$(cat "$FAKE/units/$2" 2>/dev/null)" = failed ] || { echo "not failed" >&2; exit 1; } ;;
*) echo "an order that this systemd does not know: $*" >&2; exit 1 ;;
esac
"""
PRE_START = """#!/bin/sh
[ "$*" = --driver ] || exit 2
[ ! -e "$FAKE/reboot" ] || { cat "$FAKE/reboot"; exit 3; }
"""
A, B = "zoetrope-comfyui@0.service", "zoetrope-comfyui@two.x.service"


class Switch:
    """A host whose systemd writes down what it is asked."""

    def __init__(self, folder: Path) -> None:
        self.fake, self.run = folder / "fake", folder / "run"
        self.units = self.fake / "units"
        self.units.mkdir(parents=True)
        self.run.mkdir()
        for name, text in (("systemctl", SYSTEMCTL), ("pre-start", PRE_START)):
            (self.fake / name).write_text(text)
            (self.fake / name).chmod(0o755)

    def to(self, **wanted: str) -> list[str]:
        """Switch to these configurations of engines, and give what was asked of systemd but questions."""
        orders = self.fake / "orders"
        orders.write_text("")
        names = [f"{name.replace('_', '.')}={text}" for name, text in wanted.items()]
        env = {
            "PATH": f"{self.fake}:{os.environ['PATH']}",
            "FAKE": str(self.fake),
            "RUNTIME_DIRECTORY": str(self.run),
            "ZOETROPE_PRE_START": str(self.fake / "pre-start"),
        }
        done = subprocess.run(
            ["bash", SCRIPT, *names], env=env, capture_output=True, text=True, timeout=60
        )
        assert (done.returncode, done.stderr) == (0, "")
        asked = orders.read_text().splitlines()
        return sorted(each for each in asked if each.startswith("--no-block"))


@pytest.fixture
def switch(tmp_path):
    return Switch(tmp_path)


def test_at_boot_every_engine_is_started_and_none_is_waited_for(switch):
    assert switch.to(**{"0": "a", "two_x": "b"}) == [
        f"--no-block restart {A}",
        f"--no-block restart {B}",
    ]


def test_a_switch_restarts_only_what_changed(switch):
    switch.to(**{"0": "a", "two_x": "b"})
    (switch.units / A).write_text("active")
    assert switch.to(**{"0": "a", "two_x": "b"}) == []
    assert switch.to(**{"0": "a", "two_x": "c"}) == [f"--no-block restart {B}"]


@pytest.mark.parametrize("state", ["failed", "inactive", "deactivating"])
def test_one_that_is_not_there_is_started_also_where_nothing_changed(switch, state):
    switch.to(**{"0": "a"})
    (switch.units / A).write_text(state)
    assert switch.to(**{"0": "a"}) == [f"--no-block restart {A}"]
    assert (f"reset-failed {A}" in (switch.fake / "orders").read_text()) is True


def test_an_engine_of_a_gpu_that_is_gone_from_the_configuration_is_ended(switch):
    switch.to(**{"0": "a", "two_x": "b"})
    (switch.run / "two.x.json").write_text("{}")
    assert switch.to(**{"0": "a"}) == [f"--no-block stop {B}"]
    assert not (switch.run / B).exists()
    assert not (switch.run / "two.x.json").exists()
    assert switch.to(**{"0": "a", "two_x": "b"}) == [f"--no-block restart {B}"]


def test_while_a_reboot_is_needed_nothing_is_restarted_and_it_is_said(switch):
    switch.to(**{"0": "a"})
    (switch.units / A).write_text("active")
    (switch.fake / "reboot").write_text('Reboot needed: 575 and "580".')
    assert switch.to(**{"0": "other", "two_x": "b"}) == []
    for name in ("0", "two.x"):
        assert (switch.run / f"{name}.json").read_text() == (
            '{"sentence": "Reboot needed: 575 and 580. ComfyUI is not restarted until then.",'
            ' "next_step": "Reboot the host when it suits; what runs goes on until then."}\n'
        )
    # The driver of before is back, as after a roll-back: what waited takes place.
    (switch.fake / "reboot").unlink()
    assert switch.to(**{"0": "other"}) == [f"--no-block restart {A}"]
    assert not (switch.run / "0.json").exists()
