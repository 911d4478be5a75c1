"""Does the service answer at all? Asked from outside of it."""

from __future__ import annotations

import os

from ..errors import Reason
from .base import CheckResult


class ServiceCheck:
    """Stands first where someone has already found that no one answers."""

    name = "service"

    def __init__(self, down: Reason) -> None:
        self._down = down

    async def look(self) -> CheckResult:
        """Say that it is down, and with whose eyes the rest is seen: folders may be closed to them."""
        return CheckResult(
            name=self.name,
            level="failing",
            found=f"{self._down.sentence} The checks below ran without it, as user {_user()}.",
            next_step=self._down.next_step,
        )


def _user() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:  # in a container, users need not have names
        return str(os.geteuid())
