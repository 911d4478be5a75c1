"""What would go wrong is said in words before a GPU is touched: of the choice, and of dropped workflows."""

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import choose, drop, make_job, until
from tests.browser.test_reach import assert_accessible, tab_to

pytestmark = pytest.mark.system("chromium-headless-shell")

RECIPES = Path(__file__).parents[2] / "workflows"
HERO = (RECIPES / "wan22-i2v-hero" / "workflow.json").read_bytes()
EVIL = '<img src=x onerror="window.struck=1">'
REFUSED = "This job cannot start: fix the error below."


def choice(page):
    return page.locator("#preflight")


def readings(page):
    return page.get_by_role("list", name="Checked workflows")


def test_findings_appear_while_somebody_types_and_go_when_they_are_mended(visit):
    page = visit()
    found = choice(page)
    expect(found).to_be_empty()
    page.get_by_label("Prompt").first.press_sequentially("A drum (16:9) turns.")
    error = found.get_by_role("listitem").filter(has_text="P001")
    expect(error).to_contain_text("error P001 ratio in brackets")
    expect(error).to_contain_text("'(16:9)' in the prompt.")
    error.get_by_text("Why").click()
    expect(error.get_by_text("is parsed as a weight")).to_be_visible()
    expect(error).to_contain_text("What to do: Write the ratio without brackets")
    expect(found).to_contain_text(REFUSED)
    expect(found.get_by_role("listitem").filter(has_text="warning").first).to_be_visible()
    page.get_by_label("Prompt").first.fill("A drum turns.")
    expect(error).to_have_count(0)
    expect(found).not_to_contain_text(REFUSED)
    page.get_by_label("Prompt").first.fill("")
    expect(found).to_be_empty()


def test_what_a_job_would_be_refused_for_is_said_while_the_drop_stays_possible(visit, picture):
    page = visit()
    choose(page, "cat.png", picture)
    page.get_by_text("More").first.click()
    page.locator("#new-seconds").fill("500")
    expect(choice(page)).to_contain_text("A clip of 500 s is out of range.")
    expect(choice(page)).to_contain_text("What to do: This recipe makes 5 to 81 frames")
    expect(choice(page)).to_contain_text(REFUSED)
    expect(page.get_by_role("button", name="Make the video")).to_be_enabled()
    page.locator("#new-seconds").fill("")
    expect(choice(page)).not_to_contain_text(REFUSED)


def test_the_service_is_asked_once_for_many_letters_and_hears_of_the_picture(visit, picture):
    page = visit()
    page.clock.install()
    page.clock.pause_at(page.evaluate("Date.now()") / 1000 + 1)
    asked = []
    page.on("request", lambda request: asked.append(request) if request.url.endswith("/lint") else None)  # fmt: skip
    choose(page, "cat.png", picture)
    drawn = "document.querySelector('#dropped canvas').width !== document.querySelector('#dropped canvas').height"
    until(page, drawn)  # only then the picture's size is known
    for letter in "She turns.":
        page.get_by_label("Prompt").first.press_sequentially(letter)
        page.clock.run_for(350)
    assert asked == []
    with page.expect_request("**/api/v1/lint"):
        page.clock.run_for(100)
    expect(choice(page).get_by_role("listitem").first).to_be_visible()
    (request,) = asked
    assert request.post_data_json == {
        "ticket": {"recipe": "tiny", "prompt": "She turns."},
        "picture": {"width": 208, "height": 120},
    }


def test_an_answer_that_was_overtaken_is_dropped(visit):
    page = visit()
    held = []

    def answer(route) -> None:
        prompt = route.request.post_data_json["ticket"]["prompt"]
        if prompt == "first":
            held.append(route)
        else:
            route.fulfill(json={"findings": [], "notes": ["The second is told."], "nodes": 1})

    page.route("**/api/v1/lint", answer)
    with page.expect_request("**/api/v1/lint"):
        page.get_by_label("Prompt").first.fill("first")
    page.get_by_label("Prompt").first.fill("second")
    expect(choice(page)).to_contain_text("The second is told.")
    with page.expect_response("**/api/v1/lint"):
        held[0].fulfill(json={"findings": [], "notes": ["The first is told."], "nodes": 1})
    page.evaluate("() => new Promise((done) => setTimeout(done, 100))")
    expect(choice(page)).to_have_text(re.compile("The second is told.$"))


def test_markup_in_what_was_found_stays_text(visit, service, picture):
    page = visit()
    finding = {
        "rule": "P001", "severity": "error", "stage": EVIL, "node": "pos", "title": EVIL,
        "found": EVIL, "why": EVIL, "fix": EVIL, "source": "", "engines": [EVIL],
    }  # fmt: skip
    page.route("**/api/v1/lint", lambda route: route.fulfill(json={"findings": [finding], "notes": [EVIL], "nodes": 1}))  # fmt: skip
    page.get_by_label("Prompt").first.fill(EVIL)
    expect(choice(page).get_by_role("listitem").first).to_contain_text(f"What to do: {EVIL}")
    drop(page, f"{EVIL}.json", b"{}", "application/json")
    expect(readings(page)).to_contain_text(EVIL)
    assert page.locator("img[src=x]").count() == 0
    assert page.evaluate("window.struck") is None


def test_once_it_is_sent_nothing_more_is_said_of_the_choice(visit, picture):
    page = visit()
    choose(page, "sent.png", picture)
    page.get_by_label("Prompt").first.fill("She nods, once.")
    expect(choice(page).get_by_role("listitem").first).to_be_visible()
    page.get_by_role("button", name="Make the video").click()
    expect(choice(page)).to_be_empty()


