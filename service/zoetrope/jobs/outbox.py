"""The outbox: finished folders appear whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import msgspec

from .job import Job

REVIEW = "review"


def folder_name(job: Job, *, whole: bool = False) -> str:
    """Name a job's folder; the whole id serves where the short one is taken by another job."""
    return f"{_plain(job.stem)}-{job.id if whole else job.short}"


def contents(job: Job) -> dict[str, str]:
    """Say which work file becomes which published file, apart from the receipt."""
    files: dict[str, str] = {}
    for still, name in zip(job.stills, ("source", "source-end"), strict=False):
        files[f"{name}{Path(still.source).suffix}"] = still.source
    title = _plain(job.ticket.name or job.stem)
    for stage in job.stages:
        last = stage is job.stages[-1]
        for number, artefact in enumerate(stage.artefacts):
            suffix = Path(artefact.file).suffix
            count = f"-{number + 1}" if number else ""
            name = f"{title}{count}" if last else f"stages/{stage.name}{count}"
            files[f"{name}{suffix}"] = artefact.file
        if stage.poster:
            files["poster.jpg"] = stage.poster  # the last stage's is the one that stays
    return files


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
            self._build(name, {**files, "receipt.json": receipt}, link=True)
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
            receipt = msgspec.json.decode((folder / "receipt.json").read_bytes())
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
