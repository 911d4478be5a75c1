"""The prompt queue and the history: in memory only, lost with the process."""

import heapq
import threading
from collections.abc import Callable
from typing import Any

import msgspec

from ...graphs.document import encode
from ...graphs.graph import Graph
from .kept import KEPT_PROMPTS

Json = dict[str, Any]


class QueuedPrompt(msgspec.Struct, frozen=True):
    """One accepted prompt."""

    number: float
    prompt_id: str
    graph: Graph
    extra_data: Json
    outputs: list[str]

    def plain(self) -> list[Any]:
        """Spell the prompt as queue and history list it."""
        return [self.number, self.prompt_id, encode(self.graph), self.extra_data, self.outputs]


class Outcome(msgspec.Struct, frozen=True):
    """How a prompt ended."""

    success: bool
    messages: list[tuple[str, Json]]
    outputs: Json
    meta: Json


class PromptQueue:
    """A heap of waiting prompts, the running one, and what has ended."""

    def __init__(self, changed: Callable[[], None], keep: int = KEPT_PROMPTS) -> None:
        self._changed = changed
        self._keep = keep
        self._lock = threading.RLock()
        self._ready = threading.Condition(self._lock)
        self._waiting: list[tuple[float, int, QueuedPrompt]] = []
        self._serial = 0
        self._running: QueuedPrompt | None = None
        self._history: dict[str, Json] = {}
        self._flags: set[str] = set()
        self._closed = False

    def put(self, prompt: QueuedPrompt) -> None:
        """Let a prompt wait its turn."""
        with self._lock:
            self._serial += 1
            heapq.heappush(self._waiting, (prompt.number, self._serial, prompt))
            self._changed()
            self._ready.notify()

    def take(self) -> QueuedPrompt | None:
        """Wait for the next prompt and mark it running; None when flags were raised."""
        with self._ready:
            while not self._waiting and not self._flags and not self._closed:
                self._ready.wait()
            # A prompt that is there goes first, also before what was asked for while nothing ran: what
            # an earlier prompt left in the cache is used once more, as by ComfyUI.
            if self._closed or not self._waiting:
                return None
            prompt = heapq.heappop(self._waiting)[2]
            self._running = prompt
            self._changed()
            return prompt

    def done(self, prompt: QueuedPrompt, outcome: Outcome) -> None:
        """Move the running prompt into the history."""
        with self._lock:
            self._running = None
            # One that comes again is the newest again.
            self._history.pop(prompt.prompt_id, None)
            # ComfyUI keeps 10,000; here the entries go with the files that they name.
            while len(self._history) >= self._keep:
                self._history.pop(next(iter(self._history)))
            self._history[prompt.prompt_id] = {
                "prompt": prompt.plain(),
                "outputs": outcome.outputs,
                "status": {
                    "status_str": "success" if outcome.success else "error",
                    "completed": outcome.success,
                    "messages": [[event, data] for event, data in outcome.messages],
                },
                "meta": outcome.meta,
            }
            self._changed()

    def remaining(self) -> int:
        """Count waiting and running prompts."""
        with self._lock:
            return len(self._waiting) + (self._running is not None)

    def snapshot(self) -> tuple[list[QueuedPrompt], list[QueuedPrompt]]:
        """Return running and waiting prompts, the latter as the heap keeps them."""
        with self._lock:
            running = [self._running] if self._running else []
            return running, [entry[2] for entry in self._waiting]

    def delete(self, prompt_id: str) -> bool:
        """Forget one waiting prompt; say whether there was one."""
        with self._lock:
            for i, entry in enumerate(self._waiting):
                if entry[2].prompt_id == prompt_id:
                    del self._waiting[i]
                    heapq.heapify(self._waiting)
                    self._changed()
                    return True
        return False

    def clear(self) -> None:
        """Forget every waiting prompt."""
        with self._lock:
            self._waiting.clear()
            self._changed()

    def if_running(self, prompt_id: str, action: Callable[[], None]) -> bool:
        """Act on a prompt only while it is the running one, so that no successor is hit."""
        with self._lock:
            if self._running and self._running.prompt_id == prompt_id:
                action()
                return True
        return False

    def history(self, prompt_id: str | None = None) -> dict[str, Json]:
        """Return the whole history or the one entry, if it is there."""
        with self._lock:
            if prompt_id is None:
                return dict(self._history)
            entry = self._history.get(prompt_id)
            return {prompt_id: entry} if entry else {}

    def forget(self, prompt_id: str | None = None) -> None:
        """Drop one entry of the history, or all of them."""
        with self._lock:
            if prompt_id is None:
                self._history.clear()
            else:
                self._history.pop(prompt_id, None)

    def raise_flag(self, flag: str) -> None:
        """Ask the worker for something it does when it is idle."""
        with self._lock:
            self._flags.add(flag)
            self._ready.notify()

    def lower_flags(self) -> set[str]:
        """Take the raised flags."""
        with self._lock:
            flags, self._flags = self._flags, set()
            return flags

    def close(self) -> None:
        """Wake the worker for the last time."""
        with self._lock:
            self._closed = True
            self._ready.notify_all()

    @property
    def closed(self) -> bool:
        """Whether the engine is going down."""
        return self._closed
