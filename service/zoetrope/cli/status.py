"""`zoetrope status`: the service on one screen."""

from __future__ import annotations

import time

import click

from ..client import Client, decode
from ..gpu.screen import brief
from ..graphs.memory import gigabytes
from ..health.base import Report
from ..jobs.keep import announced, described
from ..jobs.progress import prompts_of_others
from ..web.views import EngineView, GpuView, JobPage, JobView, StatusView
from . import show
from .options import Options, common, pass_options

BETWEEN = 0.5  # seconds between two screens


@click.command(epilog="\b\nExample:\n  zoetrope status --watch")
@click.option("--watch", is_flag=True, help="Keep showing changes until Ctrl-C.")
@common
@pass_options
def status(options: Options, watch: bool) -> int:
    """Show the service, its engines, GPUs and inbox, failing checks, and the current jobs."""
    client = options.client()
    if options.json:
        click.echo(client.get("/api/v1/status"))
        return 0
    if watch:
        _watch(client)
        return 0
    for line in screen(client):
        click.echo(line)
    return 0


def screen(client: Client) -> list[str]:
    """Fetch everything and write it as lines."""
    now = decode(client.get("/api/v1/status"), StatusView)
    lines = [f"zoetrope {now.version} at {client.url}", show.clean(now.summary), ""]
    lines += [_engine(engine) for engine in now.engines]
    lines += _gpus(client)
    if now.inbox is not None:
        how = now.inbox.problem or f"watched ({now.inbox.mode})"
        lines.append(show.clean(f"inbox {now.inbox.path}: {how}"))
        lines += [show.clean(f"  cannot be read: {name}") for name in now.inbox.unreadable]
        lines += _more(now.inbox.unreadable_count - len(now.inbox.unreadable), "cannot be read")
        lines += [show.clean(f"  {held.name} waits: {held.reason}") for held in now.inbox.held]
        lines += _more(now.inbox.held_count - len(now.inbox.held), "wait")
    if now.outbox is not None and now.outbox.problem is not None:
        lines.append(show.clean(f"outbox {now.outbox.path}: {now.outbox.problem}"))
    lines += _kept(now)
    lines += _unwell(client)
    if now.problem is None:
        lines += _jobs(client, now.standstill.until if now.standstill is not None else None)
    lines += _failures(now)
    return lines


def _more(number: int, what: str) -> list[str]:
    """Say how many are not named."""
    return [f"  {number} more {what}"] if number > 0 else []


def _gpus(client: Client) -> list[str]:
    found = decode(client.get("/api/v1/gpu"), GpuView)
    lines = [
        f"GPU {each.card.short}: {each.lost}"
        if each.lost is not None
        else brief(each.card, each.reading, each.state)
        for each in found.cards
    ]
    lines += [f"GPU: {found.problem}"] if found.problem is not None else []
    return [show.clean(line) for line in lines]


def _unwell(client: Client) -> list[str]:
    report = decode(client.ready(), Report)
    names = ", ".join(check.name for check in report.checks if check.level != "ok")
    if not names:
        return []
    return [f"health {show.coloured(report.level)}: {names}; see `zoetrope health`"]


def _engine(engine: EngineView) -> str:
    state = click.style("up", fg="green") if engine.up else click.style("down", fg="red")
    since = f" for {show.span(time.time() - engine.since)}" if engine.since else ""
    about = [engine.device, f"version {engine.version}" if engine.version else ""]
    if engine.vram_total:
        free, total = gigabytes(engine.vram_free), gigabytes(engine.vram_total)
        about.append(f"{free:.1f} of {total:.1f} GiB free")
    if engine.rehearsal and "simulated" not in about:
        about.append("simulated")
    if engine.others:
        about.append(prompts_of_others(engine.others))
    if engine.reason is not None:
        about.append(str(engine.reason))
    details = ", ".join(text for text in about if text)
    return f"engine {engine.name} at {engine.url}: {state}{since}" + (
        f" ({show.clean(details)})" if details else ""
    )


def _kept(now: StatusView) -> list[str]:
    """Say what is kept of ended jobs, and what is removed next."""
    if now.keep is None:
        return []
    lines = []
    if now.keep.kept:
        kept = described(now.keep.kept, now.keep.looked)
        if now.keep.next is not None:
            kept += f"; {announced(now.keep.next)}"
        lines.append(f"retention: {kept}")
    lines += [f"retention waits: {reason}" for reason in now.keep.problems]
    return [show.clean(line) for line in lines]


def _jobs(client: Client, opening: float | None) -> list[str]:
    page = decode(
        client.get("/api/v1/jobs", state="running,review,queued,waiting", limit=20), JobPage
    )
    if not page.jobs:
        return []
    order = {"running": 0, "review": 1, "queued": 2, "waiting": 3}
    found = sorted(page.jobs, key=lambda job: (order[job.state], job.created))
    rows = [(job.short, job.state, job.name, _remark(job, opening)) for job in found]
    lines = ["", *show.table(("ID", "STATE", "PICTURE", "REMARK"), rows, colour=1)]
    return [*lines, "…"] if page.next else lines


def _failures(now: StatusView) -> list[str]:
    """Name the last jobs that failed or were rejected, and count those of a day."""
    if now.failures is None or not now.failures.sentence:
        return []
    rows = [(job.short, job.state, job.name, str(job.reason or "")) for job in now.failures.last]
    table = show.table(("ID", "STATE", "PICTURE", "REASON"), rows, colour=1)
    return ["", now.failures.sentence, *table]


def _remark(job: JobView, opening: float | None) -> str:
    asked = f"zoetrope approve {job.short}" if job.state == "review" else ""
    if asked and job.reason is not None:
        return f"{asked}; waits: {job.reason.sentence}"
    starts = ""
    if opening is not None and job.state == "queued" and job.reason is None:
        starts = time.strftime(", not before %a %H:%M", time.localtime(opening))
    return asked or f"{show.progress(job)}{starts}"


def _watch(client: Client) -> None:
    """Draw the screen again at every event, at most twice a second while there is only progress."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console()

    def draw() -> Text:
        return Text.from_ansi("\n".join(screen(client)))

    if not console.is_terminal:
        raise click.UsageError("--watch needs a terminal; use --json or plain `zoetrope status`.")
    with Live(draw(), console=console, screen=True, auto_refresh=False) as live:
        due = 0.0

        def lost(why: str) -> None:
            live.update(Text(f"{why}\nretrying…"), refresh=True)

        for event in client.events(lost=lost):
            if event.kind != "progress" or time.monotonic() >= due:
                live.update(draw(), refresh=True)
                due = time.monotonic() + BETWEEN
