"""The page's search gives the jobs that the service's search gives, whatever is typed and whatever happens meanwhile."""

import time
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import PATIENCE, make_job, until

pytestmark = pytest.mark.system("chromium-headless-shell")

JOBS = {
    "Käthe": "the drum turns",
    "100%_sure": "a slow ZOOM to the Straße",
    "it's 'quoted'": 'she says "turn"',
    "🎞 reel": "the drum stands still",
    "plain": "😀 smiles, 100 times",
}
QUERIES = [
    *("käthe", "KÄTHE", "kathe", "kÄ", "strasse", "STRASSE zoom", "drum turns", "turns drum"),
    *("%", "_", "100%", "0%_s", "'", '"turn"', "it's '", "\\", "*", "turn OR zoom", "-- drum"),
    *("🎞", "😀 100", "  ", " drum ", "\ufeff", "\u0085drum", "<b>", "&state=failed", "a+b", "#"),
    *("x" * 500, "drum " * 100, "🎞" * 250),
]


@pytest.fixture(scope="module")
def videos(service, picture):
    """Finished videos whose names and prompts hold what queries are made of."""
    for seed, (stem, prompt) in enumerate(JOBS.items()):
        make_job(service, picture, stem, "done", prompt=prompt, seed=seed, review=False)


def asked(service, text: str, **more) -> list[str]:
    """Ask the service itself."""
    query = urlencode({"state": "done", "limit": 200, "q": text, **more})
    return [job["id"] for job in service.get(f"/api/v1/jobs?{query}")["jobs"]]


def shown(page) -> list[str]:
    """Name the jobs that the page shows; none while a search is on its way."""
    script = """[...document.querySelectorAll("#gallery-rows[aria-busy=false] > li")].map((row) => row.dataset.job)"""
    return page.evaluate(script)


def search(page, text: str) -> None:
    page.get_by_role("searchbox", name="Search videos").fill(text)
    until(page, SETTLED)


SETTLED = """(() => {
    const typed = document.querySelector("#gallery-text").value;
    const rows = document.querySelector("#gallery-rows");
    return rows.getAttribute("aria-busy") === "false" && rows.dataset.search === typed;
})()"""


def test_the_page_finds_what_the_service_finds(visit, service, videos):
    page = visit()
    for text in QUERIES:
        search(page, text)
        found = asked(service, text)
        assert shown(page) == found, text
        count = page.locator("#gallery-count")
        assert count.get_attribute("aria-live") == "polite"
        if not found:
            expect(count).to_contain_text("No video matches the search.")
        else:
            expect(count).to_have_text(
                "1 video matches." if len(found) == 1 else f"{len(found)} videos match."
            )
    search(page, "")
    expect(page.locator("#gallery-count")).to_be_empty()
    assert shown(page) == asked(service, "")
    assert len(shown(page)) == len(JOBS)


def test_every_letter_typed_before_the_pause_is_one_question(visit, videos):
    page = visit()
    page.clock.install()
    page.clock.pause_at(page.evaluate("Date.now()") / 1000 + 1)
    questions = []
    page.on("request", lambda request: questions.append(request.url) if "q=" in request.url else 0)
    box = page.get_by_role("searchbox", name="Search videos")
    for letter in "drum":
        box.press_sequentially(letter)
        page.clock.run_for(200)
    assert questions == []
    page.clock.run_for(200)
    until(page, SETTLED)
    assert [parse_qs(urlsplit(url).query)["q"] for url in questions] == [["drum"]]


def test_a_search_that_was_overtaken_is_cancelled_and_changes_nothing(visit, service, videos):
    page = visit()
    held = []

    def answer(route) -> None:
        if "q=plain" in route.request.url:
            held.append(route)
        else:
            route.continue_()

    page.route("**/api/v1/jobs?*", answer)
    cancelled = []
    page.on("requestfailed", lambda request: cancelled.append(request.url))
    with page.expect_request("**/api/v1/jobs?*q=plain*"):
        page.get_by_role("searchbox", name="Search videos").fill("plain")
    search(page, "drum")
    assert any("q=plain" in url for url in cancelled)
    for route in held:
        route.abort()
    assert shown(page) == asked(service, "drum")
    expect(page.locator("#notice")).to_be_hidden()


def test_pages_of_a_search_follow_one_another_and_a_late_page_of_another_is_dropped(
    visit, finished
):
    page = visit()
    made = [
        finished | {"id": f"{n:032x}", "stem": f"{'odd' if n % 2 else 'even'} {n}", "created": n}
        for n in range(100)
    ]
    held = []

    def listing(route) -> None:
        query = {
            key: values[0] for key, values in parse_qs(urlsplit(route.request.url).query).items()
        }
        found = [] if query["state"] != "done" else [
            job for job in reversed(made)
            if query.get("q", "") in job["stem"] and job["created"] < int(query.get("before", 1000))
        ]  # fmt: skip
        limit = int(query["limit"])
        more = str(found[limit - 1]["created"]) if len(found) > limit else None
        answer = {"jobs": found[:limit], "next": more}
        if query.get("q") == "odd" and "before" in query and len(shown(page)) == 24:
            held.append((route, answer))
        else:
            route.fulfill(json=answer)

    page.route("**/api/v1/jobs?*", listing)
    page.reload()
    page.locator("body[data-ready]").wait_for()
    more = page.get_by_role("button", name="Show older videos")
    search(page, "even")
    expect(page.locator("#gallery-count")).to_have_text("More than 24 videos match.")
    for number in (48, 50):
        more.click()
        expect(page.locator("#gallery-rows > li")).to_have_count(number)
    expect(page.locator("#gallery-count")).to_have_text("50 videos match.")
    expect(more).to_be_hidden()
    search(page, "odd")
    more.click()
    until(page, "true")
    search(page, "even")
    for route, answer in held:
        route.fulfill(json=answer)
    page.evaluate("() => new Promise((done) => setTimeout(done, 100))")
    assert {int(each, 16) % 2 for each in shown(page)} == {0}
    assert len(shown(page)) == 24


def test_of_jobs_that_end_during_a_search_only_those_that_match_appear(
    visit, service, videos, picture
):
    page = visit()
    search(page, "STRASSE slow")
    before = shown(page)
    assert len(before) == 1
    other = make_job(service, picture, "other", "done", prompt="a fast cut", seed=90, review=False)
    wanted = make_job(
        service, picture, "late", "done", prompt="slow, down the straße", seed=91, review=False
    )
    expect(page.locator(f"#gallery-rows [data-job='{wanted['id']}']")).to_be_visible()
    assert shown(page) == [wanted["id"], *before] == asked(service, "STRASSE slow")
    assert other["id"] not in shown(page)
    search(page, "")
    assert other["id"] in shown(page)


def test_a_job_that_ends_while_the_search_is_on_its_way_is_not_lost(
    visit, service, videos, picture
):
    page = visit()
    held = []

    def answer(route) -> None:
        # The service's answer of now, given when it is old.
        held.append(
            (route, route.fetch())
        ) if "q=overtaken" in route.request.url and not held else route.continue_()

    page.route("**/api/v1/jobs?*", answer)
    page.get_by_role("searchbox", name="Search videos").fill("overtaken")
    deadline = time.monotonic() + PATIENCE
    while not held and time.monotonic() < deadline:
        page.wait_for_timeout(25)
    job = make_job(service, picture, "overtaken", "done", prompt="x", seed=95, review=False)
    expect(page.locator("#queue-rows > li")).to_have_count(0)
    route, response = held[0]
    route.fulfill(response=response)
    expect(page.locator(f"#gallery-rows [data-job='{job['id']}']")).to_be_visible()
