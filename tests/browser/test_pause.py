"""Pause and resume on the page."""

from playwright.sync_api import expect

from tests.browser.conftest import make_job


def test_a_user_pauses_interrupts_and_resumes(visit, service, engine, picture):
    page = visit()
    button = page.locator("#pause")
    expect(button).to_have_text("Pause")
    with engine.slowed(0.5):
        job = make_job(service, picture, "paused", "running", prompt="Beat 1 (0-2s): it turns.")
        button.click()
        expect(page.locator("#paused")).to_contain_text("Paused by a user: no stage starts.")
        expect(button).to_have_text("Resume")
        page.get_by_role("button", name="Interrupt running stages").click()
        expect(page.locator("#queue-count")).to_have_text("1 queued")
        expect(page.get_by_role("button", name="Interrupt running stages")).to_be_hidden()
    line = page.locator(f"[data-job='{job['id']}'] .line")
    expect(line).to_have_text("Next: i2v (1 of 2)")
    page.evaluate(
        """() => fetch("/api/v1/pause", {
            method: "POST",
            headers: { "Content-Type": "application/json" },
            body: JSON.stringify({ minutes: 60 }),
        })"""
    )
    page.reload()
    expect(line).to_contain_text("Next: i2v (1 of 2), not before ")
    button.click()
    expect(button).to_have_text("Pause")
    expect(page.locator("#paused")).to_be_hidden()
    expect(page.locator("#review")).to_be_visible()
    assert len(service.get(f"/api/v1/jobs/{job['id']}")["stages"][0]["attempts"]) == 2


def test_outside_the_hours_a_user_has_stages_run_now(visit):
    page = visit()
    reason = {"key": "hours", "sentence": "Outside the working hours.", "next_step": ""}
    shown = {"paused": reason, "standstill": {"reason": reason, "by_user": False, "until": 2e9}}
    outside = {"sentence": "Runs outside the working hours.", "since": 1.0, "until": 2e9}
    asked = []

    def status(route):
        more = {"outside_hours": outside} if asked else shown
        route.fulfill(
            json={**route.fetch(url=f"{page.url}api/v1/status", method="GET").json(), **more}
        )

    def resume(route):
        asked.append(route.request.post_data_json)
        status(route)

    page.route("**/api/v1/status", status)
    page.route("**/api/v1/resume", resume)
    page.reload()
    expect(page.locator("#paused")).to_have_text("Outside the working hours.")
    page.get_by_role("button", name="Run now").click()
    expect(page.locator("#paused")).to_have_text("Runs outside the working hours.")
    expect(page.get_by_role("button", name="Run now")).to_be_hidden()
    assert asked == [{"now": True}]
