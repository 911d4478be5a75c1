"""A person makes a video on the page, from the dropped picture to the playing video."""

import json
import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import WORDS, choose, drop, look_at, make_job, until

pytestmark = pytest.mark.system("chromium-headless-shell")


def test_a_dropped_picture_becomes_a_video_that_plays_without_one_reload(
    visit, engine, service, picture
):
    page = visit()
    page.evaluate("() => { window.opened = 1; }")
    drop(page, "dusk.png", picture)
    expect(page.get_by_role("list", name="Chosen pictures").get_by_role("listitem")).to_have_count(
        1
    )
    page.get_by_label("Prompt").first.fill("Beat 1 (0-2s): the drum turns.")
    page.get_by_label("Seed").first.fill("1834")
    with engine.slowed(0.2):
        page.get_by_role("button", name="Make the video").click()
        until(page, UNDER_WAY)
        # The picture itself is seen on its way, small.
        until(page, "document.querySelector('#queue-rows li img')?.naturalWidth === 208")
        expect(page.locator("#logo")).to_have_class("turning")
    review = page.get_by_role("region", name="Review")
    expect(page).to_have_title(re.compile(r"^\(\d+\) zoetrope$"))
    look_at(page, "dusk.png")
    expect(review.get_by_role("article")).to_contain_text("the drum turns")
    clip = review.get_by_label("Video of dusk.png")
    until(page, "document.querySelector('#review-stage video').currentTime > 0")
    expect(review.get_by_alt_text("Source picture dusk.png")).to_have_js_property(
        "naturalWidth", 208
    )
    # Frame by frame: the slider stops the clip and shows where it is.
    review.get_by_label("Frame").fill("2")
    expect(review.get_by_text("frame 3 of 5")).to_be_visible()
    expect(clip).to_have_js_property("paused", True)
    review.get_by_role("button", name="Approve dusk.png").click()

    finished = page.locator("#gallery-rows li.video").filter(has_text="dusk")
    video = finished.get_by_label("Video of dusk.png")
    expect(video).to_have_js_property("paused", True)
    finished.get_by_role("button", name="Play dusk.png").click()
    until(page, "document.querySelector('#gallery-rows [aria-label*=dusk]').currentTime > 0")
    assert page.evaluate("window.opened") == 1
    assert service.done_named("dusk")


# The bar is partly filled, and the line below it says the same as text.
UNDER_WAY = """(() => {
    const row = document.querySelector("#queue-rows li");
    const bar = row?.querySelector("progress");
    const line = row?.querySelector(".line").textContent ?? "";
    return bar?.value > 0 && bar.value < 1
        && /^i2v \\(1 of 2\\): \\d+ %, step \\d of \\d, about \\d+ s left$/.test(line);
})()"""


def test_the_receipt_tells_how_a_video_was_made_and_gives_its_files(visit, finished, picture):
    page = visit()
    card = page.locator(f"#gallery-rows [data-job='{finished['id']}']")
    card.get_by_text("Receipt").click()
    for fact in (WORDS, "1834", "tiny", "Steps", "5 frames, 16 fps"):
        expect(card.locator("dl")).to_contain_text(fact)
    expect(card.get_by_role("list", name="Stages").get_by_role("listitem")).to_have_count(2)
    with page.expect_download() as saved:
        card.get_by_role("link", name="Download finished.png").click()
    assert saved.value.suggested_filename == "finished.mp4"
    with page.expect_download() as saved:
        card.get_by_role("link", name="source.png").click()
    assert saved.value.path().read_bytes() == picture


def test_another_seed_makes_another_job(visit, finished, service):
    page = visit()
    card = page.locator(f"#gallery-rows [data-job='{finished['id']}']")
    card.get_by_role("button", name="again with another seed").click()
    expect(page.get_by_role("status")).to_contain_text("finished.png is queued again")
    again = [
        job
        for job in service.get("/api/v1/jobs")["jobs"]
        if job["parent"] == finished["id"] and job["seed"] != finished["seed"]
    ]
    assert len(again) == 1


