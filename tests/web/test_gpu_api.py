"""The cards over HTTP, and their gauges."""

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.fakes.nvml.simulated import uid
from tests.web.fakes import make_job
from zoetrope.domain.job import Attempt, Progress, Stage, State
from zoetrope.domain.usage import Usage
from zoetrope.gpu.card import Card, Sample
from zoetrope.gpu.faults import GpuError
from zoetrope.gpu.probation import Record, Trust
from zoetrope.gpu.tuner import Tuner
from zoetrope.gpu.watch import Watch
from zoetrope.gpu.wire import CardState, ProfileState

CARD = Card(uuid=uid(0), index=0, name="NVIDIA GeForce RTX 5090", bus="", driver="580.95.05")
READING = Sample(
    uuid=uid(0), taken=1.0, core_mhz=2100, power_watts=431.5, celsius=61, vram_used=5, vram_total=32,
    utilisation=97, energy_mj=3_600_000, reasons=("power limit",),
)  # fmt: skip


@pytest.fixture
def cards(parts):
    watch = Watch()
    watch.cards = (CARD,)
    watch.latest = {CARD.uuid: READING}
    parts.tuner = Tuner(parts.settings.gpu, parts.settings.engines, watch)
    record = Record(trust=Trust.UNPROVEN)
    profile = ProfileState(name="baseline", record=record)
    parts.tuner.states = {
        CARD.uuid: CardState(
            uuid=CARD.uuid, name="RTX 5090", in_force="baseline", profiles=(profile,)
        )
    }
    return parts.tuner


async def test_a_host_without_cards_has_an_empty_list(client):
    answer = await client.get("/api/v1/gpu")
    assert await answer.json() == {"cards": [], "problem": None}


async def test_every_card_with_its_reading_and_its_profile(client, cards):
    (card,) = (await (await client.get("/api/v1/gpu")).json())["cards"]
    assert card["card"]["name"] == "NVIDIA GeForce RTX 5090"
    assert card["reading"]["core_mhz"] == 2100
    assert card["state"]["in_force"] == "baseline"
    assert card["lost"] is None


async def test_a_card_that_is_not_there_is_not_found(client, cards):
    answer = await client.post("/api/v1/gpu/GPU-x/apply", json={"profile": "baseline"})
    assert answer.status == 404


async def test_a_wish_that_cannot_be_is_a_problem_document(client, cards):
    answer = await client.post(f"/api/v1/gpu/{uid(0)}/apply", json={"profil": 1})
    assert answer.status == 400
    # No helper runs here.
    answer = await client.post(f"/api/v1/gpu/{uid(0)}/reset")
    assert answer.status == 503
    assert "zoetrope-gpu.socket" in (await answer.json())["next_step"]


@pytest.mark.parametrize(("key", "status"), [("gpu-not-found", 404), ("gpu-barred", 409)])
async def test_what_the_helper_refuses_has_its_status(client, cards, key, status, monkeypatch):
    async def refuse(question):
        raise GpuError("No.", "Do this.", key=key)

    monkeypatch.setattr(cards, "order", refuse)
    answer = await client.post(f"/api/v1/gpu/{uid(0)}/apply", json={"profile": "baseline"})
    assert answer.status == status
    assert (await answer.json())["key"] == key


def measured(profile, seconds):
    usage = Usage(
        card=uid(0), name="RTX 5090", profiles=(profile,), seconds=seconds, energy_wh=seconds / 10
    )
    attempt = Attempt(number=1, prompt_id="x", engine="e0", state=Progress.DONE, gpu=usage)
    return Stage(name="i2v", state=Progress.DONE, attempts=(attempt,))


async def test_the_report_counts_finished_videos(client, parts):
    for number in range(3):
        job = make_job(State.DONE, stages=(measured("stock", 1000.0 + number),))
        await parts.ledger.add(job, claim=job.id)
    job = make_job(State.DONE, stages=(measured("baseline", 1100.0),))
    await parts.ledger.add(job, claim=job.id)
    job = make_job(State.DONE, stages=(Stage(name="i2v", state=Progress.DONE),))
    await parts.ledger.add(job, claim=job.id)
    rows = await (await client.get("/api/v1/gpu/report")).json()
    assert [(row["profile"], row["videos"]) for row in rows] == [("baseline", 1), ("stock", 3)]
    assert rows[0]["against_stock"] == "+10 % energy, +10 % time"
    one = await (await client.get("/api/v1/gpu/report", params={"last": "2"})).json()
    assert [(row["profile"], row["videos"]) for row in one] == [("baseline", 1)]


@pytest.mark.parametrize("last", ["0", "-1", "x", "10001", ""])
async def test_a_report_over_nonsense_is_refused(client, last):
    assert (await client.get("/api/v1/gpu/report", params={"last": last})).status == 400


async def test_gauges_are_in_base_units_and_read_by_a_real_parser(client, cards):
    answer = await client.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain")
    found = {
        sample.name: (sample.labels, sample.value)
        for family in text_string_to_metric_families(await answer.text())
        for sample in family.samples
        if sample.labels.get("reason", "power limit") == "power limit"
    }
    labels = {"uuid": uid(0), "card": "RTX 5090"}
    assert found["zoetrope_gpu_core_clock_hertz"] == (labels, 2.1e9)
    assert found["zoetrope_gpu_power_watts"] == (labels, 431.5)
    assert found["zoetrope_gpu_energy_joules_total"] == (labels, 3600.0)
    assert found["zoetrope_gpu_utilization_ratio"] == (labels, 0.97)
    assert found["zoetrope_gpu_limited"] == ({**labels, "reason": "power limit"}, 1.0)
    assert found["zoetrope_gpu_lost"] == (labels, 0.0)
    profile = {**labels, "profile": "baseline", "trust": "on probation"}
    assert found["zoetrope_gpu_profile_info"] == (profile, 1.0)
    assert found["zoetrope_gpu_profile_barred"] == ({**labels, "profile": "baseline"}, 0.0)
    # What the card does not tell is left out, not zero.
    assert "zoetrope_gpu_memory_clock_hertz" not in found


async def test_gauges_of_a_host_without_cards_are_empty(client):
    assert "zoetrope_gpu" not in await (await client.get("/metrics")).text()


def test_the_views_are_json_of_plain_structs():
    assert msgspec.json.decode(msgspec.json.encode(READING), type=Sample) == READING
