"""What is kept for a time is shown, with what is removed next and what was removed."""

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import make_job

pytestmark = pytest.mark.system("chromium-headless-shell")

GB = 1024**3
DAY = 1_800_000_000.0  # 15 January 2027


def changed(page, pattern: str, change) -> None:
    """Let the service's own answers pass with a change, which would take days to come by itself."""

    def handle(route):
        answer = route.fetch()
        body = answer.json()
        change(body)
        route.fulfill(response=answer, json=body)

    page.route(pattern, handle)


def test_what_is_kept_for_a_time_is_shown_with_what_is_removed_next(visit, service, picture):
    job = make_job(service, picture, "first", "rejected", promt="a typing error")
    page = visit()
    kept = page.get_by_text("Kept for a time")

    def two_kinds(status):
        status["keep"] = {
            "kept": [
                {"kind": "work", "count": 12, "bytes": 31 * GB},
                {"kind": "rejected", "count": 1, "bytes": 2048},
            ],
            "next": {"kind": "work", "name": job["id"], "bytes": GB, "at": DAY},
        }

    changed(page, "**/api/v1/status", two_kinds)
    page.reload()
    expect(kept).to_have_text(
        "Kept for a time: 12 ended jobs, 31 GB; 1 rejected picture, 2.0 KB."
        " Removed next: the work of first, on Jan 15, 2027."
    )
    changed(page, "**/api/v1/status", lambda status: status.update(keep=None))
    page.reload()
    expect(page.locator("#version")).to_contain_text("zoetrope")
    expect(kept).to_be_hidden()


def test_a_job_whose_work_was_removed_says_when_and_what_to_do(visit, service, picture):
    job = make_job(service, picture, "old", "rejected", promt="a typing error")
    page = visit()
    row = page.locator(f"#ended-rows [data-job='{job['id']}']")
    expect(row).to_be_visible()
    expect(row).not_to_contain_text("removed")

    def removed(found):
        for each in found["jobs"]:
            each["removed"] = DAY

    changed(page, "**/api/v1/jobs?*", removed)
    page.reload()
    expect(row).to_contain_text("Work removed on Jan 15, 2027: drop the picture again.")
