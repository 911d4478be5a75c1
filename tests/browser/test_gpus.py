"""The list of GPUs: plots next to the profile's limits, and the choice of profile."""

import re

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.system("chromium-headless-shell", "gcc")

STOCK = (0, 0, 575)
BOLD = (2895, 600, 575)  # the card goes in steps of 15 MHz
QUIET = (1200, 0, 575)
NAME = "NVIDIA GeForce RTX 5090"


def strip(page):
    return page.get_by_role("region", name="GPUs")


def test_without_a_gpu_there_is_no_list(visit):
    page = visit()
    expect(strip(page)).to_be_hidden()


def test_a_gpu_shows_its_clock_against_its_profile(visit, tuned, helper):
    helper.simulated.set(vram_used=13 * 1024**3, temperature=64)
    helper.until(lambda: helper.simulated.tuning() == QUIET)
    page = visit(at=tuned)
    for text in ("RTX 5090", "of 1200 MHz", "of 575 W", "64 °C", "13.0 of 32 GB"):
        expect(strip(page)).to_contain_text(text)
    expect(strip(page)).to_contain_text("Profile quiet, while idle")
    clock = strip(page).get_by_role(
        "img", name=re.compile(r"^Clock over the last minutes: .* MHz$")
    )
    expect(clock).to_be_visible()


def test_the_switch_orders_a_profile(visit, tuned, helper):
    page = visit(at=tuned)
    choice = page.get_by_label(f"Profile of {NAME}")
    for wanted, tuning, words in [
        ("bold", BOLD, "Profile bold, set by a user"),
        ("stock", STOCK, "Stock clocks."),
        ("from the settings", QUIET, "Profile quiet, while idle"),
    ]:
        choice.select_option(wanted)
        page.get_by_role("button", name="Apply the profile").click()
        helper.until(lambda tuning=tuning: helper.simulated.tuning() == tuning)
        expect(strip(page)).to_contain_text(words)


def test_a_lost_gpu_says_so(visit, tuned, helper):
    page = visit(at=tuned)
    expect(strip(page).get_by_role("combobox")).to_be_visible()
    helper.simulated.set(lost=1)
    try:
        expect(strip(page).locator(".why").last).to_contain_text("fallen off the bus")
    finally:
        helper.simulated.set(lost=0)
