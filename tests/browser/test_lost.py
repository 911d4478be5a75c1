"""Lost work is listed on the page, and a button makes a job of it."""

import pytest
from playwright.sync_api import expect

from tests.fakes.lost import lose
from zoetrope.settings import Settings, StateSettings

pytestmark = pytest.mark.system("chromium-headless-shell")


def test_lost_work_is_shown_and_becomes_a_job_at_a_press(visit, service, picture):
    page = visit()
    expect(page.locator("body")).to_have_attribute("data-ready", "")
    expect(page.locator("#lost")).to_be_hidden()
    lose(Settings(state=StateSettings(path=service.state)), body=picture, stem="lost")
    page.reload()
    section = page.get_by_role("region", name="Lost work")
    expect(section).to_contain_text("cat.png")
    expect(section).to_contain_text("tiny, accepted")
    section.get_by_role("button", name="Make a job of cat.png").click()
    expect(page.locator("#lost")).to_be_hidden()
    expect(page.locator("#says")).to_contain_text("cat.png is queued again.")


def test_lost_work_is_discarded_only_when_the_question_is_answered(visit, service, picture):
    lost = lose(Settings(state=StateSettings(path=service.state)), body=picture, stem="lost")
    page = visit()
    discard = page.get_by_role("button", name="Discard cat.png")
    discard.click()
    question = page.get_by_role("dialog", name="Remove cat.png and its ticket for good?")
    expect(question.get_by_role("button", name="Keep it")).to_be_focused()
    page.keyboard.press("Enter")
    expect(question).to_be_hidden()
    expect(discard).not_to_have_attribute("aria-disabled", "true")
    assert (service.state / "lost+found" / lost.id).is_dir()
    # What a job says may follow at once.
    page.evaluate(
        """() => {
            const says = document.querySelector("#says");
            window.heard = [];
            new MutationObserver(() => window.heard.push(says.textContent)).observe(says,
                { childList: true, characterData: true, subtree: true });
        }"""
    )
    discard.click()
    question.get_by_role("button", name="Remove").click()
    expect(page.locator("#lost")).to_be_hidden()
    page.wait_for_function(
        "() => window.heard.some((said) => said.includes('cat.png is removed.'))"
    )
    assert not (service.state / "lost+found" / lost.id).exists()


def test_an_outbox_that_takes_no_videos_is_said_with_what_to_do(visit):
    page = visit()
    expect(page.locator("#outbox")).to_be_hidden()

    def away(route):
        answer = route.fetch()
        body = answer.json()
        body["outbox"]["problem"] = {
            "key": "outbox-away",
            "sentence": "The disk is not mounted.",
            "next_step": "Mount it.",
        }
        route.fulfill(response=answer, json=body)

    page.route("**/api/v1/status", away)
    page.reload()
    expect(page.locator("#outbox")).to_contain_text("The disk is not mounted. Mount it.")
