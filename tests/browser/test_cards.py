"""The strip of graphics cards: plots against the profile, and the switch."""

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.system("chromium")

GIB = 1024**3


def card(**changes) -> dict:
    state = {
        "in_force": "quiet",
        "role": "working",
        "working": "quiet",
        "idle": "",
        "held": None,
        "highest_mhz": 2400,
        "profiles": [
            {"name": "quiet", "steps": ["core clock at most 2400 MHz"], "record": {"trust": "trusted"}},
            {"name": "cold", "steps": ["power limit 250 W"], "record": {"trust": "untried"}},
        ],
    }  # fmt: skip
    reading = {
        "core_mhz": 2385, "power_watts": 301.5, "limit_watts": 320, "celsius": 64,
        "vram_used": 13 * GIB, "vram_total": 16 * GIB, "reasons": ["power limit"],
    }  # fmt: skip
    named = {"uuid": "GPU-1", "name": "NVIDIA GeForce RTX 5080"}
    return {"card": named, "reading": reading, "lost": None, "state": state} | changes


def test_without_a_card_there_is_no_strip(visit):
    page = visit()
    expect(page.get_by_role("region", name="Cards")).to_be_hidden()


def test_a_card_shows_its_clock_against_its_profile(visit):
    page = visit(cards=[card()])
    strip = page.get_by_role("region", name="Cards")
    for text in ("RTX 5080", "2385 of 2400 MHz", "302 of 320 W", "64 °C", "13.0 of 16 GB"):
        expect(strip).to_contain_text(text)
    expect(strip).to_contain_text("Profile quiet, while it works, trusted.")
    expect(strip).to_contain_text("Held back by: power limit.")
    expect(strip.get_by_role("img", name="Clock over the last minutes: 2385 to 2385 MHz")).to_be_visible()  # fmt: skip


def test_the_switch_orders_a_profile(visit):
    page = visit(cards=[card()])
    page.route("**/api/v1/gpu/GPU-1/*", lambda route: route.fulfill(json={}))
    for wanted, address, body in [
        ("cold, untried, power limit 250 W", "apply", {"profile": "cold"}),
        ("stock", "reset", None),
        ("as the settings say", "apply", {"profile": None}),
    ]:
        page.get_by_label("Profile of NVIDIA GeForce RTX 5080").select_option(wanted)
        with page.expect_request("**/api/v1/gpu/GPU-1/*") as order:
            page.get_by_role("button", name="Apply the profile").click()
        assert order.value.url.endswith(address)
        assert order.value.post_data_json == body


def test_a_lost_card_says_so(visit):
    reason = {
        "key": "gpu-lost",
        "sentence": "It fell off the bus.",
        "next_step": "Restart the host.",
    }
    page = visit(cards=[card(reading=None, lost=reason, state=None)])
    strip = page.get_by_role("region", name="Cards")
    expect(strip).to_contain_text("It fell off the bus. Restart the host.")
    expect(strip.get_by_role("combobox")).to_be_hidden()
