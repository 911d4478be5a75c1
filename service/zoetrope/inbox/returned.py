"""Pictures whose jobs came to nothing later, by themselves or by a user's word: given back to people, with the reason in words."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import itertools
import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec

from ..beneath import Beneath, Linked
from ..domain.job import ENDED, Job, Progress, State
from ..domain.values import SourceImage
from ..errors import NotReadable
from ..file_names import fitted, split
from ..jobs import owed
from ..jobs.outbox_identity import OutboxIdentity
from ..settings import Settings
from . import ticket_text
from .entry import CLAIMED, classify, joined, rejected_from
from .refusal import Ending, Refusal, explain, reason_of, renamed

log = logging.getLogger("zoetrope.inbox")

HALVES = ("start", "end")
_GIVEN_BACK = ".given-back"  # in the work folder, and gone with it
_MOST_NAMES = 9  # sets of names that are looked through for an earlier entry


class Returned:
    """Lays a copy of a failed job's picture into `rejected/`; moved back into the inbox, it is tried again."""

    def __init__(self, settings: Settings, outbox: OutboxIdentity) -> None:
        self._work = settings.work
        self._inbox, self._outbox = settings.inbox.path, outbox
        self._moves = settings.inbox.claim == "move"
        self._homes = (
            (settings.inbox.path, settings.outbox.path) if self._moves else (settings.outbox.path,)
        )

    async def withdraw(self, job: Job) -> None:
        """Remove what an earlier failure of a job laid down, now that it has a video; what people changed stays."""
        for home in self._homes:
            try:
                await asyncio.to_thread(self._take_away, job, home)
            except (OSError, Linked) as error:
                log.warning(
                    "what lies in %s/rejected of an earlier try stays: %s",
                    home,
                    error,
                    extra={"job": job.short, "action": "not-withdrawn"},
                )

    async def give_back(self, job: Job) -> None:
        """Give back, once, the pictures of a job that ended without a video; NotReadable says that they are not yet.

        What a user cancels lies nowhere else that people look, where it was taken out of the inbox; what was
        uploaded is still where it came from, and so is what was only copied.
        """
        folder = self._work / job.id
        if job.state is State.CANCELLED and job.origin == "inbox" and self._moves:
            await asyncio.to_thread(self._give_back, job)
        elif job.state in (State.FAILED, State.REJECTED):
            await asyncio.to_thread(self._pay, job, folder)
        if job.state in ENDED:
            await asyncio.to_thread(owed.paid, folder)

    async def take_back(self, job: Job) -> None:
        """Clear away what was given back, now that a cancelled job goes on."""
        mark = self._work / job.id / _GIVEN_BACK
        if await asyncio.to_thread(mark.exists):
            # In this order: cancelled again after a crash, it is rather given back twice than never.
            await asyncio.to_thread(mark.unlink)
            await self.withdraw(job)

    def _give_back(self, job: Job) -> None:
        mark = self._work / job.id / _GIVEN_BACK
        if mark.exists() or not any((mark.parent / image.source).exists() for image in job.images):
            return
        self._lay_down(job)
        mark.touch()
        log.info("its picture lies in rejected", extra={"job": job.short, "action": "given-back"})

    def _pay(self, job: Job, folder: Path) -> None:
        """Give back the picture of a job that failed, if that is still owed."""
        if not owed.is_owed(folder):
            return
        if all((folder / image.source).exists() for image in job.images):
            self._lay_down(job)
        else:
            about = {"job": job.short, "action": "not-returned"}
            log.warning("its picture is gone, so none is put into rejected", extra=about)

    def _lay_down(self, job: Job) -> None:
        """Lay it into the first place that takes it; where none does, say what is wrong with each."""
        hindered: list[str] = []
        for home in self._homes:
            try:
                self._lay(job, home)
            except (OSError, NotReadable) as error:
                reason = error.reason.sentence if isinstance(error, NotReadable) else _words(error)
                hindered.append(f"{home}/rejected ({reason.rstrip('.')})")
            else:
                return
        raise NotReadable(
            f"The picture could not be put into {', nor into '.join(hindered)}.",
            "See to that folder; it is tried again by itself. The job's page has the picture.",
            key="not-returned",
        )

    def _lay(self, job: Job, home: Path) -> None:
        folder = rejected_from(job.folder)
        with Beneath(home) as tree:
            self._need_present(tree, home)
            tree.make(folder)
            # One entry a job: that of an earlier try, else the first names that nobody has.
            entry = _laid(tree, folder, job)
            if entry is None or entry.changed(tree, folder):
                free = (each for each in _entries(job) if not each.taken(tree, folder))
                entry = next(free)
            for image, name in zip(entry.images, entry.pictures, strict=True):
                if not tree.exists(joined(folder, name)):
                    source = self._work / job.id / image.source
                    with source.open("rb") as file, tree.replacing(joined(folder, name)) as made:
                        shutil.copyfileobj(file, made)
            if entry.ticket and not tree.exists(joined(folder, entry.ticket)):
                tree.write(joined(folder, entry.ticket), ticket_text.write(job.ticket))
            title, *others = dict.fromkeys(entry.names) or [entry.title]
            explain(
                tree,
                folder,
                Refusal(
                    name=title,
                    reason=job.reason,
                    where=_where(job),
                    others=tuple(others),
                    folder=job.folder,
                    ending=_ending(job),
                    # What was rejected would be rejected again.
                    job=job.short if job.state is not State.REJECTED else "",
                ),
            )

    def _need_present(self, tree: Beneath, home: Path) -> None:
        """Raise where a folder is not the one that it was: below an absent mount nothing may be made."""
        if home != self._inbox:
            self._outbox.check(tree)
        elif not tree.is_folder(CLAIMED):
            # The inbox got it at the start, and the empty folder under a share has none.
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(home / CLAIMED))

    def _take_away(self, job: Job, home: Path) -> None:
        folder = rejected_from(job.folder)
        with contextlib.suppress(FileNotFoundError), Beneath(home) as tree:
            if (entry := _laid(tree, folder, job)) is not None:
                entry.remove(tree, folder, job)
                tree.unlink(reason_of(tree, folder, entry.title, job.short))


