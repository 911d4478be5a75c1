"""Finished folders in the outbox, as retention sees them where an operator wants them to go."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Callable
from pathlib import Path

from ..beneath import Beneath
from ..domain import steps
from ..domain.job import State
from ..errors import IllegalTransition, NotFound
from ..file_names import is_job_folder
from ..store.protocol import Journal
from .keep import KeptKind, KeptThing
from .outbox import owner
from .work import clear, size_of, take_away


class PublishedVideos:
    """Finished jobs' folders; one that its ledger does not know, or names otherwise, is left alone."""

    kind = KeptKind.OUTBOX

    def __init__(self, root: Path, ledger: Journal, clock: Callable[[], float]) -> None:
        self._root = root
        self._ledger = ledger
        self._clock = clock

    async def clear(self) -> None:
        """Finish the removals that an earlier process began."""
        await asyncio.to_thread(self._clear)

    async def look(self, known: Callable[[str, str], int | None]) -> list[KeptThing]:
        """Find every finished folder; `known` gives a size that was measured before."""
        return await asyncio.to_thread(self._look, known)

    async def remove(self, found: KeptThing) -> bool:
        """Remove a finished job's folder, if it is one; the ledger says so first."""
        name = found.name
        try:
            job = await self._ledger.get(await asyncio.to_thread(self._owner, name))
            if job.state is not State.DONE or job.outbox != name:
                return False
            await self._ledger.change(job.id, lambda j: steps.let_go(j, self._clock()))
        except (NotFound, IllegalTransition):
            return False
        await asyncio.to_thread(self._remove, name, job.id)
        return True

    def _clear(self) -> None:
        with Beneath(self._root) as tree:
            clear(tree)

    def _look(self, known: Callable[[str, str], int | None]) -> list[KeptThing]:
        found: list[KeptThing] = []
        with Beneath(self._root) as tree:
            for name, status in tree.entries(""):
                if not (stat.S_ISDIR(status.st_mode) and is_job_folder(name)):
                    continue
                # What people put into a folder, or take out of it, makes it young again.
                mark, since = str(status.st_mtime_ns), status.st_mtime
                size = known(name, mark)
                if size is None:
                    size = size_of(tree, name)
                found.append(
                    KeptThing(kind=self.kind, name=name, mark=mark, since=since, size=size)
                )
        return found

    def _owner(self, name: str) -> str:
        with Beneath(self._root) as tree:
            return owner(tree, name)

    def _remove(self, name: str, job_id: str) -> None:
        with Beneath(self._root) as tree:
            take_away(tree, name, job_id)
