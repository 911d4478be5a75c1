"""Work folders, one a job: how they are removed, and which of them have ended."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import re
import stat
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import msgspec

from ..beneath import Beneath, Linked
from ..domain import steps
from ..domain.job import ENDED, Job, State
from ..errors import IllegalTransition, NotFound
from ..store.protocol import Journal
from .keep import KeptKind, KeptThing

# A folder on its way out; whoever lists folders by their names passes it by.
_BEING_REMOVED = re.compile(r"\.[0-9a-f]{32}\.removed")
_AT_ONCE = 64  # folders that one thread looks at before the next one's turn


def take_away(tree: Beneath, name: str, job_id: str) -> None:
    """Remove a folder with all that it holds: hidden by one rename first, so that nobody ever sees half of it."""
    above, slash, _ = name.rpartition("/")
    hidden = f"{above}{slash}.{job_id}.removed"
    try:
        tree.rename(name, hidden)
    except FileNotFoundError:
        pass  # an earlier try came as far as this
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR, errno.EISDIR):
            raise
        tree.remove(hidden)
        tree.rename(name, hidden)
    tree.remove(hidden)


def clear(tree: Beneath) -> None:
    """Finish the removals that an earlier process began; what hinders one of them is raised after the others."""
    going = [name for name, _ in tree.entries("") if _BEING_REMOVED.fullmatch(name)]
    hindered: OSError | None = None
    for name in going:
        try:
            tree.remove(name)
        except OSError as error:
            hindered = hindered or error
    if hindered is not None:
        raise hindered


def size_of(tree: Beneath, name: str) -> int:
    """Measure what removing a folder would free; a file that has a second name elsewhere frees nothing."""
    total = 0
    for path in tree.files(name):
        with contextlib.suppress(FileNotFoundError, Linked):
            found = tree.stat(f"{name}/{path}")
            if found.st_nlink == 1:
                total += found.st_blocks * 512
    return total


class WorkFolders:
    """The folder that holds one folder for each job; every method blocks on the disk.

    Nothing in it is followed that is a link, though nobody but the service should write here.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def names(self) -> list[str]:
        """Name the folders of jobs."""
        try:
            with Beneath(self._root) as tree:
                found = tree.entries("")
        except FileNotFoundError:
            return []
        return [
            name
            for name, status in found
            if stat.S_ISDIR(status.st_mode) and not name.startswith(".")
        ]

    def size(self, job_id: str) -> int:
        """Measure a folder; one that is gone has no size."""
        try:
            with Beneath(self._root) as tree:
                return size_of(tree, job_id)
        except (FileNotFoundError, Linked):
            return 0

    def remove(self, job_id: str) -> None:
        """Remove a job's folder; one that is gone is well."""
        with contextlib.suppress(FileNotFoundError), Beneath(self._root) as tree:
            take_away(tree, job_id, job_id)

    def clear(self) -> None:
        """Finish the removals that an earlier process began."""
        with contextlib.suppress(FileNotFoundError), Beneath(self._root) as tree:
            clear(tree)


class EndedWork:
    """The work of jobs that have ended, as retention sees it; the ledger says which those are."""

    kind = KeptKind.WORK

    def __init__(
        self,
        folders: WorkFolders,
        ledger: Journal,
        clock: Callable[[], float],
        *,
        give_back: Callable[[Job], Awaitable[None]],
    ) -> None:
        self._folders = folders
        self._ledger = ledger
        self._give_back = give_back  # a cancelled job's picture, whose last copy may lie here
        self._clock = clock

    async def clear(self) -> None:
        """Remove what nobody needs: work of published jobs, and what an earlier process began to remove."""
        hindered: OSError | None = None
        try:
            await asyncio.to_thread(self._folders.clear)
        except OSError as error:
            hindered = error
        for name in await asyncio.to_thread(self._folders.names):
            with contextlib.suppress(NotFound):
                job = await self._ledger.get(name)
                if job.state is State.DONE or (job.removed and job.state in ENDED):
                    try:
                        await asyncio.to_thread(self._folders.remove, name)
                    except OSError as error:
                        hindered = hindered or error
        if hindered is not None:
            raise hindered

    async def look(self, known: Callable[[str, str], int | None]) -> list[KeptThing]:
        """Find every work folder; `known` gives a size that was measured before."""
        found: list[KeptThing] = []
        names = await asyncio.to_thread(self._folders.names)
        for start in range(0, len(names), _AT_ONCE):
            some = [await self._found(name) for name in names[start : start + _AT_ONCE]]
            found += await asyncio.to_thread(self._measured, some, known)
        return found

    async def remove(self, found: KeptThing) -> bool:
        """Remove a job's work, unless the job is needed again; the ledger says so first.

        From then on a retry says that the work is gone: of the two, one comes first.
        """
        try:
            await self._give_back(await self._ledger.get(found.name))
            step = partial(_let_go, mark=found.mark, now=self._clock())
            await self._ledger.change(found.name, step)
        except (NotFound, IllegalTransition):
            return False
        await asyncio.to_thread(self._folders.remove, found.name)
        return True

    async def _found(self, name: str) -> KeptThing:
        try:
            job = await self._ledger.get(name)
        except NotFound:  # being made just now, or its row cannot be read
            return KeptThing(kind=self.kind, name=name, mark="", held=True)
        return KeptThing(
            kind=self.kind,
            name=name,
            mark=repr(job.updated),
            since=job.updated,
            # A finished job's folder is the publisher's, who removes it just now.
            held=job.state not in ENDED or job.state is State.DONE,
        )

    def _measured(
        self, some: list[KeptThing], known: Callable[[str, str], int | None]
    ) -> list[KeptThing]:
        return [each if each.held else _sized(each, known, self._folders.size) for each in some]


def _let_go(job: Job, *, mark: str, now: float) -> Job:
    if repr(job.updated) != mark:
        raise IllegalTransition(f"Job {job.short} was retried meanwhile.")
    return steps.let_go(job, now)


def _sized(
    found: KeptThing, known: Callable[[str, str], int | None], measure: Callable[[str], int]
) -> KeptThing:
    size = known(found.name, found.mark)
    return msgspec.structs.replace(found, size=measure(found.name) if size is None else size)
