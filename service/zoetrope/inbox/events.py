"""What the kernel says about the inbox: a hint where to look, collected until somebody takes it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Mapping

from watchfiles import Change, awatch

from ..errors import Reason
from .entry import EntryKind, classify

log = logging.getLogger("zoetrope.inbox")

_STEP_MS = 100  # how often watchfiles looks whether a burst is over; each look wakes the processor
_BURST_MS = 400
_LONGEST_PAUSE = 60.0


# By their paths below the root, each with device and number.
Folders = Mapping[str, tuple[int, int]]


class Events:
    """Listens to the folders of one tree; `on_change` is called when there is something to take.

    Each is named: a listener that finds the folders below by itself follows every link that a member puts
    there, and walks the whole disk for a link to its root.
    """

    def __init__(
        self,
        root: str,
        on_change: Callable[[], None],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._root = root
        self._on_change = on_change
        self._clock = clock
        self._hints: dict[str, set[Change]] = {}
        self._task: asyncio.Task[None] | None = None
        self._folders: Folders = {}
        self._failures = 0
        self.retry_at = 0.0  # after a failure, listening is tried again then
        self.root_changed = False  # the folder itself went away or was replaced
        self.problem: Reason | None = None

    @property
    def listening(self) -> bool:
        """Whether events can be expected."""
        return self._task is not None

    def covers(self, folders: Folders) -> bool:
        """Whether all of these folders are listened to, and none is another one by now."""
        return all(self._folders.get(path) == mark for path, mark in folders.items())

    def made_anew(self, path: str) -> None:
        """A folder was made, perhaps where another was, with its number: whatever was known of it is void."""
        within = f"{path}/"
        left = {p: m for p, m in self._folders.items() if p != path and not p.startswith(within)}
        self._folders = left

    async def start(self, folders: Folders) -> None:
        """Listen from now on to the root and these folders; what happens after the return is heard."""
        self._folders = dict(folders)
        self._task = asyncio.create_task(self._listen())
        await asyncio.sleep(0)

    async def stop(self) -> None:
        """Stop listening, and forget what was heard."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._hints.clear()
        self.retry_at = 0.0

    def take(self) -> dict[str, set[Change]]:
        """Give the paths that something happened to, relative to the root, and start afresh."""
        hints, self._hints = self._hints, {}
        return hints

    async def _listen(self) -> None:
        try:
            async for changes in awatch(
                *self._paths(),
                recursive=False,
                watch_filter=None,
                debounce=_BURST_MS,
                step=_STEP_MS,
                rust_timeout=60_000,
                force_polling=False,
                ignore_permission_denied=True,
            ):
                self._failures = 0
                self.problem = None
                self._note(changes)
        except Exception as error:  # events are a hint; whatever breaks them, scans go on
            self._explain(error)
        self._failures += 1
        self.retry_at = self._clock() + min(_LONGEST_PAUSE, 2.0**self._failures)
        self._task = None
        self.root_changed = True
        self._on_change()

    def _paths(self) -> list[str]:
        """Give the whole paths; what has no name in UTF-8 would break it for all, and is found by scans."""
        paths = [
            self._root,
            *(f"{self._root.rstrip('/')}/{path}" for path in self._folders if path),
        ]
        return [path for path in paths if path.isascii() or _is_text(path)]

    def _note(self, changes: Iterable[tuple[Change, str]]) -> None:
        prefix = f"{self._root.rstrip('/')}/"
        for change, path in changes:
            if not path.startswith(prefix):
                self.root_changed = True
            elif classify(path.removeprefix(prefix)).kind is not EntryKind.IGNORED:
                self._hints.setdefault(path.removeprefix(prefix), set()).add(change)
            else:
                continue
            self._on_change()

    def _explain(self, error: Exception) -> None:
        # anyio wraps what happened in its task group.
        inner = getattr(error, "exceptions", (error,))[0]
        # A name that is not UTF-8 breaks watchfiles; the scan that follows sees it all the same.
        if "Unable to decode path" in str(inner) or isinstance(inner, FileNotFoundError):
            return
        self.problem = Reason(
            "inbox-events",
            f"The kernel reports no changes in {self._root} ({inner}); it is polled instead.",
            "If inotify watches ran out, raise fs.inotify.max_user_watches.",
        )
        log.warning("%s", self.problem, extra={"action": "inbox-events"})


def _is_text(path: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in path)