class _Entry(msgspec.Struct, frozen=True):
    """The names that a job's pictures and its ticket may have in `rejected`; one entry for each job."""

    title: str  # of the picture that the reason is about
    pictures: tuple[str, ...]
    ticket: str  # "" where the job's ticket says nothing
    images: tuple[SourceImage, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Every file of the entry but the reason."""
        return (*self.pictures, *([self.ticket] if self.ticket else []))

    def taken(self, tree: Beneath, folder: str) -> bool:
        """Return whether something stands at one of the names."""
        return any(tree.exists(joined(folder, name)) for name in self.names)

    def changed(self, tree: Beneath, folder: str) -> bool:
        """Return whether a person has put something else in a picture's place."""
        return any(
            _hash(tree, joined(folder, name)) not in ("", image.sha256)
            for name, image in zip(self.pictures, self.images, strict=True)
        )

    def remove(self, tree: Beneath, folder: str, job: Job) -> None:
        """Remove what is still as the service laid it."""
        for name, image in zip(self.pictures, self.images, strict=True):
            if _hash(tree, joined(folder, name)) == image.sha256:
                tree.unlink(joined(folder, name))
        text = ticket_text.write(job.ticket)
        with contextlib.suppress(OSError, Linked):
            path = joined(folder, self.ticket)
            if self.ticket and tree.read(path, len(text) + 1, alone=True) == text:
                tree.unlink(path)


def _laid(tree: Beneath, folder: str, job: Job) -> _Entry | None:
    """Find where an earlier failure of a job laid its files."""
    for entry in itertools.islice(_entries(job), _MOST_NAMES):
        if reason_of(tree, folder, entry.title, job.short):
            return entry
    return None


def _entries(job: Job) -> Iterator[_Entry]:
    """Give the names that a job's files may have, one set after the other; later ones where others are taken."""
    # A loop has one picture twice.
    images = tuple({(image.name, image.sha256): image for image in job.images}.values())
    names = [fitted(*split(image.name.rpartition("/")[2])) for image in images]
    if len(names) == 2 and [classify(name).half for name in names] != list(HALVES):
        # Uploaded under other names; in the inbox only these make them a pair.
        ends = (f".{half}{split(name)[1]}" for half, name in zip(HALVES, names, strict=True))
        names = [fitted(job.stem, end) for end in ends]
    ticket = ""
    if names and ticket_text.write(job.ticket):
        first = classify(names[0])
        # A pair's ticket bears the stem of both.
        ticket = fitted(first.stem or split(names[0])[0], ".toml")
    for number in itertools.count():
        more = "" if not number else f"-{job.short}{f' ({number})' if number > 1 else ''}"
        pictures = tuple(renamed(name, more) for name in names)
        yield _Entry(
            title=pictures[0] if pictures else f"{job.stem}-{job.short}{more}",
            pictures=pictures,
            ticket=renamed(ticket, more) if ticket else "",
            images=images,
        )


def _hash(tree: Beneath, path: str) -> str:
    """Hash a plain file of the folder; "" where there is nothing, "?" for anything else."""
    try:
        if not tree.exists(path):
            return ""
        return tree.sha256(path, alone=True)
    except (OSError, Linked):
        return "?"


def _ending(job: Job) -> Ending:
    """Say what became of a job."""
    if job.state is State.REJECTED:
        return "was rejected"
    if job.state is not State.CANCELLED:
        return "failed"
    declined = job.reason is not None and job.reason.key == "declined"
    return "was declined" if declined else "was cancelled"


def _where(job: Job) -> str:
    """Say which job failed, and in which of its stages."""
    broken = next((stage for stage in job.stages if stage.state is Progress.FAILED), None)
    return f"job {job.short}, stage {broken.name}" if broken else f"job {job.short}"


def _words(error: OSError) -> str:
    return error.strerror or str(error)
