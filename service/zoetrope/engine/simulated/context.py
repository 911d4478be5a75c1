"""What a node may use while it runs."""

from typing import Any, Protocol

from ...graphs.document import encode
from .faults import Faults
from .files import Files
from .queue import QueuedPrompt

Json = dict[str, Any]


class Run(Protocol):
    """The prompt that a node is part of."""

    prompt: QueuedPrompt
    files: Files
    faults: Faults

    def step(self, context: "Context", value: int, maximum: int) -> None:
        """Report a step of a model."""

    def count(self, context: "Context", value: int, maximum: int) -> None:
        """Report other work."""

    def check_interrupt(self) -> None:
        """Raise if the prompt should end."""

    def check_end(self) -> None:
        """Raise if the process ends."""


class Context:
    """What a node may use while it runs."""

    def __init__(self, run: Run, node_id: str, class_type: str) -> None:
        self._run = run
        self.node_id = node_id
        self.class_type = class_type
        self.files = run.files
        self.faults = run.faults

    @property
    def graph(self) -> Json:
        """The whole prompt, which save nodes write into their files."""
        return encode(self._run.prompt.graph)

    @property
    def page_info(self) -> Json:
        """What the page sent along for the files' tags."""
        info: Json = self._run.prompt.extra_data.get("extra_pnginfo") or {}
        return info

    def step(self, value: int, maximum: int) -> None:
        """Report progress; the place where interrupts, slowness and ordered faults are felt."""
        self._run.step(self, value, maximum)

    def count(self, value: int, maximum: int) -> None:
        """Report progress of work that is not a model's: an ordered slowness has no part in it."""
        self._run.count(self, value, maximum)

    def breathe(self) -> None:
        """Let an interrupt be felt inside work that reports no progress."""
        self._run.check_interrupt()

    def live(self) -> None:
        """Let the end of the process be felt where an interrupt is not."""
        self._run.check_end()
