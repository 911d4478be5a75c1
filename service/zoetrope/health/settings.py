"""Can the settings be read?"""

from __future__ import annotations

from pathlib import Path

from ..errors import Reason, SettingsError
from ..settings import Settings, load
from .base import CheckResult


class SettingsCheck:
    """Reads the settings file once; a running service has read its own."""

    name = "settings"

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._wrong: Reason | None = None
        self.settings: Settings | None = None
        try:
            self.settings = load(file)
        except SettingsError as error:
            self._wrong = error.reason

    async def look(self) -> CheckResult:
        """Say which file counts, or what is wrong with it."""
        if self._wrong is not None:
            return CheckResult(
                name=self.name,
                level="failing",
                found=self._wrong.sentence,
                next_step=self._wrong.next_step
                or f"Fix it; zoetrope serve --check {self._file} reports any further mistake.",
            )
        told = (
            f"{self._file} is valid." if self._file else "There is no file; the defaults are used."
        )
        return CheckResult(name=self.name, level="ok", found=told)
