"""Everybody can use the page: by keyboard, by ear, on a phone, by day and by night."""

import os
import re
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.browser.conftest import PHONE, choose, look_at, make_job, until, without_events
from zoetrope.web import page as page_files

pytestmark = pytest.mark.system("chromium-headless-shell", "gcc")

LONG = "a-name-without-any-place-to-break-" * 4
MOST_BYTES = 150_000
LEAST_SHIFT = 0.05  # a tenth is what people notice


@pytest.fixture(scope="module")
def service(tuned):
    """A service with all that there can be on the page, a card as well."""
    return tuned


@pytest.fixture(scope="module")
def crowded(service, engine, finished, picture):
    """A service with a job in every state that stays."""
    make_job(service, picture, f"{LONG}seen", "review", prompt=LONG)
    make_job(service, picture, "other", "review", steps=5)
    make_job(service, picture, f"{LONG}done", "done", review=False, steps=9)
    make_job(service, picture, f"{LONG}wrong", "rejected", promt=LONG)


def tab_to(page, script: str, most: int = 60) -> None:
    """Press Tab until the focus is where it shall be."""
    for _ in range(most):
        page.keyboard.press("Tab")
        if page.evaluate(f"document.activeElement.matches({script!r})"):
            return
    raise AssertionError(f"{script} is not reached within {most} times Tab")


def test_a_video_is_made_and_approved_by_keyboard_alone(visit, picture, tmp_path):
    file = tmp_path / "keys.png"
    file.write_bytes(picture)
    page = visit()
    # Listened to long before: a key that comes right after the order to listen may be earlier than it.
    page.on("filechooser", lambda chooser: chooser.set_files(file))
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the jobs")).to_be_focused()
    tab_to(page, "#files")
    # The key that opens it in every browser; Enter does so in some.
    page.keyboard.press("Space")
    # The picture is in: the button that makes the video has the focus.
    expect(page.get_by_role("button", name="Make the video")).to_be_focused()
    page.keyboard.press("Shift+Tab")
    for _ in range(8):
        if page.evaluate("document.activeElement.id === 'new-prompt'"):
            break
        page.keyboard.press("Shift+Tab")
    page.keyboard.type("She waves.")
    page.keyboard.press("Control+Enter")
    page.locator("#review-strip li", has_text="keys.png").wait_for(state="attached")
    look_at(page, "keys.png")
    tab_to(page, "#review-stage .main")
    page.keyboard.press("Enter")
    # What was decided goes; the focus stays in the same region.
    expect(page.get_by_role("status")).to_have_text(re.compile("keys.png"))
    expect(page.locator("#gallery-rows li", has_text="keys")).to_be_visible()
    assert page.evaluate("document.activeElement !== document.body")
    tab_to(page, "[aria-label='Play keys.png']")
    page.keyboard.press("Enter")
    until(page, "document.querySelector('video[aria-label*=\"keys.png\"]').currentTime > 0")


@pytest.mark.parametrize("size", [{}, PHONE], ids=["desk", "phone"])
def test_nothing_stands_in_the_way_of_anybody(visit, crowded, size):
    """What axe-core finds by day and by night: landmarks, names, labels, contrast, order, and the like."""
    page = visit(reduced_motion="reduce", **size)
    page.locator("#gallery-rows details").first.evaluate("(details) => { details.open = true; }")
    expect(page.locator("#gallery-rows dl").first).to_be_visible()
    expect(page.get_by_role("region", name="GPUs").get_by_role("combobox")).to_be_visible()
    for details in page.locator("#drop details, #health-good").all():
        details.evaluate("(details) => { details.open = true; }")
    assert_accessible(page)
    page.emulate_media(color_scheme="dark")
    assert_accessible(page)
    page.get_by_role("button", name=re.compile("^Change the prompt")).first.click()
    expect(page.get_by_role("dialog")).to_be_visible()
    assert_accessible(page)
    page.emulate_media(color_scheme="light")
    assert_accessible(page)


def assert_accessible(page) -> None:
    results = Axe().run(page)
    assert results.violations_count == 0, results.generate_report()