def test_a_clip_in_review_can_be_tried_with_other_words_and_then_declined(visit, service, picture):
    make_job(service, picture, "still", "review", prompt=WORDS, steps=7)
    page = visit()
    review = page.get_by_role("region", name="Review")
    expect(review.get_by_role("article")).to_be_visible()
    look_at(page, "still.png")
    review.get_by_role("button", name="Change the prompt of still.png and run it again").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_label("Prompt", exact=True)).to_have_value(WORDS)
    dialog.get_by_label("Prompt", exact=True).fill("The drum stands still.")
    dialog.get_by_role("button", name="Run again").click()
    expect(dialog).to_be_hidden()
    # Two clips: a strip to choose from, the older one first.
    strip = page.locator("#review-strip li", has_text="still.png")
    expect(strip).to_have_count(2)
    strip.nth(1).get_by_role("button").click()
    expect(review.get_by_role("article")).to_contain_text("The drum stands still.")
    review.get_by_label("Reason for declining still.png").fill("it should turn")
    review.get_by_role("button", name="Decline still.png").click()
    expect(strip).to_have_count(1)
    ended = page.get_by_role("region", name="Failed, rejected or cancelled")
    expect(ended.get_by_role("listitem").filter(has_text="still.png")).to_contain_text(
        "it should turn"
    )
    jobs = [job for job in service.get("/api/v1/jobs")["jobs"] if job["stem"] == "still"]
    assert len({job["seed"] for job in jobs}) == 2
    assert all(job["ticket"]["parameters"]["steps"] == 7 for job in jobs)


def test_the_gallery_finds_a_video_by_its_words(visit, finished):
    page = visit()
    card = page.locator(f"#gallery-rows [data-job='{finished['id']}']")
    expect(card).to_be_visible()
    search = page.get_by_role("searchbox", name="Search videos")
    search.fill("no such words")
    expect(card).to_have_count(0)
    expect(page.get_by_text("No video matches the search.")).to_be_visible()
    search.fill("drum turns")
    expect(card).to_be_visible()


def test_pictures_can_be_left_out_and_a_queued_job_taken_back(visit, engine, picture):
    page = visit()
    choose(page, "one.png", picture)
    choose(page, "two.png", picture)
    expect(page.get_by_role("button", name="Make 2 videos")).to_be_enabled()
    page.get_by_role("button", name="Remove one.png").click()
    with engine.slowed(0.3):
        page.get_by_role("button", name="Make the video").click()
        page.get_by_role("button", name="Cancel two.png").click()
        ended = page.get_by_role("region", name="Failed, rejected or cancelled")
        expect(ended.get_by_role("listitem").filter(has_text="two.png")).to_contain_text(
            "cancelled"
        )
    expect(page.locator("#queue-rows li").filter(has_text="two.png")).to_have_count(0)


RECIPE = {
    "name": "two",
    "title": "From one picture to another",
    "default": True,
    "pictures": 2,
    "presets": [{"name": "calm", "title": "Hardly moves", "about": "", "values": {}}],
    "parameters": {
        "strength": {"type": "float", "default": 1.0, "min": 0, "max": 2, "about": "of the LoRA"},
        "sampler": {"type": "choice", "default": "euler", "options": ["euler", "heun"]},
        "loop": {"type": "bool", "default": False},
    },
    "length": {"frames": 81, "fps": 16, "step": 4, "min": 5, "max": 121, "trained": 81},
    "stages": [],
}


