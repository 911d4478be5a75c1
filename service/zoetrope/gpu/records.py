"""What the helper knows of GPUs and profiles, in memory and in its book: changed here, and written down here."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator

import msgspec

from ..errors import Reason
from . import probation
from .book import Book, Page
from .book_file import BookError, BookFile
from .probation import Record, Trust
from .profile import ProfilePlan

log = logging.getLogger("zoetrope.gpu")


class Records:
    """The book while the helper runs.

    What makes a GPU faster waits until it is written down (`written`). What makes it safe never waits for the disk
    (`save`): it counts at once, and is written as soon as that is possible.
    """

    def __init__(self, file: BookFile, clock: Callable[[], float]) -> None:
        self.book: Book = file.read()
        self.problem: Reason | None = None  # why the disk does not have what counts
        self._file = file
        self._clock = clock

    @property
    def closed(self) -> Reason | None:
        """Why every profile is disabled, if an earlier book could not be read."""
        return self.book.closed.reason if self.book.closed is not None else None

    def open(self) -> None:
        """Let profiles be used again, all of them untried; root's decision alone."""
        with self.written():
            self.book = msgspec.structs.replace(self.book, closed=None)

    def page(self, uuid: str) -> Page:
        """Give what is known of a GPU."""
        return self.book.page(uuid)

    def of(self, uuid: str, worked_out: ProfilePlan) -> Record:
        """Give the record that counts for a profile on a GPU."""
        if (closed := self.book.closed) is not None:
            return Record(
                fingerprint=worked_out.fingerprint,
                trust=Trust.DISABLED,
                why=closed.reason,
                since=closed.since,
            )
        known = self.page(uuid).records.get(worked_out.profile)
        return probation.fresh(known, worked_out.fingerprint, self._clock())

    def note(self, uuid: str, name: str, event: probation.Event) -> None:
        """Something happened under a profile that is known."""
        if (record := self.page(uuid).records.get(name)) is None:
            return
        before = record.trust
        now = self.remember(uuid, name, record, event)
        self.save()
        if now.trust is not before:
            extra = {"action": "gpu-trust", "card": uuid}
            log.info("%s: profile %s is now %s", uuid, name, now.trust.word, extra=extra)

    def remember(
        self, uuid: str, name: str, record: Record, event: probation.Event | None = None
    ) -> Record:
        """Change a record; it is not written down yet."""
        now = probation.after(record, event, self._clock()) if event is not None else record
        self.book = self.book.with_page(uuid, self.page(uuid).with_record(name, now))
        return now

    def change(self, uuid: str, **changes: object) -> None:
        """Change a page; it is not written down yet."""
        page: Page = msgspec.structs.replace(self.page(uuid), **changes)
        self.book = self.book.with_page(uuid, page)

    @contextlib.contextmanager
    def written(self) -> Iterator[None]:
        """What is changed in here is on the disk afterwards; where the disk does not take it, nothing is changed."""
        before = self.book
        try:
            yield
            self._file.write(self.book)
        except BaseException:
            self.book = before
            raise
        self.problem = None

    def save(self) -> None:
        """Write it down; where the disk does not take it, it counts all the same, and is tried again later."""
        try:
            self._file.write(self.book)
        except BookError as error:
            if self.problem != error.reason:
                log.error("%s", error, extra={"action": "book"})  # noqa: TRY400 - the sentence says it all
            self.problem = error.reason
        else:
            self.problem = None

    def save_again(self) -> None:
        """Try again what the disk did not take."""
        if self.problem is not None:
            self.save()
