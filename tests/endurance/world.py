"""A world that is attacked: pictures that go in, what is known of each, and what has to hold when all is quiet."""

from __future__ import annotations

import contextlib
import glob
import json
import re
import shutil
import sqlite3
import time
import urllib.error
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
from PIL import Image

from tests.endurance import pair
from tests.endurance.haste import hasten
from tests.endurance.part import Part
from tests.endurance.processes import ForkedEngine, ForkedService
from tests.fakes.service import PATIENCE, RECIPES
from zoetrope.domain.job import ENDED, Job, Progress, State
from zoetrope.jobs.outbox_identity import MARK

QUICK = """
            settle_seconds = 0.05
            ticket_grace_seconds = 0.05
            rescan_seconds = 0.5
"""
PAIRS, TICKETS = 0.2, 0.3  # shares of what is dropped
ENDS = 8_000_000  # what is added to a picture's number for the last frame of its pair
SETTLED = 180.0  # seconds in which at least one more has to come to its end
EACH = 20.0  # seconds more until all has ended, for each file that was dropped


class World:
    """One service, one engine, and the pictures that a person dropped."""

    def __init__(self, part: Part, *, more: str = "", nursed: bool = False) -> None:
        self.part = part
        self.nursed = nursed  # whether a person approves, and retries what failed
        root = part.root / "world"
        root.mkdir()
        self.engine = ForkedEngine(root / "engine")
        self.service = ForkedService(root, self.engine.url)
        self.service.configure(quick=QUICK, more=more)
        pair.write_recipe(root / "recipes")
        self.service.replace(f'["{RECIPES}"]', f'["{RECIPES}", "{root / "recipes"}"]')
        # So many crashes of one job are the attack's doing, and no sign of a bad job.
        self.service.replace("review = false", "review = false\n            retries = 1000")
        if nursed:
            self.service.replace("review = false", "review = true")
        self.prepare: Callable[[], None] = hasten  # done in every new process
        self.wanted: set[str] = set()  # pictures that have to become a video each
        self.refused: set[str] = set()  # files that have to be rejected
        self.cancelled: set[str] = set()  # pictures whose job a person cancelled, or tried to
        self.mended: set[str] = set()  # pictures that a person moved back, with another ticket
        self.number = 0
        # Whose names these are: what others do on the share is no promise of ours.
        self.whose: Callable[[str], bool] = lambda _: True
        self.not_taken = ""  # how the last order was answered that the service did not take
        # Whether the disk lost rows that it said to have: then a person looks for what is lost, and a video
        # may have no job.
        self.forgetful = False

    def drop_something(self) -> str:
        """Drop what people drop: mostly a picture, now and then with a ticket, or a pair."""
        if self.part.random.random() < PAIRS:
            return self.drop_pair()
        return self.drop(ticket=self.part.random.random() < TICKETS)

    def drop(self, *, ticket: bool = False) -> str:
        """Drop a picture that differs from all others."""
        self.number += 1
        stem = f"cat{self.number}"
        if ticket:
            (self.service.inbox / f"{stem}.txt").write_text(f"Beat {self.number}")
            self.part.counts["tickets"] += 1
        self._put(self.service.inbox, f"{stem}.png", draw(self.number))
        self.wanted.add(stem)
        return stem

    def drop_pair(self) -> str:
        """Drop the first and the last frame of a video, in either order, the second one perhaps a while later."""
        self.number += 1
        stem = f"cat{self.number}"
        folder = self.service.inbox / pair.NAME
        folder.mkdir(exist_ok=True)
        if self.part.random.random() < TICKETS:
            (folder / f"{stem}.toml").write_text(f'prompt = "Beat {self.number}"')
        halves = ["start", "end"]
        self.part.random.shuffle(halves)
        for half in halves:
            # Of no other picture, whatever its number.
            number = self.number + (ENDS if half == "end" else 0)
            self._put(folder, f"{stem}.{half}.png", draw(number))
            if half == halves[0]:
                time.sleep(self.part.random.choice((0.0, 0.0, 0.1, 0.5)))
        self.part.counts["pairs"] += 1
        self.wanted.add(stem)
        return stem

    def _put(self, folder: Path, name: str, picture: Image.Image) -> None:
        """Some programs write in place, some rename."""
        aside = folder / f".{name}"  # hidden: on its way
        picture.save(aside)
        if self.part.random.random() < 0.5:
            aside.rename(folder / name)
        else:
            (folder / name).write_bytes(aside.read_bytes())
            aside.unlink()

    def drop_garbage(self) -> str:
        """Drop what is no picture, though its name says so."""
        self.number += 1
        stem = f"bad{self.number}"
        (self.service.inbox / f"{stem}.png").write_bytes(self.part.random.randbytes(500))
        self.refused.add(stem)
        return stem

    def move_back(self, stems: set[str]) -> None:
        """Move rejected pictures back into the inbox, and fix their tickets, as the reasons say."""
        inbox = self.service.inbox
        # One that was declined or cancelled is given back there too; moved back, it would rightly be another job.
        became = {job.stem for job in self.jobs() if job.state is not State.REJECTED}
        for picture in sorted((inbox / "rejected").glob("*.png")):
            if picture.stem in stems - became:
                with contextlib.suppress(FileNotFoundError):
                    picture.with_suffix(".toml").unlink(missing_ok=True)
                    picture.rename(inbox / picture.name)

    def jobs(self) -> list[Job]:
        """Read every job from the ledger's file, as another program would."""
        file = self.service.state / "ledger.db"
        if not file.exists():
            return []
        # Read-only: another connection would tidy up after a kill, before the service sees it.
        address = f"file:{file}?mode=ro"
        deadline = time.monotonic() + PATIENCE
        while True:
            with contextlib.closing(sqlite3.connect(address, uri=True, timeout=30)) as db:
                try:
                    rows = db.execute("SELECT body FROM jobs ORDER BY seq").fetchall()
                except sqlite3.OperationalError as error:
                    if "no such table" in str(error):  # the schema is not there yet
                        return []
                    # The file of the log's index comes and goes as the service starts and ends.
                    if "readonly" not in str(error) or time.monotonic() > deadline:
                        raise
                else:
                    return [msgspec.json.decode(body, type=Job) for (body,) in rows]
            time.sleep(0.05)

    def job_of(self, stem: str) -> Job | None:
        """Find a picture's job."""
        return next((job for job in self.jobs() if job.stem == stem), None)

    def order(self, job: Job, verb: str) -> bool:
        """Decide something about a job; false if the service does not take it just now."""
        try:
            self.service.post(f"/api/v1/jobs/{job.id}/{verb}")
        except (urllib.error.URLError, OSError) as error:
            self.not_taken = f"; {verb} was answered with: {error}"
            return False
        self.not_taken = ""
        return True

    def settle(self) -> None:
        """Wait until everything has ended, see that all is well, and carry the videos away."""
        self.engine.revive()
        process = self.service.process
        if process is None or process.poll() is not None:
            self.service.start(prepare=self.prepare)
        looked = 0.0
        began = time.monotonic()
        deadline = began + SETTLED
        last = began + SETTLED + EACH * (len(self.wanted) + len(self.refused))
        least = len(self.wanted) * 2 + len(self.refused)
        while missing := self.missing():
            if len(missing) < least:  # a busy machine may be slow, but it has to get on
                least = len(missing)
                deadline = time.monotonic() + SETTLED
            self.part.promise(
                time.monotonic() < deadline,
                f"{SETTLED:g} s without an attack brought none of these to its end: {missing}{self.not_taken}",
            )
            self.part.promise(
                time.monotonic() < last,
                f"{last - began:g} s without an attack did not bring all to their end: {missing}",
            )
            self.engine.revive()  # it may have been dying still, killed from within the service
            if self.nursed:
                self.nurse()
                self.move_back(self.mended)
            if self.forgetful and time.monotonic() > looked + 1.0:
                self.recover()
                looked = time.monotonic()
            time.sleep(0.05)
        time.sleep(0.3)  # what is made twice would show now
        code = self.service.stop()
        self.part.promise(code == 0, f"the service ended with {code}")
        for sentence in self.faults():
            self.part.broke(sentence)
        self.carry_away()
        self.forgetful = False  # what was lost so far is a video by now, and carried away

    def recover(self) -> None:
        """Have what lies in lost+found made into jobs; what has its video already is rejected there."""
        for lost in self.service.get("/api/v1/lost")["lost"]:
            with contextlib.suppress(urllib.error.HTTPError):
                self.service.post(f"/api/v1/lost/{lost['job']}/recover")

    def nurse(self) -> None:
        """Approve what waits for that, and retry what failed."""
        for job in self.jobs():
            if job.state is State.REVIEW:
                self.order(job, "approve")
            elif job.state is State.FAILED and job.stem not in self.cancelled:
                self.order(job, "retry")

    def missing(self) -> list[str]:
        """Name what has not come to its end."""
        jobs = self.jobs()
        known = {
            job.stem
            for job in jobs
            if job.state is not State.REJECTED or job.stem not in self.wanted
        }
        if self.forgetful:
            known |= {folder.name.rpartition("-")[0] for folder in self.service.done()}
        over = ENDED - {State.FAILED} if self.nursed else ENDED
        left = [
            f"{job.stem} is {job.state}"
            for job in jobs
            if self.whose(job.stem) and job.state not in over and job.stem not in self.cancelled
        ]
        dropped = (*self.wanted, *self.refused)
        left += [f"{stem} has no job" for stem in dropped if stem not in known]
        work = self.service.state / "work"
        done = {job.id for job in jobs if job.state is State.DONE}
        left += [f"work of {each.name}" for each in _entries(work) if each.name in done]
        return left

    def faults(self) -> Iterator[str]:
        """Say what is wrong with a world in which everything has ended."""
        jobs = [job for job in self.jobs() if job.stem in {*self.wanted, *self.refused}]
        names = [folder.name for folder in self.service.done() if self.whose(folder.name)]
        videos = Counter(name.partition("-")[0] for name in names)
        yield from self._doubled(jobs, videos)
        for job in jobs:
            yield from self._wrong(job)
        inbox, outbox = self.service.inbox, self.service.outbox
        for path in inbox.rglob("*"):
            below = path.relative_to(inbox).parts[:1]
            if path.is_file() and "rejected" not in below and self.whose(path.name):
                yield f"left in the inbox: {path.relative_to(inbox)}"
        hidden = [each.name for each in outbox.glob(".*") if each.name != MARK]
        yield from (f"left in the outbox: {name}" for name in hidden)
        for picture in (inbox / "rejected").rglob("*.png"):
            # Of a pair, one reason stands next to both halves.
            half = re.fullmatch(r"(.+)\.(?:start|end)\.png", picture.name)
            stem = glob.escape(half[1]) + "." if half else glob.escape(picture.stem)
            reasons = picture.parent.glob(f"{stem}*.why.txt")
            if self.whose(picture.name) and not list(reasons):
                yield f"rejected without a reason: {picture.name}"
        if "Traceback" in self.service.log.read_text():
            yield "a traceback in the service's log"

    def carry_away(self) -> None:
        """Take what was checked out of the world, as a person does who collects videos."""
        for folder in self.service.done():
            shutil.rmtree(folder)
        self.part.counts["videos"] += len(self.wanted)
        self.wanted.clear()
        self.refused.clear()
        self.cancelled.clear()
        self.mended.clear()

    def close(self) -> None:
        """End everything, in whatever state it is."""
        for process in (self.service.process, self.engine.process):
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()

    def _doubled(self, jobs: list[Job], videos: Counter[str]) -> Iterator[str]:
        rows = Counter(job.stem for job in jobs if job.state is not State.REJECTED)
        for stem, number in {**rows, **videos}.items():
            if rows[stem] > 1:
                yield f"{stem} became {rows[stem]} jobs"
            if number > 1 or videos[stem] > 1:
                yield f"{stem} became {videos[stem]} videos"
        for job in jobs:
            if job.stem in self.refused or (
                job.stem in self.mended and job.state is State.REJECTED
            ):
                continue
            wanted = 1 if job.state is State.DONE else 0
            if videos[job.stem] != wanted:
                yield f"{job.stem} is {job.state} and has {videos[job.stem]} videos"
            if job.state is not State.DONE and job.stem not in self.cancelled:
                yield f"{job.stem} is {job.state}: {job.reason}"

    def _wrong(self, job: Job) -> Iterator[str]:
        """Say what of a job that has ended does not fit together."""
        if job.state is not State.DONE:
            return
        if any(stage.state is not Progress.DONE for stage in job.stages):
            yield f"{job.stem} is done, and one of its stages is not"
        folder = self.service.outbox / job.outbox
        receipt = folder / "receipt.json"
        if not receipt.is_file():
            yield f"{job.stem} has no receipt"
        elif json.loads(receipt.read_bytes())["job"] != job.id:
            yield f"{job.stem} has the receipt of another job"
        elif not any(each.stat().st_size for each in folder.glob("*.mp4")):
            yield f"{job.stem} has no video"


def draw(number: int) -> Image.Image:
    """Draw a small picture that differs from all others, also as a video, in which a single pixel is lost."""
    gradient = Image.linear_gradient("L").resize((64, 64))
    steepness = 1 + number // 256
    image = gradient.point(lambda v: (v * steepness + number * 7) % 256).convert("RGB")
    image.putpixel((0, 0), (number % 256, number // 256 % 256, number // 65536))
    return image


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except FileNotFoundError:
        return []
