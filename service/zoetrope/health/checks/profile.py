"""Do the GPUs work at the profiles that the settings name?"""

from __future__ import annotations

from collections.abc import Iterator

from ...errors import Reason
from ...gpu import probation
from ...gpu.probation import Trust
from ...gpu.wire import CardState
from ...runtime import Runtime
from ..base import CheckResult


class ProfileCheck:
    """Asks what the helper last said."""

    name = "profile"

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def look(self) -> CheckResult | None:
        """Report the state of each GPU profile, and what to do about a disabled one."""
        tuner = self._runtime.tuner
        if tuner is None or not tuner.wanted or not tuner.watch.cards:
            return None
        wrong: list[Reason] = []
        fine: list[str] = []
        for state in tuner.states.values():
            for found in _judged(state):
                if isinstance(found, Reason):
                    wrong.append(
                        Reason(found.key, f"{state.name}: {found.sentence}", found.next_step)
                    )
                else:
                    fine.append(f"{state.name}: {found}")
        known = {reason.key for reason in wrong}
        if tuner.problem is not None and tuner.problem.key not in known:
            wrong.append(tuner.problem)
        if wrong:
            return CheckResult(
                name=self.name,
                level="degraded",
                found=" ".join(dict.fromkeys(reason.sentence for reason in wrong)),
                next_step=" ".join(dict.fromkeys(r.next_step for r in wrong if r.next_step))
                or "See zoetrope gpu status.",
            )
        return CheckResult(
            name=self.name, level="ok", found=f"{'; '.join(fine) or 'Not checked yet'}."
        )


def _judged(state: CardState) -> Iterator[Reason | str]:
    """Say of each profile that counts for a GPU what is wrong, or how it is."""
    if state.problem is not None and state.problem.key == probation.UNREADABLE:
        yield state.problem
        return
    if state.held == "":
        yield "stock, set by the user (`zoetrope gpu apply` returns it to the settings)"
        return
    for name in dict.fromkeys(n for n in (state.chosen, state.idle) if n):
        profile = state.profile(name)
        if profile is None:
            continue
        if profile.misfit is not None:
            yield profile.misfit
        elif profile.record.trust is Trust.DISABLED:
            if (told := probation.told(name, profile.record)) is not None:
                yield told
        elif name == state.chosen:
            yield f"{name} is {profile.record.trust.word}"
    if state.problem is not None and state.problem.key not in ("gpu-barred", "gpu-profile"):
        yield state.problem


def make(runtime: Runtime) -> ProfileCheck:
    """Make the check."""
    return ProfileCheck(runtime)
