"""What can be asked of the ledger: jobs by their names, states and words, and how many there are."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable
from typing import TypeVar

import msgspec

from ...domain.job import Job, State
from ...domain.query import (
    ENDED_BADLY,
    FARTHEST,
    NEWEST,
    JobQuery,
    RecentFailures,
    Row,
    Waiting,
    waiting,
)
from ...errors import NotFound
from ..rows import unknown
from .database import Database
from .query import sql

T = TypeVar("T")

WALK = 500  # rows at a time, where all of them may have to be looked at
_REFILL = 64  # rows at a time, where some of a page cannot be read


class SqliteIndex(Database):
    """The reading side; a row that cannot be read blinds no list."""

    async def find(self, prefix: str) -> Job:
        """Find a job by its id or the beginning of it, as people write it."""

        def work() -> Job:
            found = self._db.execute(
                "SELECT id, body FROM jobs WHERE id >= ? AND id < ? LIMIT 2", (prefix, prefix + "g")
            ).fetchall()
            if len(found) > 1:
                raise NotFound(f"{prefix!r} is the beginning of several jobs.", "Give more of it.")
            if not found or not prefix:
                raise unknown(prefix)
            return self._rows.read(*found[0])

        return await self._run(work)

    async def oldest(self, now: float, *, without: Iterable[str] = ()) -> Job | None:
        """Find the oldest queued job whose time has come, leaving out those already in hand."""
        skip = list(without)

        def work() -> Job | None:
            # One more row cannot be read with each turn, and is left out in the next.
            while True:
                row = self._db.execute(
                    "SELECT id, body FROM jobs WHERE state = 'queued'"
                    " AND NOT (not_before > ? AND not_before <= ?)"
                    " AND id NOT IN (SELECT value FROM json_each(?)) ORDER BY seq LIMIT 1",
                    (now, now + FARTHEST, _listed((*skip, *self.unreadable))),
                ).fetchone()
                if row is None:
                    return None
                if (job := self._rows.readable(*row)) is not None:
                    return job

        return await self._run(work)

    async def waiting(
        self, now: float, limit: int, *, after: Waiting | None = None
    ) -> tuple[Waiting, ...]:
        """List the queued jobs whose time has come: the highest priority first, then the first to arrive.

        A page goes on after the last one of the page before; a short page is the last.
        """
        begin = (-after.priority, after.seq) if after else (-NEWEST, 0)

        def work() -> tuple[Waiting, ...]:
            rows = self._db.execute(
                "SELECT seq, id, body FROM jobs INDEXED BY jobs_in_line"
                " WHERE state = 'queued' AND (rank, seq) > (?, ?)"
                " AND NOT (not_before > ? AND not_before <= ?)"
                " AND id NOT IN (SELECT value FROM json_each(?)) ORDER BY rank, seq",
                (*begin, now, now + FARTHEST, _listed(self.unreadable)),
            )
            found = (
                waiting(seq, job)
                for seq, job_id, body in rows
                if (job := self._rows.readable(job_id, body)) is not None
            )
            return tuple(itertools.islice(found, limit))

        return await self._run(work)

    async def soonest(self) -> float | None:
        """Say when the first postponed job's time comes."""

        def work() -> float | None:
            row = self._db.execute(
                "SELECT min(not_before) FROM jobs INDEXED BY jobs_in_line"
                " WHERE state = 'queued' AND not_before > 0"
                # Nothing is to be done when their time comes, again and again.
                " AND id NOT IN (SELECT value FROM json_each(?))",
                (_listed(self.unreadable),),
            ).fetchone()
            return None if row[0] is None else float(row[0])

        return await self._run(work)

    async def find_duplicate(self, fingerprint: str) -> Job | None:
        """Find the newest job made from the same bytes and ticket that has not come to nothing."""

        def work() -> Job | None:
            return self._rows.first(
                self._db.execute(
                    "SELECT id, body FROM jobs WHERE fingerprint = ? AND fingerprint <> ''"
                    " AND state NOT IN ('failed', 'cancelled', 'rejected') ORDER BY seq DESC",
                    (fingerprint,),
                )
            )

        return await self._run(work)

    async def find_half(self, folder: str, stem: str) -> Job | None:
        """Find the job that waits for its other half."""

        def work() -> Job | None:
            return self._rows.first(
                self._db.execute(
                    "SELECT id, body FROM jobs WHERE state = 'waiting' AND folder = ? AND stem = ?"
                    " ORDER BY seq",
                    (folder, stem),
                )
            )

        return await self._run(work)

    async def find_publisher(self, sha256: str) -> Job | None:
        """Find the job that published these bytes, if they are our own."""

        def work() -> Job | None:
            return self._rows.first(
                self._db.execute(
                    "SELECT id, body FROM outputs JOIN jobs ON jobs.id = outputs.job"
                    " WHERE sha256 = ?",
                    (sha256,),
                )
            )

        return await self._run(work)

    async def page(self, query: JobQuery) -> list[Row]:
        """List jobs, newest first, a page at a time."""

        def work() -> list[Row]:
            found: list[Row] = []
            asked = query
            while True:
                rows = self._db.execute(*sql(asked)).fetchall()
                for seq, job_id, body in rows:
                    if (job := self._rows.readable(job_id, body)) is not None:
                        found.append(Row(seq, job))
                if len(rows) < asked.limit or len(found) >= query.limit:
                    return found[: query.limit]
                # A short page would say that there is no further one.
                asked = msgspec.structs.replace(query, limit=_REFILL, before=rows[-1][0])

        return await self._run(work)

    async def all_in(self, *states: State) -> list[Job]:
        """List every job in some states, oldest first; for the few that are under way."""

        def work() -> list[Job]:
            rows = self._db.execute(
                "SELECT id, body FROM jobs WHERE state IN (SELECT value FROM json_each(?))"
                " ORDER BY seq",
                (_listed(states),),
            )
            return [job for row in rows if (job := self._rows.readable(*row)) is not None]

        return await self._run(work)

    async def recent_failures(self, since: float, limit: int) -> RecentFailures:
        """Count the jobs that failed or were rejected after a moment, and give the last of them to end."""
        where = (
            "jobs INDEXED BY jobs_ended_badly WHERE state IN ('failed', 'rejected') AND updated > ?"
        )

        def work() -> RecentFailures:
            numbers = self._db.execute(
                "SELECT count(*) FILTER (WHERE state = 'failed'),"  # noqa: S608 # our own words
                f" count(*) FILTER (WHERE state = 'rejected') FROM {where}",
                (since,),
            ).fetchone()
            rows = self._db.execute(
                f"SELECT id, body FROM {where} ORDER BY updated DESC, state DESC, seq DESC",  # noqa: S608
                (since,),
            )
            found = (job for row in rows if (job := self._rows.readable(*row)) is not None)
            return RecentFailures(
                counts=dict(zip(ENDED_BADLY, numbers, strict=True)),
                last=tuple(itertools.islice(found, limit)),
            )

        return await self._run(work)

    async def accepted(self) -> dict[tuple[str, str], int]:
        """Count the jobs under way by their recipe and the version that they were accepted with."""

        def work() -> dict[tuple[str, str], int]:
            rows = self._db.execute(
                "SELECT recipe, json_extract(body, '$.recipe_version'), count(*) FROM jobs"
                " WHERE state IN ('waiting', 'queued', 'running', 'review') AND json_valid(body)"
                " GROUP BY 1, 2"
            )
            return {(recipe, version): jobs for recipe, version, jobs in rows if version}

        return await self._run(work)

    async def referenced(self, versions: Iterable[str]) -> set[str]:
        """Tell which of some recipe versions a job names, ended ones included: they can be reproduced.

        While there is a row that nothing can be made of, it may name any of them.
        """
        wanted, found = set(versions), set[str]()
        last = sys.maxsize

        def work() -> int | None:
            rows = self._db.execute(
                "SELECT seq, CASE WHEN json_valid(body) THEN json_extract(body, '$.recipe_version')"
                " ELSE 0 END FROM jobs WHERE seq < ? ORDER BY seq DESC LIMIT ?",
                (last, WALK),
            ).fetchall()
            if any(version == 0 for _, version in rows):
                return None
            found.update(version for _, version in rows if version in wanted)
            return rows[-1][0] if len(rows) == WALK else 0

        # In pieces, so that a long ledger keeps nobody else waiting; mostly the newest jobs name them all.
        while last and found < wanted:
            if (reached := await self._run(work)) is None:
                return wanted
            last = reached
        return found

    async def counts(self) -> dict[State, int]:
        """Say how many jobs are in each state."""

        def work() -> dict[State, int]:
            rows = self._db.execute("SELECT state, sum(jobs) FROM tally GROUP BY state")
            found = dict(rows.fetchall())
            return {state: found.get(str(state), 0) for state in State}

        return await self._run(work)

    async def tally(self) -> dict[tuple[str, State], int]:
        """Say how many jobs of each recipe are in each state."""

        def work() -> dict[tuple[str, State], int]:
            rows = self._db.execute("SELECT recipe, state, jobs FROM tally")
            known = {str(state): state for state in State}
            return {(recipe, known[state]): n for recipe, state, n in rows if state in known}

        return await self._run(work)


def _listed(values: Iterable[str]) -> str:
    return msgspec.json.encode(list(values)).decode()
