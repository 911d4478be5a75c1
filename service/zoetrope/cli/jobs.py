"""`zoetrope jobs` and `zoetrope job`: the jobs in a table, and one in full."""

from __future__ import annotations

import click

from ..client import decode
from ..web.views import JobView
from . import show
from .options import Options, common, pass_options

STATES = ("waiting", "queued", "running", "review", "done", "failed", "cancelled", "rejected")


@click.command(epilog="\b\nExample:\n  zoetrope jobs --state review --state failed")
@click.option("--state", "states", multiple=True, type=click.Choice(STATES), metavar="STATE", help=f"Only jobs in this state; may be repeated: {', '.join(STATES)}.")  # fmt: skip
@click.option(
    "--limit",
    type=click.IntRange(1),
    default=20,
    show_default=True,
    metavar="NUMBER",
    help="The most jobs to list.",
)
@click.option("--all", "everything", is_flag=True, help="List every job.")
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
        click.echo(
            f"No jobs in state {' or '.join(states)}."
            if states
            else "No jobs yet. Try: zoetrope submit cat.png"
        )
        return
    rows = [
        (job.short, job.state, job.name, show.age(job.created), job.recipe, _remark(job))
        for job in found
    ]
    for line in show.table(("ID", "STATE", "PICTURE", "AGE", "RECIPE", "REMARK"), rows, colour=1):
        click.echo(line)


@click.command(epilog="\b\nExample:\n  zoetrope job 1f3a9c2e")
@click.argument("job_id", metavar="ID")
@common
@pass_options
def job(options: Options, job_id: str) -> None:
    """Show one job with all its stages and attempts; the first characters of its ID are enough."""
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
        "created": f"{show.ago(found.created)}, by {found.origin}",
        "progress": show.progress(found),
        "reason": show.clean(str(found.reason)) if found.reason else "",
        "waits": show.clean(str(found.unreturned)) if found.unreturned else "",
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
                    f"         attempt {attempt.number} on {attempt.engine}: {attempt.state}{took}{why}"
                )
            )
    lines += [f"next     zoetrope {_command(found, action)}" for action in found.actions]
    return lines


def _command(found: JobView, action: str) -> str:
    """Write the command of an action; what ends the same with every seed needs a change."""
    change = " --set KEY=VALUE" if action == "again" and not found.seed_helps else ""
    return f"{action} {found.short}{change}"


def _removed(found: JobView) -> str:
    """Say what retention removed of an ended job."""
    if found.removed is None:
        return ""
    what = "the video" if found.state == "done" else "the work files"
    return f"{what}, {show.ago(found.removed)}; drop the picture again to make it again"


def _remark(found: JobView) -> str:
    if found.state == "review":
        return f"zoetrope approve {found.short}"
    return show.progress(found) or (str(found.reason) if found.reason else found.outbox)
