"""`zoetrope reproduce`: make the video of a receipt again, and say what differs now."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from pathlib import Path
from urllib.parse import quote

import click

from ..client import Client, Refused, ServiceDown, decode
from ..errors import ZoetropeError
from ..web.environment_views import Environments
from ..web.views import Artefacts, JobView
from . import receipt_file, show
from .differences import Comparison, compare
from .follow import follow, screen_for
from .options import Options, common, pass_options
from .receipt_file import PastReceipt

DIFFERS = 3

EPILOG = """\b
Example:
  zoetrope reproduce outbox/cat-1f3a9c2e --check
  zoetrope reproduce outbox/cat-1f3a9c2e/receipt.json --sync
  zoetrope reproduce receipt.json --unpack /etc/zoetrope/recipes

\b
Exit codes:
  0  submitted; with --sync: done with the same workflows; with --check: nothing differs
  1  failed
  2  wrong usage
  3  --check: something differs; --sync: done, but a workflow differs
"""


@click.command(epilog=EPILOG)
@click.argument("receipt", type=click.Path(exists=True, path_type=Path))
@click.option("--sync", is_flag=True, help="Wait for the video, and compare the workflows.")
@click.option("--check", is_flag=True, help="Only show what differs; submit nothing.")
@click.option("--unpack", metavar="FOLDER", type=click.Path(file_okay=False, path_type=Path), help="Only write the receipt's recipe into FOLDER; needs no service.")  # fmt: skip
@common
@pass_options
def reproduce(
    options: Options, /, receipt: Path, sync: bool, check: bool, unpack: Path | None
) -> int:
    """Make a video again: a new job with the same picture, ticket, seed and recipe.

    RECEIPT is a receipt.json of the outbox, or its folder. The source picture is the one next to it, else the
    service's copy.

    The recipe is the version that the job was accepted with, from the service or from the receipt; later edits do
    not matter. First it shows what differs from then: model files, node packs, ComfyUI, the attention kernel, the
    GPU and its memory class.
    """
    if sum((sync, check, unpack is not None)) > 1:
        raise click.UsageError("Give one of --sync, --check and --unpack.")
    file = receipt_file.at(receipt)
    past = receipt_file.read(file)
    if unpack is not None:
        click.echo(f"Wrote the recipe to {receipt_file.unpack(past, unpack)}")
        return 0
    client = options.client()
    with tempfile.TemporaryDirectory(prefix="zoetrope-") as scratch:
        pictures = _pictures(client, past, file, Path(scratch), needed=not check)
        now = _now(client, past, options)
        found = compare(past, now, tuple(_sha256(each) for each in pictures))
        if not options.json:
            _say(found)
        if check:
            if options.json:
                click.echo(json.dumps({"differs": found.differs, "unknown": found.unknown}))
            return DIFFERS if found.differs else 0
        content = client.upload(
            pictures[0],
            past.wish(),
            end=pictures[1] if len(pictures) > 1 else None,
            names=past.names(pictures),
            parent=past.job,
            recipe_version=past.recipe_version,
            recipe=past.recipe_files if now.recipe == "files" else {},
        )
    job = decode(content, JobView)
    if not options.json:
        click.echo(f"{job.short} repeats {past.job[:8]}: {show.coloured(job.state)}")
    if not sync:
        if options.json:
            click.echo(content)
        return 0
    (ended,), failed = follow(client, [job], screen_for(quiet=options.json))
    return 1 if failed else _compare(client, ended, past, found, options)


def _pictures(
    client: Client, past: PastReceipt, file: Path, scratch: Path, *, needed: bool
) -> list[Path]:
    """Find the pictures next to the receipt, else fetch the service's copies."""
    found: list[Path] = []
    for near in (*sorted(file.parent.glob("source.*")), *sorted(file.parent.glob("source-end.*"))):
        # Copied from a descriptor, and used by path only where no other user can write.
        found.append(scratch / near.name)
        with receipt_file.open_plain(near) as source, found[-1].open("xb") as copied:
            shutil.copyfileobj(source, copied)
    if found or not needed:
        return found
    try:
        listed = client.get(f"/api/v1/jobs/{quote(past.job, safe='')}/artefacts")
        for each in decode(listed, Artefacts).artefacts:
            if each.kind == "source":
                copy = scratch / Path(each.name).name
                copy.write_bytes(client.get(each.url.partition("?")[0]))
                found.append(copy)
    except ZoetropeError as error:
        raise _no_picture(file) from error
    then = {image.sha256 for image in past.images}
    if not found or not {_sha256(each) for each in found} <= then:
        raise _no_picture(file)
    return sorted(found, key=lambda copy: copy.stem == "source-end")


