"""Service, helper, simulated engine and simulated cards, each as it really runs."""

import json
import shutil

import pytest
from PIL import Image

from tests.fakes.nvml.simulated import uid
from tests.fakes.running import videos
from tests.fakes.service import RECIPES, EngineProcess, ServiceProcess
from zoetrope.gpu import wire
from zoetrope.gpu.probation import Trust

pytestmark = pytest.mark.system("gcc")

STOCK = (0, 0, 575)
BASELINE = (2700, 300, 450)
CARD = uid(0)


@pytest.fixture
def pipeline(tmp_path, helper):
    """Start all of it over simulated cards."""
    made = []

    def start(*engine_options, idle=0.5, **options):
        found = helper(**options)
        engine = EngineProcess(tmp_path / "engine", *engine_options)
        service = ServiceProcess(tmp_path / "service", engine.url)
        tuning = found.config.read_text().replace(
            "[gpu]", f"[gpu]\nhelper_socket = '{found.socket}'\nidle_seconds = {idle}"
        )
        service.config.write_text(service.config.read_text() + tuning)
        engine.start()
        service.start(**found.simulated.environ)
        made.extend((service, engine))
        found.until(lambda: service.get("/api/v1/gpu")["cards"])
        return service, found

    yield start
    for each in made:
        each.stop()


def drop(service, name="cat.png", colour=0):
    picture = Image.linear_gradient("L").resize((96, 64)).point(lambda v: (v + colour) % 256)
    picture.convert("RGB").save(service.inbox / name)


def test_a_picture_is_made_at_the_working_profile_and_its_receipt_says_what_that_took(pipeline):
    # Longer idle than the look at a finished stage takes, or the next one would begin at rest.
    service, found = pipeline("--step-seconds", "0.2", idle=8)
    drop(service)
    found.until(lambda: found.simulated.tuning() == BASELINE)
    found.simulated.set(load=1.0, vram_used=11e9)
    videos(service)
    found.simulated.set(load=0.0)
    receipt = json.loads((service.done()[0] / "receipt.json").read_text())
    for stage in receipt["stages"]:
        used = stage["attempts"][-1]["gpu"]
        assert used["card"] == CARD
        assert used["energy_wh"] > 0
        assert used["seconds"] > 0
        assert {"mean_watts", "mean_core_mhz", "mean_celsius"} <= used.keys()
    assert receipt["stages"][-1]["attempts"][-1]["gpu"]["profiles"] == ["baseline"]
    assert receipt["stages"][-1]["attempts"][-1]["gpu"]["peak_vram"] == 11_000_000_000
    # The queue is empty for a while: the card rests.
    found.until(lambda: found.simulated.tuning() == (1200, 0, 575))
    (row, *_) = service.get("/api/v1/gpu/report")
    assert row["videos"] == 1
    assert row["watt_hours"] > 0


def test_a_service_that_is_killed_leaves_the_card_at_stock(pipeline):
    service, found = pipeline("--step-seconds", "0.5")
    drop(service)
    found.until(lambda: found.simulated.tuning() == BASELINE)
    service.kill()
    found.until(lambda: found.simulated.tuning() == STOCK)
    service.start(**found.simulated.environ)
    videos(service)


def test_an_xid_in_mid_stage_ends_at_stock_and_the_video_is_made_all_the_same(pipeline):
    service, found = pipeline("--step-seconds", "0.3")
    drop(service)
    found.until(lambda: found.simulated.tuning() == BASELINE)
    found.simulated.xid(31)
    found.until(lambda: found.simulated.tuning() == STOCK)
    videos(service)
    assert found.simulated.tuning() in (STOCK, (1200, 0, 575))

    def told():
        checks = {check["name"]: check for check in service.get("/readyz")["checks"]}
        return checks["profile"] if checks["profile"]["level"] == "degraded" else None

    verdict = found.until(told, patience=30)
    assert "Profile baseline is disabled. Xid 31" in verdict["found"]
    assert "zoetrope gpu apply baseline" in verdict["next_step"]


def strict(service):
    """Have the tiny recipe's first video looked at as closely as a shipped one's."""
    own = service.state / "recipes" / "strict"
    shutil.copytree(RECIPES / "tiny", own)
    file = own / "recipe.toml"
    file.write_text(
        file.read_text().replace("{ quality = false }", "{ quality = true, motion = false }")
    )
    return "strict"


def test_a_video_that_comes_out_black_bars_the_profile(pipeline):
    service, found = pipeline("--fault", "black:times=1", "--step-seconds", "0.2", idle=60)
    (service.inbox / strict(service)).mkdir()
    drop(service, "strict/cat.png")

    def barred():
        (card,) = found.ask(wire.StatusRequest()).cards
        return card.profile("baseline").record.trust is Trust.DISABLED

    found.until(barred)
    assert found.simulated.tuning() == STOCK
    videos(service)
    # The second attempt ran at stock, and its video is sound.
    receipt = json.loads((service.done()[0] / "receipt.json").read_text())
    first, second = receipt["stages"][0]["attempts"]
    assert first["failure"]["message"].startswith("It is black")
    assert (first["gpu"]["profiles"], second["gpu"]["profiles"]) == (["baseline"], ["stock"])
