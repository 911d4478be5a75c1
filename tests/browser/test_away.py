"""The service goes away and comes back, and it asks who is there."""

import msgspec
import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visit, make_job
from tests.fakes.service import ServiceProcess
from zoetrope.web.busy import PROBLEM

pytestmark = pytest.mark.system("chromium-headless-shell")

TOKEN = "a-token-that-is-long-enough-0123456789"


def test_a_killed_service_is_told_and_the_page_catches_up_by_itself(visit, service, picture):
    make_job(service, picture, "before", "review")
    page = visit(expected=("ERR_", "status of 503"))
    expect(page.locator("#review").get_by_role("article", name="before.png")).to_be_visible()
    page.evaluate("() => { window.opened = 1; }")
    service.kill()
    banner = page.locator("#offline")
    expect(banner).to_be_visible()
    # What it last knew stays in sight, and an order says that it was not taken.
    expect(page.get_by_role("article", name="before.png")).to_be_visible()
    page.get_by_role("button", name="Approve before.png").click()
    expect(page.locator("#notice")).to_contain_text("The service does not answer.")
    service.start()
    make_job(service, picture, "meanwhile", "review", steps=5)
    expect(banner).to_be_hidden()
    expect(page.get_by_role("button", name="Review meanwhile.png")).to_be_visible()
    page.get_by_role("button", name="Approve before.png").click()
    expect(page.locator("#gallery-rows li", has_text="before")).to_be_visible()
    expect(page.locator("#notice")).to_be_hidden()
    assert page.evaluate("window.opened") == 1


def test_a_service_without_room_for_the_page_says_so(visit, service):
    page = visit(expected=("ERR_", "status of 503"))
    full = msgspec.to_builtins(PROBLEM)
    page.route("**/api/v1/status", lambda route: route.fulfill(status=503, json=full))
    service.kill()
    banner = page.locator("#offline")
    expect(banner).to_have_text(f"{PROBLEM.detail} {PROBLEM.next_step}")
    page.unroute("**/api/v1/status")
    service.start()
    expect(banner).to_be_hidden()


@pytest.fixture
def guarded(engine, tmp_path):
    """A service that wants a token."""
    service = ServiceProcess(tmp_path, engine.url)
    token = tmp_path / "token"
    token.write_text(TOKEN)
    text = service.config.read_text()
    service.config.write_text(text.replace("[web]", f'[web]\ntoken_file = "{token}"'))
    service.start()
    # A page that is opened before its checks pass complains of them.
    service.get("/readyz", token=TOKEN)
    yield service
    service.stop()


def test_the_login_lets_in_who_knows_the_token_and_nobody_else(browser, guarded):
    someone = Visit(browser, guarded.url, expected=("status of 401",))
    page = someone.page
    page.goto("/")
    expect(page).to_have_url(f"{guarded.url}/login")
    expect(page.get_by_label("Token", exact=True)).to_be_focused()
    expect(page.get_by_role("alert")).to_be_hidden()
    page.keyboard.type("not the token")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text(
        "The token is wrong. Copy it again from the file that web.token_file names on the host."
    )
    page.get_by_label("Token", exact=True).fill(TOKEN)
    page.get_by_role("button", name="Log in").click()
    page.locator("body[data-ready]").wait_for()
    expect(page.get_by_role("heading", name="New video")).to_be_visible()
    # Once the cookie is gone, the next question leads back to the login.
    someone.context.clear_cookies()
    page.reload()
    expect(page).to_have_url(f"{guarded.url}/login")
    someone.close()