def test_what_a_recipe_can_be_asked_for_can_be_filled_in(visit, picture):
    page = visit(expected=("status of 503",))
    page.route("**/api/v1/recipes", lambda route: route.fulfill(json={"recipes": [RECIPE]}))
    page.reload()
    page.locator("body[data-ready]").wait_for()
    form = page.get_by_role("region", name="New video")
    expect(form).to_contain_text("Drop the first and the last picture here")
    choose(page, "first.png", picture)
    choose(page, "last.png", picture + b"another")
    expect(form.get_by_role("button", name="Make the video")).to_be_enabled()
    form.get_by_role("button", name="Swap first and last").click()
    form.get_by_text("Presets: none").click()
    form.get_by_label("Hardly moves").check()
    expect(form.get_by_text("Presets: Hardly moves")).to_be_visible()
    form.get_by_text("More").click()
    expect(form.get_by_label("Seconds")).to_have_attribute("placeholder", "5")
    form.get_by_label("Strength").fill("0.8")
    form.get_by_label("Sampler").select_option("heun")
    form.get_by_label("Loop").select_option("false")
    refusal = {"detail": "Not today.", "next_step": "Come back."}
    page.route("**/api/v1/jobs", lambda route: route.fulfill(status=503, json=refusal))
    with page.expect_request("**/api/v1/jobs") as sent:
        form.get_by_role("button", name="Make the video").click()
    parts = sent.value.post_data_buffer
    assert parts.index(b"another") < parts.index(b'name="end"')
    ticket = json.loads(re.search(rb'name="ticket"\r\n\r\n(.*?)\r\n', parts)[1])
    assert ticket == {
        "recipe": "two",
        "preset": ["calm"],
        "parameters": {"strength": 0.8, "sampler": "heun", "loop": False},
    }
    expect(form.get_by_role("alert")).to_have_text("Not today. Come back.")


def test_the_guidance_of_a_recipe_breaks_where_the_page_does(visit):
    guidance = "One sentence over\ntwo lines of a file.\n\nA list:\n- first\n- second\n"
    page = visit()
    recipes = {"recipes": [RECIPE | {"guidance": guidance}]}
    page.route("**/api/v1/recipes", lambda route: route.fulfill(json=recipes))
    page.reload()
    page.locator("body[data-ready]").wait_for()
    expect(page.locator("#drop-guidance")).to_have_js_property(
        "textContent",
        "One sentence over two lines of a file.\n\nA list:\n- first\n- second",
    )


def test_of_a_long_queue_the_running_one_is_seen_first(visit, finished):
    page = visit()
    waiting = [
        finished | {"id": f"{n:032x}", "state": "queued", "name": f"{n}.png", "created": n}
        for n in range(150)
    ]
    states = {
        "running": [finished | {"id": "f" * 32, "state": "running", "created": 9e9}],
        "queued": waiting,
    }

    def listing(route) -> None:
        state = re.search(r"state=(\w+)", route.request.url)[1]
        route.fulfill(json={"jobs": states.get(state, []), "next": None})

    page.route("**/api/v1/jobs?*", listing)
    page.reload()
    rows = page.locator("#queue-rows li")
    expect(rows).to_have_count(100)
    expect(rows.first).to_contain_text("finished.png")
    expect(rows.nth(1)).to_contain_text("0.png")
    expect(page.get_by_text("51 more jobs are queued.")).to_be_visible()


def test_a_recipe_that_takes_no_words_asks_for_none_and_keeps_those_that_were_written(visit):
    page = visit()
    drop = page.locator("#drop")
    drop.get_by_label("Prompt", exact=True).fill("She turns.")
    standard = drop.get_by_label("Recipe", exact=True).input_value()
    drop.get_by_label("Recipe", exact=True).select_option("seedvr2-rife-upscale")
    expect(drop.get_by_label("Prompt", exact=True)).to_have_count(0)
    expect(drop.get_by_label("Negative prompt", exact=True)).to_have_count(0)
    expect(drop.get_by_label("Seed", exact=True)).to_be_visible()
    drop.get_by_label("Recipe", exact=True).select_option(standard)
    expect(drop.get_by_label("Prompt", exact=True)).to_have_value("She turns.")