def test_a_workflow_is_read_and_is_no_picture(visit):
    page = visit()
    drop(page, "hero.json", HERO, "application/json")
    read = readings(page).locator("> li")
    expect(read).to_contain_text("No errors or warnings in hero.json: 21 nodes checked.")
    expect(page.get_by_role("list", name="Chosen pictures")).to_be_hidden()
    expect(page.get_by_role("button", name="Make the video")).to_be_disabled()
    broken = json.loads(HERO)
    broken["ks_low"]["inputs"]["start_at_step"] = 7
    # The same file once more, mended or broken meanwhile, takes its own place; no matter its type.
    drop(page, "hero.json", json.dumps(broken).encode(), "")
    expect(read).to_have_count(1)
    expect(read).to_contain_text("This workflow cannot start: fix the error below.")
    expect(read).to_contain_text("S002")
    expect(read).to_contain_text("What to do: Let the second stage start where the first one ends.")
    page.get_by_role("button", name="Dismiss the report on hero.json").click()
    expect(read).to_have_count(0)
    expect(page.locator("#files")).to_be_focused()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"nodes": [], "links": [], "version": 0.4}, "Export the workflow with `Export (API)`."),
        ([1, 2], "The file contains no nodes."),
        ("not JSON", "The file contains no nodes."),
        (b"{", "The file is not JSON."),
    ],
)
def test_what_is_no_graph_is_told_with_what_to_do(visit, content, words):
    page = visit()
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    drop(page, "odd.json", raw, "application/json")
    expect(readings(page)).to_contain_text(words)
    expect(readings(page)).to_contain_text("What to do:")


def test_a_picture_and_a_workflow_may_come_together(visit, picture):
    page = visit()
    page.set_input_files(
        "#files",
        [
            {"name": "cat.png", "mimeType": "image/png", "buffer": picture},
            {"name": "hero.json", "mimeType": "application/json", "buffer": HERO},
        ],
    )
    expect(readings(page)).to_contain_text("21 nodes checked.")
    chosen = page.get_by_role("list", name="Chosen pictures").get_by_role("listitem")
    expect(chosen).to_have_count(1)


def test_a_job_that_the_linter_refused_says_rule_reason_and_fix(visit, service, picture):
    make_job(service, picture, "ratio", "rejected", prompt=f"A drum (16:9) {EVIL}")
    page = visit()
    row = page.get_by_role("region", name="Failed, rejected or cancelled").locator(
        "li", has_text="ratio"
    )
    for words in ("P001", "'(16:9)' in the prompt.", "is parsed as a weight", "What to do: Write the ratio without brackets"):  # fmt: skip
        expect(row).to_contain_text(words)
    assert page.locator("img[src=x]").count() == 0


def test_another_try_of_a_video_is_read_before_it_is_made(visit, finished):
    page = visit()
    page.locator(f"#gallery-rows [data-job='{finished['id']}']").get_by_role(
        "button", name="Change the prompt"
    ).click()
    dialog = page.get_by_role("dialog")
    found = dialog.locator("#repeat-preflight")
    prompt = dialog.get_by_label("Prompt", exact=True)
    before = prompt.bounding_box()
    with page.expect_request("**/api/v1/lint") as asked:
        prompt.fill("A drum (16:9) turns.")
    said = asked.value.post_data_json
    assert said["ticket"]["steps"] == 6
    assert said["ticket"]["seed"] is None
    assert said["picture"] == {"width": 208, "height": 120}
    expect(found).to_contain_text(REFUSED)
    expect(found).to_contain_text("P001")
    assert prompt.bounding_box() == before
    assert_accessible(page)
    prompt.fill("A drum turns.")
    expect(found).not_to_contain_text("P001")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_what_was_found_stands_in_nobodys_way(visit, picture, scheme, width):
    page = visit(color_scheme=scheme, viewport={"width": width, "height": 844})
    choose(page, "cat.png", picture)
    page.get_by_label("Prompt").first.fill("A drum (16:9) turns.")
    expect(choice(page)).to_contain_text("P001")
    drop(page, "a-name-without-any-place-to-break-" * 4 + ".json", HERO, "application/json")
    expect(readings(page)).to_contain_text("21 nodes checked.")
    for details in page.locator("#preflight details, #checked details").all():
        details.evaluate("(details) => { details.open = true; }")
    assert_accessible(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert choice(page).get_attribute("aria-live") == "polite"


def test_the_form_stays_where_it_is_when_something_is_found(visit, picture):
    page = visit()
    choose(page, "cat.png", picture)
    places = """() => [...document.querySelectorAll("#drop-form :is(button, textarea, select), #work > *")]
        .map((each) => Math.round(each.getBoundingClientRect().top))"""
    prompt = page.get_by_label("Prompt").first
    prompt.focus()
    before = page.evaluate(places)
    prompt.fill("A drum (16:9) turns.")
    expect(choice(page)).to_contain_text("P001")
    assert page.evaluate(places) == before
    expect(prompt).to_be_focused()


def test_what_was_read_is_put_away_by_keyboard(visit):
    page = visit()
    page.set_input_files("#files", {"name": "hero.json", "mimeType": "application/json", "buffer": HERO})  # fmt: skip
    expect(readings(page)).to_contain_text("21 nodes checked.")
    tab_to(page, "#checked summary")
    page.keyboard.press("Enter")
    expect(readings(page).locator(".finding").first).to_be_visible()
    tab_to(page, "#checked button")
    page.keyboard.press("Enter")
    expect(readings(page).locator("> li")).to_have_count(0)
