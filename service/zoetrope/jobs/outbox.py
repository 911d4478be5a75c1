"""The outbox: finished folders appear whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec

from ..domain.job import ENDED, Job, Progress, Stage, State

REVIEW = "review"
RECEIPT = "receipt.json"

Kind = Literal["source", "stage", "review", "poster", "video", "receipt"]


def folder_name(job: Job, *, whole: bool = False) -> str:
    """Name a job's folder; the whole id serves where the short one is taken by another job."""
    return f"{_plain(job.stem)}-{job.id if whole else job.short}"


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a job: what it is, and its name in the work folder and in the published one."""

    kind: Kind
    name: str  # plain and the same for every job, so that no text from outside is ever an address
    work: str  # "" for the receipt, which is only published
    published: str  # "" for what goes with the work folder
    stage: str = ""


def pieces(job: Job) -> tuple[Piece, ...]:
    """List everything that a job has to show: sources, each stage's clips, poster, videos, receipt."""
    found: list[Piece] = []
    for still, name in zip(job.stills, ("source", "source-end"), strict=False):
        file = f"{name}{_suffix(still.source)}"
        found.append(Piece(kind="source", name=file, work=still.source, published=file))
    title = _plain(job.ticket.name or job.stem)
    looked_at = reviewed(job)
    for stage in job.stages:
        last = stage is job.stages[-1]
        kind: Kind = "video" if last else "review" if stage is looked_at else "stage"
        for number, artefact in enumerate(stage.artefacts):
            end = f"{f'-{number + 1}' if number else ''}{_suffix(artefact.file)}"
            published = f"{title}{end}" if last else f"stages/{stage.name}{end}"
            if last and any(piece.published == published for piece in found):
                published = f"{title}-video{end}"  # a clip called "source" made "source.mp4"
            found.append(
                Piece(
                    kind=kind,
                    name=f"video{end}" if last else f"stage-{stage.name}{end}",
                    work=artefact.file,
                    published=published,
                    stage=stage.name,
                )
            )
    # The last stage's poster is the one that stays; before there is any, the picture itself is shown.
    poster = "poster.jpg"
    if posed := [stage for stage in job.stages if stage.poster]:
        made, by = posed[-1].poster, posed[-1].name
        found.append(Piece(kind="poster", name=poster, work=made, published=poster, stage=by))
    elif job.stills and job.stills[0].small and job.state not in ENDED:
        found.append(Piece(kind="poster", name=poster, work=job.stills[0].small, published=""))
    if job.outbox:
        found.append(Piece(kind="receipt", name=RECEIPT, work="", published=RECEIPT))
    return tuple(found)


def reviewed(job: Job) -> Stage | None:
    """Find the stage that a person is asked to look at."""
    if job.state is not State.REVIEW:
        return None
    return next((stage for stage in reversed(job.stages) if stage.state is Progress.DONE), None)


def contents(job: Job) -> dict[str, str]:
    """Say which work file becomes which published file, apart from the receipt."""
    return {piece.published: piece.work for piece in pieces(job) if piece.work and piece.published}


class Outbox:
    """The folder that people look into; all calls may block on the disk."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def publish(self, job: Job, work: Path, receipt: bytes) -> str:
        """Put a finished job's folder in place; done again after a crash, it finds its own work."""
        name = folder_name(job)
        if (standing := self._owner(name)) is not None and standing != job.id:
            name = folder_name(job, whole=True)
        if self._owner(name) != job.id:
            files: dict[str, Path | bytes] = {k: work / v for k, v in contents(job).items()}
            self._build(name, {**files, RECEIPT: receipt}, link=True)
        self.clear_review(job)
        return name

    def show_review(self, job: Job, work: Path) -> str:
        """Put what waits for a look where a person on the share finds it."""
        name = f"{REVIEW}/{folder_name(job)}"
        if not (self._root / name).exists():
            files = {Path(k).name: work / v for k, v in contents(job).items()}
            # Copies: what a person does to the file they look at must not reach the work folder.
            self._build(name, files, link=False)
        return name

    def clear_review(self, job: Job) -> None:
        """Take the review folder away once it is answered."""
        shutil.rmtree(self._root / REVIEW / folder_name(job), ignore_errors=True)

    def _owner(self, name: str) -> str | None:
        """Say whose folder stands under a name: a job's id, or "" for somebody else's."""
        folder = self._root / name
        if not folder.exists():
            return None
        try:
            receipt = msgspec.json.decode((folder / RECEIPT).read_bytes())
            return str(receipt["job"])
        except (OSError, msgspec.DecodeError, KeyError, TypeError):
            return ""

    def _build(self, name: str, files: Mapping[str, Path | bytes], *, link: bool) -> None:
        final = self._root / name
        hidden = final.with_name(f".{final.name}.part")
        shutil.rmtree(hidden, ignore_errors=True)
        hidden.mkdir(parents=True)
        for relative, content in files.items():
            target = hidden / relative
            target.parent.mkdir(exist_ok=True)
            if isinstance(content, bytes):
                target.write_bytes(content)
            elif not (link and _linked(content, target)):
                shutil.copyfile(content, target)
            _sync(target)
        for folder in [hidden, *(entry for entry in hidden.iterdir() if entry.is_dir())]:
            _sync(folder)
        hidden.rename(final)
        _sync(final.parent)


def _suffix(file: str) -> str:
    """Give a file name's end; a path object would take as long as all the rest of a listing."""
    _, dot, end = file.rpartition(".")
    return f"{dot}{end}"


def _plain(name: str) -> str:
    """Keep a name inside its folder and in sight, wherever it came from."""
    return name.replace("/", "_").replace("\0", "_").lstrip(".") or "video"


def _linked(source: Path, target: Path) -> bool:
    """Link instead of copying where the disk is the same: clips may be large."""
    try:
        os.link(source, target)
    except OSError:
        return False
    return True


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
