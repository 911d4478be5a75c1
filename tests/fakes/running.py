"""What tests ask of the real service as a process, and how they wait for it."""

import contextlib
import sqlite3
import time
import urllib.error
import urllib.request
from pathlib import Path

from PIL import Image

from tests.fakes.service import ServiceProcess

PATIENCE = 120.0


def draw(file: Path, colour: int = 0, size: tuple[int, int] = (96, 64)) -> Path:
    """Put a picture there as a whole: on a busy machine a pause in its midst would look like its end."""
    image = Image.linear_gradient("L").resize(size).point(lambda v: (v + colour) % 256)
    hidden = file.with_name(f".being-drawn-{colour}{file.suffix}")
    image.convert("RGB").save(hidden)
    return hidden.rename(file)


def until(condition, what: str, timeout: float = PATIENCE):
    deadline = time.monotonic() + timeout
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited in vain for: {what}"
        time.sleep(0.05)
    return found


def known_jobs(service: ServiceProcess) -> set[str]:
    with contextlib.closing(sqlite3.connect(service.state / "ledger.db")) as db:
        return {job for (job,) in db.execute("SELECT id FROM jobs")}


def readiness(service: ServiceProcess) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(
            f"{service.url}/readyz?format=text", timeout=PATIENCE
        ) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def videos(service: ServiceProcess, count: int = 1) -> list[Path]:
    """Wait for so many videos whose jobs are done: a folder appears a moment before the row that says so."""

    def made() -> list[Path]:
        found = service.done()
        return found if len(found) >= count <= states(service).count("done") else []

    return until(made, f"{count} videos whose jobs are done")


def emptied(folder: Path) -> None:
    """Wait until nothing is left in a folder: work goes a moment after the job is done."""
    until(lambda: not list(folder.iterdir()), f"{folder} to be empty")


def states(service: ServiceProcess) -> list[str]:
    """Name every job's state; none while the ledger is still being opened."""
    with contextlib.suppress(urllib.error.HTTPError):
        return [job["state"] for job in service.get("/api/v1/jobs")["jobs"]]
    return []
