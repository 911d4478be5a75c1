"""`zoetrope jobs` and `zoetrope job`: what is known of the jobs."""

from __future__ import annotations

import click

from ..client import decode
from ..web.views import JobView
from . import show
from .options import Options, common, pass_options

STATES = ("waiting", "queued", "running", "review", "done", "failed", "cancelled", "rejected")


@click.command(epilog="\b\nExample:\n  zoetrope jobs --state review --state failed")
@click.option("--state", "states", multiple=True, type=click.Choice(STATES), help="Only these; may be repeated.")  # fmt: skip
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="How many.")
@click.option("--all", "everything", is_flag=True, help="Every job there is.")
@common
@pass_options
def jobs(options: Options, states: tuple[str, ...], limit: int, everything: bool) -> None:
    """List jobs, newest first."""
    found = list(options.client().jobs(",".join(states), None if everything else limit))
    if options.json:
        import msgspec

        click.echo(msgspec.json.encode(found))
        return
    if not found:
        click.echo("No jobs." if states else "No jobs yet. Try: zoetrope submit cat.png")
        return
    rows = [
        (job.short, job.state, job.name, show.ago(job.created), job.recipe, _remark(job))
        for job in found
    ]
    for line in show.table(("ID", "STATE", "PICTURE", "CAME", "RECIPE", "REMARK"), rows, colour=1):
        click.echo(line)


@click.command(epilog="\b\nExample:\n  zoetrope job 1f3a9c2e")
@click.argument("job_id", metavar="ID")
@common
@pass_options
def job(options: Options, job_id: str) -> None:
    """Show one job with everything that was tried; the beginning of its id is enough."""
    answer = options.client().job(job_id)
    if options.json:
        click.echo(answer)
        return
    for line in details(decode(answer, JobView)):
        click.echo(line)


def details(found: JobView) -> list[str]:
    """Write everything about a job as lines."""
    pictures = [f"{p.name} ({p.width}x{p.height})" for p in found.pictures]
    facts = {
        "id": found.id,
        "state": show.coloured(found.state),
        "picture": show.clean(", ".join(pictures) or found.name),
        "recipe": found.recipe,
        "seed": str(found.seed),
        "came": f"{show.ago(found.created)} by {found.origin}",
        "now": show.progress(found),
        "reason": show.clean(str(found.reason)) if found.reason else "",
        "parent": found.parent,
        "outbox": show.clean(found.outbox),
        "removed": _removed(found),
    }
    lines = [f"{name:<8} {text}" for name, text in facts.items() if text]
    for stage in found.stages:
        marks = [stage.state, *(["approved"] if stage.approved else [])]
        if stage.fallbacks:
            marks.append(f"fallbacks: {', '.join(stage.fallbacks)}")
        lines.append(f"stage    {stage.name}: {', '.join(marks)}")
        for attempt in stage.attempts:
            took = ""
            if attempt.ended is not None and attempt.started is not None:
                took = f" after {show.span(attempt.ended - attempt.started)}"
            why = f": {attempt.failure.message}" if attempt.failure else ""
            lines.append(
                show.clean(
                    f"         {attempt.number}. on {attempt.engine} {attempt.state}{took}{why}"
                )
            )
    lines += [f"next     zoetrope {action} {found.short}" for action in found.actions]
    return lines


def _removed(found: JobView) -> str:
    """Say what retention left of an ended job."""
    if found.removed is None:
        return ""
    what = "its video" if found.state == "done" else "its work"
    return f"{what}, {show.ago(found.removed)}; to make it anew, drop the picture again"


def _remark(found: JobView) -> str:
    if found.state == "review":
        return f"zoetrope approve {found.short}"
    return show.progress(found) or (str(found.reason) if found.reason else found.outbox)
