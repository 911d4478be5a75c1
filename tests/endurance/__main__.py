"""`make endurance`: attack the service, and write what was promised and what was counted."""

from __future__ import annotations

import argparse
import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from tests.endurance import fuzz, promises, record
from tests.endurance.part import Part, Report, UnfitMachineError
from tests.endurance.plan import PARTS, SHORT, WHOLE, Task, lanes, share_out

ROOT = Path(__file__).parents[2]
#: A part looks at its time between two rounds; one that hangs is ended after so many seconds more.
GRACE = 240.0


def main() -> int:
    """Run the parts that were asked for; all by default."""
    asked = _arguments()
    if asked.part:
        return run_part(asked.part, asked.seed, asked.seconds, Path(asked.root))
    seed = asked.seed if asked.seed is not None else secrets.randbelow(10**9)
    seconds = asked.hours * 3600 if asked.hours else SHORT if asked.short else WHOLE
    root = Path(tempfile.mkdtemp(prefix="zoetrope-endurance-"))
    print(f"seed {seed}, {seconds / 60:.0f} minutes, in {root}", flush=True)
    begun = time.monotonic()
    reports: list[Report] = []
    for group in lanes(asked.only, seconds, seed):
        reports += _beside(group, root, record_it=not asked.no_record)
    minutes = (time.monotonic() - begun) / 60
    broken = [report for report in reports if report.broken]
    unfit = [report for report in reports if report.unfit]
    _show(reports)
    run = record.Run(
        date=time.strftime("%Y-%m-%d %H:%M", time.gmtime()),
        commit=_commit(),
        seed=seed,
        minutes=round(minutes, 1),
        parts=sorted({report.name for report in reports if not report.unfit}),
        broken="; ".join(f"{report.name}: {report.broken}"[:300] for report in broken),
    )
    if run.parts and not asked.no_record:
        record.write(record.read().plus(run, reports))
        promises.write()
    for report in broken:
        print(f"\nBROKEN in {report.name} (seed {report.seed}): {report.broken}")
        print(f"  kept: {report.kept}")
        print(f"  again: make endurance ARGS='--seed {seed} --only {report.name}'")
    for report in unfit:
        print(f"\nNOT RUN: {report.name}: {report.unfit}")
    if broken:
        return 1
    shutil.rmtree(root, ignore_errors=True)
    if unfit:
        return 1
    print(f"\nno promise was broken in {minutes:.1f} minutes")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make endurance", description=__doc__)
    parser.add_argument("--short", action="store_true", help="8 minutes instead of 30")
    parser.add_argument("--hours", type=float, default=0.0, help="longer")
    parser.add_argument("--seed", type=int, help="repeats a run")
    parser.add_argument("--only", nargs="*", choices=sorted(PARTS), help="some parts alone")
    parser.add_argument("--no-record", action="store_true", help="leave record and promises alone")
    for inner in ("--part", "--root"):
        parser.add_argument(inner, help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, help=argparse.SUPPRESS)
    return parser.parse_args()


class Running(NamedTuple):
    """A part in its process."""

    task: Task
    folder: Path
    process: subprocess.Popen[bytes]
    begun: float


def _beside(tasks: Sequence[Sequence[Task]], root: Path, *, record_it: bool) -> list[Report]:
    """Run lanes of parts beside each other, each part in a process of its own."""
    left = [list(lane) for lane in tasks]
    # Parts look at everything once more at their end: those that come later have less time.
    until = time.monotonic() + sum(task.seconds for lane in tasks for task in lane) / len(tasks)
    running: dict[int, Running] = {}
    reports: list[Report] = []
    try:
        while any(left) or running:
            for number, lane in enumerate(left):
                if lane and number not in running:
                    running[number] = start(share_out(lane, until - time.monotonic()), root)
                    del lane[0]
            for number, each in list(running.items()):
                late = time.monotonic() > each.begun + each.task.seconds + GRACE
                if each.process.poll() is None and not late:
                    continue
                reports.append(_ended(each, record_it=record_it))
                del running[number]
            time.sleep(0.2)
    finally:
        for each in running.values():
            end(each)
    return reports


def start(task: Task, root: Path) -> Running:
    """Start a part, in a session of its own: what it starts in turn can be ended with it."""
    folder = root / f"{task.name}-{task.seed}"
    folder.mkdir()
    command = [sys.executable, "-m", "tests.endurance", "--part", task.name]
    given = ["--seed", str(task.seed), "--seconds", str(task.seconds), "--root", str(folder)]
    process = subprocess.Popen([*command, *given], cwd=ROOT, start_new_session=True)
    return Running(task, folder, process, time.monotonic())


def _ended(each: Running, *, record_it: bool) -> Report:
    """Read what a part has to say that has ended, or whose time is over."""
    late = "it did not end in time" if each.process.poll() is None else ""
    end(each)
    report = _report(each.task, each.folder, late)
    found = each.folder / "corpus.json"
    if found.exists() and record_it:
        fuzz.keep(msgspec.json.decode(found.read_bytes()).items())
    if not report.broken:
        shutil.rmtree(each.folder, ignore_errors=True)
    return report


def end(each: Running) -> None:
    """End a part and everything that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(each.process.pid, signal.SIGKILL)
    each.process.wait()


def _report(task: Task, folder: Path, late: str) -> Report:
    file = folder / "report.json"
    if not late and file.exists():
        return msgspec.json.decode(file.read_bytes(), type=Report)
    broken = late or "its process died"
    return Report(name=task.name, seed=task.seed, broken=broken, kept=str(folder))


def run_part(name: str, seed: int, seconds: float, root: Path) -> int:
    """Run one part in this process."""
    part = Part(name, seed=seed, root=root, seconds=seconds)
    part.say(f"seed {seed}, {seconds:.0f} s")
    error: BaseException | None = None
    try:
        PARTS[name].run(part)
    except UnfitMachineError as found:
        error = found
    except Exception as found:
        error = found
        (root / "error.txt").write_text(traceback.format_exc())
        traceback.print_exc()
    report = part.report(error)
    (root / "report.json").write_bytes(msgspec.json.encode(report))
    part.say(
        report.broken
        or report.unfit
        or "done: " + ", ".join(f"{k} {v}" for k, v in report.counts.items())
    )
    return 1 if report.broken or report.unfit else 0


def _show(reports: Sequence[Report]) -> None:
    for report in reports:
        print(f"\n{report.name}: {report.seconds:.0f} s, seed {report.seed}")
        for kind in (report.counts, report.points):
            print("  " + ", ".join(f"{name} {number}" for name, number in kind.items()))
        for name, each in report.figures.items():
            print(f"  {name}: {each.value:.4g} {each.unit}, promised {each.limit:g}")


def _commit() -> str:
    def git(*words: str) -> str:
        told = subprocess.run(
            ["git", *words], cwd=ROOT, capture_output=True, text=True, check=False
        )
        return told.stdout.strip()

    changed = git("status", "--porcelain", "--", "service", "workflows")
    return git("rev-parse", "--short=12", "HEAD") + ("+changes" if changed else "")


if __name__ == "__main__":
    sys.exit(main())