def test_by_night_the_page_is_dark(visit):
    page = visit(color_scheme="light")
    ground = "getComputedStyle(document.body).backgroundColor"
    assert brightness(page.evaluate(ground)) > 200
    page.emulate_media(color_scheme="dark")
    assert brightness(page.evaluate(ground)) < 50


def brightness(colour: str) -> float:
    """Give the mean of `rgb(r, g, b)`."""
    return sum(map(int, re.findall(r"\d+", colour)[:3])) / 3


def test_nothing_is_wider_than_a_phone(visit, crowded, picture):
    page = visit(**PHONE)
    choose(page, f"{LONG}.png", picture)
    expect(page.get_by_role("list", name="Chosen pictures").get_by_role("listitem")).to_be_visible()
    expect(page.get_by_role("region", name="GPUs")).to_be_visible()
    for width in (320, 360, 768, 1024):
        page.set_viewport_size({"width": width, "height": 740})
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_what_is_pressed_on_a_phone_is_large_enough_for_a_finger(visit, crowded):
    page = visit(**PHONE)
    small = page.evaluate(
        """() => [...document.querySelectorAll("main button, form button, select")]
            .filter((each) => each.checkVisibility() && each.getBoundingClientRect().height < 32)
            .map((each) => each.textContent)"""
    )
    assert small == []


def test_who_wants_no_motion_gets_none(visit, crowded):
    page = visit(reduced_motion="reduce")
    clip = page.locator("#review-stage video")
    expect(clip).to_have_js_property("readyState", 4)
    expect(clip).to_have_js_property("paused", True)
    assert page.evaluate("document.getAnimations().length") == 0
    page.locator("#review-stage").get_by_role("button", name="Play").click()
    until(page, "document.querySelector('#review-stage video').currentTime > 0")


def test_nothing_jumps_while_the_page_fills(visit, crowded):
    page = visit()
    page.locator("#review-stage video").wait_for()
    shift = page.evaluate(
        """() => new Promise((resolve) => {
            let sum = 0;
            new PerformanceObserver((list) => {
                for (const entry of list.getEntries()) sum += entry.value;
            }).observe({ type: "layout-shift", buffered: true });
            requestAnimationFrame(() => setTimeout(() => resolve(sum), 300));
        })"""
    )
    assert shift <= LEAST_SHIFT


def test_the_page_is_small_and_the_second_time_nothing_of_it_is_sent(visit):
    files = Path(page_files.__file__).parent
    page = visit()
    first = transferred(page)
    assert {path.name for path in files.glob("*.js")} <= first.keys()
    assert sum(first.values()) < MOST_BYTES
    page.reload()
    page.locator("body[data-ready]").wait_for()
    # What was asked for and had not changed counts as 300 bytes of headers.
    assert max(transferred(page).values()) <= 300


def transferred(page) -> dict[str, int]:
    """Say how many bytes each file of the page took, headers and all."""
    return page.evaluate(
        """() => Object.fromEntries(
            [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
                .filter(({ name }) => !name.includes("/api/") && !name.endsWith("/readyz"))
                .map(({ name, transferSize }) => [name.split("/").pop(), transferSize]))"""
    )


@pytest.mark.parametrize("width", [1280, 390])
def test_a_check_that_names_a_long_path_stays_in_its_column(visit, service, width):
    long = f"/mnt/{'a' * 20}/.{'ec7446f3' * 8}.part cannot be written."
    page = visit()
    page.set_viewport_size({"width": width, "height": 900})

    def failing(route):
        answer = route.fetch()
        body = answer.json()
        for check in body["checks"]:
            check.update(level="failing", found=long, next_step=long)
        route.fulfill(status=200, json=body)

    page.route("**/readyz*", failing)
    without_events(page)
    page.reload()
    rows = page.locator("#health-rows li")
    expect(rows.first).to_contain_text("cannot be written")
    if shots := os.environ.get("ZOETROPE_SCREENSHOTS"):
        page.locator("#health").screenshot(path=f"{shots}-{width}-checks.png")
        page.screenshot(path=f"{shots}-{width}.png")
    wide = "list => list.filter(each => each.scrollWidth > each.clientWidth).length"
    assert page.locator("#health, #health-rows li, #health-rows p").evaluate_all(wide) == 0
