"""Answers to reviews that people give on the share alone, by moving a clip's folder."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from ..beneath import Beneath, Linked
from ..domain.job import Job, State
from ..errors import IllegalTransition, NotFound, ZoetropeError
from ..host import trouble
from ..store.protocol import JobStore
from ..store.retry import until_answered
from .review_folder import DECLINED, REVIEW, ReviewFolder, answers, find, shown

log = logging.getLogger("zoetrope.jobs")

# Between two looks. A folder counts when two of them saw it unchanged: one that was moved by mistake, and
# back, is no answer, and one that a program copies instead of moving it has all its files by then.
PAUSE = 3.0


class ShareAnswers:
    """Looks at the folders of answers for as long as a review is open; the ledger decides what an answer is worth."""

    def __init__(
        self,
        root: Path,
        *,
        ledger: JobStore,
        approve: Callable[[str], Awaitable[Job]],
        decline: Callable[[str, str], Awaitable[Job]],
        tidy: Callable[[str], None],
        work: Path,
        pause: float = PAUSE,
    ) -> None:
        self._root = root
        self._ledger = ledger
        self._approve = approve
        self._decline = decline
        self._tidy = tidy
        self._work = work
        self._pause = pause
        self._open: set[str] = set()
        self._unseen = ""  # why nothing can be seen, as it was last logged
        self._before: frozenset[ReviewFolder] = frozenset()
        self._stale: set[ReviewFolder] = set()  # of reviews that are not open
        self._doubted: set[str] = set()  # jobs whose folders lie in both
        self._wake = asyncio.Event()
        ledger.on_change(lambda _, job: self._note(job))

    async def run(self) -> None:
        """Take answers until cancelled; those given while the service was not there count as well."""
        await self.learn()
        while True:
            found = await self.look()
            if not (self._open or found - self._stale):
                self._wake.clear()
                await self._wake.wait()
            await asyncio.sleep(self._pause)

    async def learn(self) -> None:
        """Learn which reviews an earlier process left open."""
        for job in await until_answered(lambda: self._ledger.all_in(State.REVIEW)):
            self._note(job)
        # A process that was killed over an answer left its folder where it was shown.
        for folder in await asyncio.to_thread(self._look, REVIEW):
            if folder.job not in self._open:
                self._tidy(folder.job)

    async def look(self) -> frozenset[ReviewFolder]:
        """Look once, take what the look before saw as well, and give what was found."""
        found = await asyncio.to_thread(self._look)
        for answer in found & self._before:
            await self._take(answer, found)
        self._before = found
        self._stale &= found
        return found

    def _note(self, job: Job) -> None:
        if job.state is State.REVIEW:
            self._open.add(job.id)
            self._wake.set()
        else:
            self._open.discard(job.id)

    def _look(self, place: str = "") -> frozenset[ReviewFolder]:
        try:
            with Beneath(self._root) as tree:
                found = frozenset(find(tree, place)) if place else answers(tree)
        except (OSError, Linked) as error:
            # Reviews can be answered elsewhere; what is wrong with the outbox is said where it stops a job.
            reason = str((error.reason if isinstance(error, Linked) else trouble(error)) or error)
            if reason != self._unseen:
                log.warning(
                    "no answers on the share: %s", reason, extra={"action": "answers-unseen"}
                )
            self._unseen = reason
            return frozenset()
        self._unseen = ""
        return found

    async def _take(self, answer: ReviewFolder, found: frozenset[ReviewFolder]) -> None:
        if answer in self._stale:
            return
        about = {"job": answer.job[:8], "action": "answered-on-the-share"}
        review = await asyncio.to_thread(shown, self._work / answer.job)
        if answer.job not in self._open or (review and answer.review not in ("", review.id)):
            # It was answered otherwise, and what the service put there goes. A copy stays.
            self._stale.add(answer)
            self._tidy(answer.job)
            said = "%s is no answer: it names no review that is open"
            log.info(said, answer.path, extra=about)
            return
        if review is None:
            return  # the folder of the review that is open is not built yet
        if any(
            other.is_of(answer.job, review.id) and other.approved != answer.approved
            for other in found
        ):
            if answer.job not in self._doubted:
                said = "its folder lies in both, approved and declined, so neither counts"
                log.warning(said, extra=about)
            self._doubted.add(answer.job)
            return
        self._doubted.discard(answer.job)
        said = "approved" if answer.approved else "declined"
        try:
            if answer.approved:
                await self._approve(answer.job)
            else:
                why = f"Declined on the share: its folder was moved to {DECLINED}."
                await self._decline(answer.job, why)
        except (IllegalTransition, NotFound):
            return  # another answer came between
        except ZoetropeError as error:
            log.warning("the answer waits: %s", error, extra=about)
            return
        log.info("%s on the share", said, extra=about)