def _no_picture(file: Path) -> ZoetropeError:
    return ZoetropeError(
        f"No source picture is next to {file}, and the service has no copy of it.",
        "Name the receipt in its own outbox folder.",
        key="receipt",
    )


def _now(client: Client, past: PastReceipt, options: Options) -> Environments:
    """Ask what the service would use now; a recipe that neither it nor the receipt has is an error."""
    asked = {
        "models": past.models()[:64],
        "recipe": past.recipe,
        "recipe_version": past.recipe_version,
        "job": past.job,
    }
    try:
        now = decode(client.post("/api/v1/environment", asked), Environments)
    except ServiceDown:
        if not options.json:
            for line in _made_with(past):
                click.echo(line)
        raise
    except Refused as error:
        if error.status != 404:
            raise
        # An older service reports what it lacks when it is asked for the job.
        return Environments(engines=(), recipe="kept")
    if past.recipe_version and now.recipe == "unknown":
        raise ZoetropeError(
            f"The service does not have the recipe {past.recipe} in version"
            f" {past.recipe_version[:12]}.",
            "Write it with --unpack FOLDER into a folder of recipes.path on its host, then try again."
            if past.recipe_files
            else "The receipt holds no copy of it: restore the recipe as it was then.",
            key="recipe-version-unknown",
        )
    return now


def _made_with(past: PastReceipt) -> list[str]:
    """Show what the receipt holds, where no service answers."""
    last = past.stages[0].last
    version = f", version {past.recipe_version[:12]}" if past.recipe_version else ""
    lines = [f"The receipt: recipe {past.recipe}{version}; ComfyUI {last.version or 'unknown'}."]
    if (has := last.environment) is not None:
        lines.append(f"GPU {has.gpu or 'unknown'}; {has.runtime or 'runtime unknown'}.")
        lines += [f"{m.name}: {m.sha256[:12] or m.unknown}" for m in has.models]
        lines += [f"{pack.name}: {pack.version or pack.unknown}" for pack in has.packs]
    return lines


def _say(found: Comparison) -> None:
    for sentence in found.differs:
        click.echo(f"differs: {sentence}")
    for sentence in found.unknown:
        click.echo(f"unknown: {sentence}")
    if not found.differs:
        click.echo("Nothing that can be compared differs." if found.unknown else "Nothing differs.")


def _compare(
    client: Client, job: JobView, past: PastReceipt, found: Comparison, options: Options
) -> int:
    new = receipt_file.decode(client.get(f"/api/v1/jobs/{job.id}/receipt"))
    before, after = past.digests(), new.digests()
    other = [name for name in before if before[name] != after.get(name)]
    if options.json:
        outcome = {"job": job.id, "same": not other, "changed": other}
        click.echo(json.dumps({**outcome, "differs": found.differs, "unknown": found.unknown}))
    elif other:
        click.echo(
            f"The workflow of {', '.join(other)} differs from then: the picture, the GPU's memory"
            " class or the fallbacks are different."
        )
    else:
        click.echo("The workflows are the same as then, seed included.")
    return DIFFERS if other else 0


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
