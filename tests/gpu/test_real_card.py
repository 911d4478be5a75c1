"""A real card's readings beside nvidia-smi's, without a change of any setting."""

import csv
import subprocess

import pytest

from zoetrope.gpu.device import Nvml

pytestmark = pytest.mark.gpu

# What stands still, and what may move a little between two looks.
FIXED = {
    "uuid": lambda card, _: card.uuid,
    "name": lambda card, _: card.name,
    "driver_version": lambda card, _: card.driver,
    "pci.bus_id": lambda card, _: card.bus,
    "index": lambda card, _: str(card.index),
    "persistence_mode": lambda card, _: "Enabled" if card.persistence else "Disabled",
}
NUMBERS = {
    "power.min_limit": (lambda card, _: card.power.low if card.power else None, 1),
    "power.max_limit": (lambda card, _: card.power.high if card.power else None, 1),
    "power.default_limit": (lambda card, _: card.power_default, 1),
    "power.limit": (lambda _, reading: reading.limit_watts, 1),
    "clocks.max.graphics": (lambda card, _: card.core.high if card.core else None, 0),
    "memory.total": (lambda _, reading: reading.vram_total / 2**20, 2),
    "memory.used": (lambda _, reading: reading.vram_used / 2**20, 1024),
    "temperature.gpu": (lambda _, reading: reading.celsius, 3),
    "clocks.current.graphics": (lambda _, reading: reading.core_mhz, 300),
    "clocks.current.memory": (lambda _, reading: reading.memory_mhz, 300),
    "power.draw": (lambda _, reading: reading.power_watts, 60),
}


@pytest.fixture(scope="module")
def rows():
    names = ",".join([*FIXED, *NUMBERS])
    words = ["nvidia-smi", f"--query-gpu={names}", "--format=csv,nounits"]
    table = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    head, *lines = csv.reader(table.splitlines(), skipinitialspace=True)
    assert len(head) == len(FIXED) + len(NUMBERS)
    return [dict(zip([*FIXED, *NUMBERS], line, strict=True)) for line in lines]


@pytest.fixture(scope="module")
def cards():
    nvml = Nvml()
    yield {card.uuid: (card, nvml.read(card.uuid)) for card in nvml.cards()}
    nvml.close()


def test_every_card_is_seen(rows, cards):
    assert {row["uuid"] for row in rows} == set(cards)


@pytest.mark.parametrize("name", FIXED)
def test_what_a_card_is(rows, cards, name):
    for row in rows:
        assert FIXED[name](*cards[row["uuid"]]) == row[name]


@pytest.mark.parametrize("name", NUMBERS)
def test_how_a_card_is(rows, cards, name):
    read, tolerance = NUMBERS[name]
    for row in rows:
        found = read(*cards[row["uuid"]])
        if row[name].startswith("["):  # "[N/A]"
            assert found is None
        else:
            assert found == pytest.approx(float(row[name]), abs=tolerance + 0.5)


def test_faults_can_be_listened_for(cards):
    nvml = Nvml()
    xids = nvml.xid_listener()
    assert xids.wait(10) is None
    xids.close()
    nvml.close()
