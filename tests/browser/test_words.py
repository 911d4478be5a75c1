"""What people and engines write is shown as text, and what went wrong with its reason and next step."""

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import choose, drop, look_at, make_job, without_events

pytestmark = pytest.mark.system("chromium-headless-shell")

EVIL = '<img src=x onerror="window.struck=1">'


def test_markup_in_names_and_prompts_is_shown_as_text_everywhere(visit, service, picture):
    job = make_job(service, picture, "bait", "done", prompt=EVIL, name=EVIL, review=False)
    page = visit()
    choose(page, f"{EVIL}.png", picture)
    expect(page.get_by_role("list", name="Chosen pictures")).to_contain_text(EVIL)
    page.get_by_label("Prompt").first.fill(EVIL)
    page.get_by_role("button", name="Make the video").click()
    review = page.get_by_role("region", name="Review")
    expect(review.get_by_role("heading", name=f"{EVIL}.png")).to_be_visible()
    expect(review.locator(".prompt")).to_have_text(EVIL)
    review.get_by_role("button", name="Change the prompt").click()
    expect(page.get_by_role("dialog").get_by_label("Prompt", exact=True)).to_have_value(EVIL)
    page.keyboard.press("Escape")
    review.get_by_label("Reason for declining").fill(EVIL)
    review.get_by_role("button", name="Decline").click()
    expect(page.get_by_role("region", name="Failed, rejected or cancelled")).to_contain_text(EVIL)
    card = page.locator(f"#gallery-rows [data-job='{job['id']}']")
    card.get_by_text("Receipt").click()
    expect(card.locator("dl")).to_contain_text(EVIL)
    assert page.locator("img[src=x]").count() == 0
    assert page.evaluate("window.struck") is None


def test_a_refused_ticket_is_told_with_what_to_do(visit, service, picture):
    make_job(service, picture, "wish", "rejected", promt="a typing error")
    page = visit()
    row = page.get_by_role("region", name="Failed, rejected or cancelled").locator(
        "li", has_text="wish"
    )
    expect(row).to_contain_text("rejected")
    expect(row).to_contain_text("did you mean `prompt`?")
    expect(row).to_contain_text("What to do: Fix the ticket")
    expect(row.get_by_role("button")).to_have_count(0)


def test_a_failed_job_says_why_and_can_be_tried_again(visit, service, engine, picture):
    engine.fail(kind="oom", node="KSamplerAdvanced", times=0)
    try:
        make_job(service, picture, "heavy", "failed", steps=5)
    finally:
        engine.mended()
    page = visit()
    row = page.get_by_role("region", name="Failed, rejected or cancelled").locator(
        "li", has_text="heavy"
    )
    expect(row).to_contain_text("failed")
    expect(row).to_contain_text("What to do:")
    row.get_by_role("button", name="Try again heavy.png").click()
    expect(page.get_by_role("status")).to_contain_text("heavy.png")
    look_at(page, "heavy.png")


@pytest.mark.parametrize("way", [choose, drop])
def test_an_upload_that_is_refused_stays_with_its_reason(visit, way):
    page = visit(expected=("status of 422",))
    way(page, "letter.png", b"Dear Sir,")
    page.get_by_role("button", name="Make the video").click()
    upload = page.get_by_role("list", name="Uploads").get_by_role("listitem")
    expect(upload.get_by_role("alert")).to_contain_text("not a picture")
    upload.get_by_role("button", name="Discard letter.png").click()
    expect(upload).to_have_count(0)


def test_the_same_wish_twice_can_be_insisted_on(visit, service, picture):
    first = make_job(service, picture, "first", "review", seed=9)
    page = visit(expected=("status of 409",))
    choose(page, "twin.png", picture)
    page.get_by_label("Seed").first.fill("9")
    page.get_by_role("button", name="Make the video").click()
    upload = page.get_by_role("list", name="Uploads").get_by_role("listitem")
    expect(upload.get_by_role("alert")).to_contain_text(first["short"])
    page.get_by_role("button", name="Run anyway: twin.png").click()
    expect(upload).to_have_count(0)
    look_at(page, "twin.png")


def test_trouble_of_the_checks_is_told_with_the_next_step(visit):
    page = visit(expected=("status of 503",))
    expect(page.get_by_role("link", name="Checks passed")).to_be_visible()
    page.route(
        "**/readyz",
        lambda route: route.fulfill(
            status=503,
            json={
                "level": "failing",
                "taken": 0,
                "checks": [
                    {
                        "name": "disk",
                        "level": "failing",
                        "found": "It is full.",
                        "next_step": "Free some.",
                    },
                    {"name": "inbox", "level": "ok", "found": "It is watched.", "next_step": ""},
                ],
            },
        ),
    )
    without_events(page)
    page.reload()
    page.locator("body[data-ready]").wait_for()
    checks = page.get_by_role("region", name="Checks")
    expect(checks).to_contain_text("It is full.")
    expect(checks).to_contain_text("What to do: Free some.")
    expect(checks.get_by_text("It is watched.")).to_be_hidden()
    expect(page.get_by_role("link", name="Failing: disk")).to_be_visible()
