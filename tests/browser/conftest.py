"""The real service with a simulated engine, and a real browser that opens its page."""

import io
import json
import shutil
import time
import urllib.request
from contextlib import contextmanager

import pytest
from playwright.sync_api import Error, expect, sync_playwright

from tests.fakes.helper import HelperProcess
from tests.fakes.nvml.simulated import Simulated
from tests.fakes.service import EngineProcess, ServiceProcess
from zoetrope.demo.picture import draw

PATIENCE = 45.0
DESK = {"viewport": {"width": 1280, "height": 900}}
# Two cores share a browser, an engine and a service.
expect.set_options(timeout=PATIENCE * 1000)
PHONE = {"viewport": {"width": 360, "height": 740}, "is_mobile": True, "has_touch": True}


@pytest.fixture(scope="session")
def picture() -> bytes:
    """A small picture in which something can be seen."""
    file = io.BytesIO()
    draw().resize((208, 120)).save(file, "PNG")
    return file.getvalue()


class Engine(EngineProcess):
    """The engine, which can be told to be slow."""

    @contextmanager
    def slowed(self, seconds: float):
        fault = json.dumps({"kind": "slow", "seconds": seconds, "times": 0}).encode()
        urllib.request.urlopen(f"{self.url}/simulated/faults", fault).close()
        try:
            yield
        finally:
            self.mended()

    def fail(self, **fault) -> None:
        urllib.request.urlopen(f"{self.url}/simulated/faults", json.dumps(fault).encode()).close()

    def mended(self) -> None:
        order = urllib.request.Request(f"{self.url}/simulated/faults", method="DELETE")
        urllib.request.urlopen(order).close()


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    engine = Engine(tmp_path_factory.mktemp("engine") / "home")
    engine.start()
    yield engine
    engine.stop()


@contextmanager
def serving(folder, engine, more: str = "", **environ: str):
    """Run a service whose videos are looked at, with further settings."""
    service = ServiceProcess(folder, engine.url)
    text = service.config.read_text()
    service.config.write_text(text.replace("review = false", "") + more)
    service.start(**environ)
    service.get("/readyz")  # a page that is opened before its checks pass complains of them
    yield service
    service.stop()


@pytest.fixture(scope="module")
def service(engine, tmp_path_factory):
    """A service on a host without a card."""
    with serving(tmp_path_factory.mktemp("service"), engine) as service:
        yield service


@pytest.fixture(scope="module")
def helper(tmp_path_factory):
    """A helper with a simulated card."""
    folder = tmp_path_factory.mktemp("helper")
    helper = HelperProcess(folder, Simulated(folder / "host", "RTX 5090"))
    helper.start()
    yield helper
    helper.stop()


@pytest.fixture(scope="module")
def tuned(engine, helper, tmp_path_factory):
    """A service that keeps this card."""
    gpu = f"[gpu]\nhelper_socket = '{helper.socket}'\nidle_seconds = 0.5"
    settings = helper.config.read_text().replace("[gpu]", gpu)
    folder = tmp_path_factory.mktemp("tuned")
    with serving(folder, engine, settings, **helper.simulated.environ) as service:
        yield service


def make_job(service, picture: bytes, stem: str, state: str, **ticket) -> dict:
    """Drop a picture into the inbox and wait until its job is where it shall be."""
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in ticket.items()]
    if lines:
        (service.inbox / f"{stem}.toml").write_text("\n".join(lines))
    (service.inbox / f"{stem}.png").write_bytes(picture)
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        for job in service.get(f"/api/v1/jobs?state={state}&limit=200")["jobs"]:
            if job["stem"] == stem:
                return job
        time.sleep(0.05)
    raise AssertionError(f"{stem} did not become {state}")


WORDS = "Beat 1 (0-2s): the drum turns."


@pytest.fixture(scope="module")
def finished(service, picture):
    """One finished video, whatever else happens in the module."""
    return make_job(
        service, picture, "finished", "done", prompt=WORDS, seed=1834, review=False, steps=6
    )


# No longer than a module: while Playwright is there, its event loop runs, and others cannot.
@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium-headless-shell"), args=["--no-sandbox"]
        )
        yield browser
        browser.close()


class Visit:
    """One person's browser; what it complains about has to be named beforehand."""

    def __init__(self, browser, url: str, expected: tuple[str, ...] = (), **options):
        self.context = browser.new_context(base_url=url, **(DESK | options))
        self.context.set_default_timeout(PATIENCE * 1000)
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.bytes: dict[str, int] = {}
        self._expected = expected
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append(f"dialog {dialog.message}"))
        self.page.on("console", self._hear)

    def _hear(self, message) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.text} {message.location.get('url', '')}")

    def open(self, path: str = "/"):
        """Open the page and wait until it is filled."""
        self.page.goto(path)
        self.page.locator("body[data-ready]").wait_for()
        return self.page

    def close(self) -> None:
        # A request that a test's own handler has in hand is over with the page.
        for page in self.context.pages:
            page.unroute_all(behavior="ignoreErrors")
        self.context.close()
        unexpected = [c for c in self.complaints if not any(e in c for e in self._expected)]
        assert not unexpected


@pytest.fixture
def visit(browser, service):
    """Open the page as somebody; with `expected`, the complaints that belong to the test."""
    visits: list[Visit] = []

    def make(path: str = "/", at=service, **options):
        visits.append(Visit(browser, at.url, **options))
        return visits[-1].open(path)

    yield make
    for each in visits:
        each.close()


def without_events(page) -> None:
    """Have the page fill itself once and hear of nothing after that, such as real checks beside those of a test."""
    body = 'retry: 600000\nevent: hello\ndata: {"resumed": false}\n\n'
    page.route(
        "**/api/v1/events",
        lambda route: route.fulfill(content_type="text/event-stream", body=body),
    )


def drop(page, name: str, content: bytes, kind: str = "image/png") -> None:
    """Drag a file onto the page, as a file manager would."""
    transfer = page.evaluate_handle(
        """([name, bytes, type]) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([Uint8Array.from(bytes)], name, { type }));
            return transfer;
        }""",
        [name, list(content), kind],
    )
    for event in ("dragenter", "dragover", "drop"):
        page.dispatch_event("#drop-form", event, {"dataTransfer": transfer})


def choose(page, name: str, content: bytes) -> None:
    """Put a picture into the form by the file chooser."""
    page.set_input_files("#files", {"name": name, "mimeType": "image/png", "buffer": content})


def look_at(page, name: str) -> None:
    """Choose a clip where several wait."""
    page.locator("#review-strip li", has_text=name).first.wait_for(state="attached")
    choice = page.get_by_role("button", name=f"Review {name}")
    if choice.first.is_visible():
        choice.first.click()
    expect(page.get_by_role("article", name=name)).to_be_visible()


def until(page, script: str, patience: float = PATIENCE):
    """Wait until something is true on the page; its CSP forbids Playwright's own way of waiting."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if found := page.evaluate(script):
            return found
        page.wait_for_timeout(25)
    raise Error(f"{script} did not become true within {patience:.0f} s")
