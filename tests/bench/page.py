"""The page's figures: how soon something is seen of it by a browser that has never been here, and what that takes."""

from __future__ import annotations

import os
import shutil
import statistics
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.bench.process import wait_until
from tests.bench.table import Figure
from tests.fakes.service import EngineProcess, ServiceProcess

# From the beginning of the navigation, as the browser itself saw it.
PAINTED = """() => new Promise((resolve) => {
    new PerformanceObserver((list) => resolve(list.getEntriesByName("first-contentful-paint")[0].startTime))
        .observe({ type: "paint", buffered: true });
})"""
SENT = """() => [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
    .filter(({ name }) => !name.includes("/api/") && !name.endsWith("/readyz"))
    .reduce((sum, { transferSize }) => sum + transferSize, 0)"""
NOW = "performance.now()"


def paint(root: Path, loads: int = 5) -> Iterator[Figure]:
    """Open the page with a new browser each time; the median of the first paints with content."""
    engine = EngineProcess(root / "engine")
    service = ServiceProcess(root, engine.url)
    engine.start()
    service.start()
    painted, filled, sent = [], [], []
    try:
        wait_until(lambda: service.get("/api/v1/jobs?limit=1"), 30)
        with sync_playwright() as playwright:
            for _ in range(loads):
                browser = playwright.chromium.launch(
                    executable_path=shutil.which("chromium-headless-shell"), args=["--no-sandbox"]
                )
                page = browser.new_page(viewport={"width": 1280, "height": 900})
                page.goto(service.url, wait_until="commit")
                page.locator("body[data-ready]").wait_for()
                filled.append(page.evaluate(NOW))
                painted.append(float(page.evaluate(PAINTED)))
                sent.append(page.evaluate(SENT))
                browser.close()
    finally:
        service.stop()
        engine.stop()
    load = os.getloadavg()[0]
    note = f"of {loads} cold loads: {min(painted):.0f} to {max(painted):.0f} ms; load {load:.1f}"
    yield Figure("page: first paint, median", statistics.median(painted), "ms", 300, note=note)
    yield Figure("page: filled, median", statistics.median(filled), "ms", note="without any job")
    yield Figure("page: first load", max(sent) / 1000, "KB", 150, note="headers and all")
