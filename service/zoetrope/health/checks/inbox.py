"""Are pictures seen when they are dropped?"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from ...errors import Reason
from ...inbox.status import Held
from ...runtime import Runtime
from ..base import CheckResult, ago

NAMED = 3  # unreadable files that are named; the rest is counted


class InboxCheck:
    """Looks at the inbox folder through the eyes of the watcher and of the intake."""

    name = "inbox"

    def __init__(self, runtime: Runtime, *, now: Callable[[], float] = time.time) -> None:
        self._runtime = runtime
        self._now = now

    async def look(self) -> CheckResult:
        """Say whether the folder is watched and everything in it is valid."""
        settings = self._runtime.settings.inbox
        if self._runtime.watcher is None:
            return CheckResult(
                name=self.name,
                level="failing",
                found=f"{settings.path} is not watched; pictures stay in it.",
                next_step="Fix what the ledger check reports; the inbox is opened after it.",
            )
        status = self._runtime.watcher.status
        age = self._now() - status.last_scan if status.last_scan is not None else 0.0
        stale = age > stale_after(settings.rescan_seconds)
        if status.problem is not None:
            # While the folder is still looked through, pictures are taken in spite of the problem.
            working = status.mode in ("inotify", "poll") and status.last_scan is not None
            return CheckResult(
                name=self.name,
                level="degraded" if working and not stale else "failing",
                found=status.problem.sentence,
                next_step=status.problem.next_step
                or f"Check the folder and its permissions: ls -ld {settings.path}",
            )
        if stale:
            return CheckResult(
                name=self.name,
                level="failing",
                found=f"{settings.path} was last scanned {ago(age)} ago.",
                next_step=(
                    "A share that hangs may be the cause: run ls on the folder; if it responds, restart zoetrope."
                ),
            )
        taking = self._runtime.intake.status if self._runtime.intake else None
        if taking is not None and taking.problem is not None:
            return CheckResult(
                name=self.name,
                level="failing",
                found=f"No pictures are taken: {taking.problem.sentence}",
                next_step=taking.problem.next_step or "Fix it; the service resumes by itself.",
            )
        # All of them: what one user left there must not hide what another user waits for.
        found = [
            *_held(taking.held if taking is not None else ()),
            *([_as_finding(notice)] if (notice := await self._notice()) is not None else []),
            *([_unreadable(status.unreadable, str(settings.path))] if status.unreadable else []),
        ]
        if found:
            return CheckResult(
                name=self.name,
                level="degraded",
                found=" ".join(sentence for sentence, _ in found),
                next_step=" ".join(dict.fromkeys(step for _, step in found if step)),
            )
        how = {"inotify": "by events", "poll": "by polling"}.get(status.mode, status.mode)
        return CheckResult(
            name=self.name,
            level="ok",
            found=f"{settings.path} is watched {how}.{_alone(status.alone)}",
        )

    async def _notice(self) -> Reason | None:
        """Say what is to be fixed in the folders, unless someone has done so meanwhile."""
        intake = self._runtime.intake
        if intake is not None and intake.status.notice is not None:
            await intake.look_at_folders()
        return intake.status.notice if intake is not None else None


def _held(held: Sequence[Held]) -> list[tuple[str, str]]:
    """Name the first picture of each reason, with how many others wait for the same."""
    # Of one kind of reason there may be several: each user's own ticket, each closed folder.
    groups: dict[Reason, list[Held]] = {}
    for each in held:
        groups.setdefault(each.reason, []).append(each)
    found = []
    for first, *others in list(groups.values())[:NAMED]:
        more = f" (and {len(others)} more wait)" if others else ""
        step = first.reason.next_step or "Fix it; the service resumes by itself."
        found.append((f"{first.name} waits: {first.reason.sentence}{more}", step))
    if rest := sum(len(group) for group in list(groups.values())[NAMED:]):
        found.append((f"{rest} more wait for other reasons.", ""))
    return found


def _as_finding(reason: Reason) -> tuple[str, str]:
    return reason.sentence, reason.next_step


def _unreadable(names: Sequence[str], folder: str) -> tuple[str, str]:
    rest = len(names) - NAMED
    more = f" and {rest} more" if rest > 0 else ""
    found = f"Cannot be read: {', '.join(names[:NAMED])}{more}"
    return found, f"Let the group read them: chmod g+r in {folder}"


def _alone(tickets: Sequence[str]) -> str:
    """Name tickets that wait for a picture: nothing is wrong with that, unless a name was mistyped."""
    if not tickets:
        return ""
    rest = len(tickets) - NAMED
    more = f" and {rest} more" if rest > 0 else ""
    return f" No picture uses these tickets yet: {', '.join(tickets[:NAMED])}{more}."


def stale_after(rescan_seconds: float) -> float:
    """Say how old the last look may be: three of them missed, and never less than a minute."""
    return max(60.0, 3 * rescan_seconds)


def make(runtime: Runtime) -> InboxCheck:
    """Make the check."""
    return InboxCheck(runtime)
