"""A full house: many clips of every shape wait for a review, and some jobs failed."""

import functools
import io
import time

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.browser.conftest import PATIENCE, make_job, serving
from zoetrope.demo.picture import draw

pytestmark = pytest.mark.system("chromium-headless-shell", "gcc")

MANY = 17
SHAPES = [(208, 120), (120, 208), (300, 100), (100, 300), (160, 160)]
WINDOWS = [(390, 844), (1280, 900), (1920, 1080)]
ONE_WORD = "a-name-without-any-place-to-break-" * 3
SENTENCE = "a rather long name of a picture that somebody took in the summer"
WORDS = "Beat 1 (0-2s): the drum turns slowly, and the light comes through its slits. " * 2


drawn = functools.cache(draw)


def shaped(number: int) -> bytes:
    file = io.BytesIO()
    drawn().resize(SHAPES[number % len(SHAPES)]).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def service(engine, tmp_path_factory):
    """A service with as many reviews as a night makes, and two jobs that failed."""
    with serving(tmp_path_factory.mktemp("service"), engine) as service:
        for number in range(MANY):
            stem = f"{(ONE_WORD, SENTENCE)[number % 2]} {number}"
            (service.inbox / f"{stem}.toml").write_text(f'seed = {number}\nprompt = "{WORDS}"\n')
            (service.inbox / f"{stem}.png").write_bytes(shaped(number))
        deadline = time.monotonic() + 3 * PATIENCE
        while len(service.get("/api/v1/jobs?state=review&limit=200")["jobs"]) < MANY:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        yield service


@pytest.fixture(scope="module")
def failed(service, engine):
    engine.fail(kind="oom", node="KSamplerAdvanced", times=0)
    try:
        for number, stem in enumerate(["heavy", "heavier"]):
            make_job(service, shaped(number), stem, "failed", steps=5)
    finally:
        engine.mended()


@pytest.mark.parametrize(("width", "height"), WINDOWS)
def test_each_clip_is_on_the_screen_together_with_its_buttons(visit, width, height):
    page = visit(viewport={"width": width, "height": height})
    choices = page.locator("#review-strip button")
    expect(choices).to_have_count(MANY)
    stage = page.locator("#review-stage")
    for number in range(len(SHAPES)):
        choices.nth(number).click()
        clip = stage.locator("video")
        expect(clip).to_have_js_property("readyState", 4)
        stage.locator(".acts").evaluate("(each) => each.scrollIntoView({ block: 'end' })")
        for each in (clip, *stage.locator("button, input").all()):
            found = each.bounding_box()
            assert found["x"] >= 0
            assert found["y"] > -1
            assert found["x"] + found["width"] <= width
            # Pages are scrolled by whole pixels, and boxes have parts of them.
            assert found["y"] + found["height"] < height + 1
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_without_failed_jobs_the_head_names_the_checks_alone(visit):
    page = visit()
    expect(page.get_by_role("link", name="Checks passed")).to_be_visible()
    expect(page.locator("#failed-link")).to_be_hidden()


@pytest.mark.parametrize(("width", "height"), WINDOWS)
def test_failed_jobs_are_counted_in_the_head_and_the_link_leads_to_them(
    visit, failed, width, height
):
    page = visit(viewport={"width": width, "height": height})
    expect(page.get_by_role("link", name="Checks passed")).to_be_visible()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert Axe().run(page, "header").violations_count == 0
    page.get_by_role("link", name="2 failed").click()
    heavy = page.locator("#ended-rows li", has_text="heavy").first
    expect(heavy).to_be_in_viewport()
    # Every seed runs out of memory there; another size may not.
    expect(heavy.get_by_role("button", name="again with another seed")).to_have_count(0)
    expect(heavy.get_by_role("button", name="Change the prompt")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_failed_job_is_found_however_much_ended_since(visit, service, failed):
    for number in range(30):  # more than the page asks for at once
        stem = f"typo {number}"
        (service.inbox / f"{stem}.toml").write_text(f"promt = 'x'\nseed = {number}")
        (service.inbox / f"{stem}.png").write_bytes(shaped(number))
    deadline = time.monotonic() + PATIENCE
    while len(service.get("/api/v1/jobs?state=rejected&limit=200")["jobs"]) < 30:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    page = visit()
    expect(page.locator("#ended-rows li", has_text="heavy")).to_have_count(0)
    page.get_by_role("link", name="2 failed").click()
    expect(page.locator("#ended-rows li", has_text="heavier")).to_be_in_viewport()


def test_a_job_that_is_tried_again_is_no_longer_counted(visit, service, failed):
    page = visit()
    for number in (2, 1):
        page.get_by_role("link", name=f"{number} failed").click()
        row = page.locator("#ended-rows li[data-state=failed]").first
        row.get_by_role("button", name="Try again").click()
        expect(page.get_by_role("link", name=f"{number} failed")).to_have_count(0)
    expect(page.get_by_role("link", name="Checks passed")).to_be_visible()
