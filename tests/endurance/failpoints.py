"""Failpoints: named places in the product at which a fork of it dies, without one line of the product about that."""

from __future__ import annotations

import importlib
import inspect
import os
import signal
import socket
import sqlite3
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, Literal

import msgspec

from tests.fakes.kills import CHANGES
from zoetrope.store.sqlite import schema

Moment = Literal["before", "inside", "after"]
Victim = Literal["service", "engine", "both"]

#: Each transition of a job, and the functions that make it.
POINTS: dict[str, tuple[str, ...]] = {
    "claim": ("zoetrope.inbox.claim:Claims.take",),
    "row": ("zoetrope.store.sqlite.ledger:Ledger.add",),
    "release": ("zoetrope.inbox.claim:Claims.release",),
    "plan": ("zoetrope.graphs.recipe:Recipe.plan", "zoetrope.graphs.versions:Versions.keep"),
    "upload": ("zoetrope.engine.comfyui:ComfyEngine.upload",),
    "submit": ("zoetrope.engine.comfyui:ComfyEngine.submit", "zoetrope.domain.steps:submit"),
    "progress": ("zoetrope.jobs.progress:ProgressMeter.hear", "zoetrope.domain.steps:start"),
    "fetch": ("zoetrope.engine.comfyui:ComfyEngine.fetch",),
    "verify": ("zoetrope.verify.check:check", "zoetrope.domain.steps:finish_stage"),
    "publish": ("zoetrope.jobs.outbox:Outbox.publish", "zoetrope.domain.steps:publish"),
    "receipt": ("zoetrope.jobs.receipt:encode",),
    "clean-up": ("zoetrope.jobs.work:WorkFolders.remove",),
    "retention": (
        "zoetrope.jobs.work:EndedWork.remove",
        "zoetrope.inbox.rejected:RejectedPictures.remove",
        "zoetrope.jobs.keep_book:save",
    ),
}
#: Struck at a statement of SQLite instead of a function.
MIGRATE = "migrate"


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """Where a fork dies: at the n-th call of a point, and `inside` after so many steps of the system."""

    point: str
    moment: Moment = "before"
    victim: Victim = "service"
    call: int = 1
    step: int = 0


class Trap:
    """Waits in the new process for what was ordered."""

    def __init__(self, order: Order, mark: Path, engine: int) -> None:
        self._order = order
        self._mark = mark
        self._engine = engine
        self._calls = order.call
        self._steps: int | None = None  # left until it strikes; None before the call

    def install(self) -> None:
        """Stand between the product and what it calls."""
        for target in POINTS[self._order.point]:
            stand_in(target, self._around)
        if self._order.moment == "inside":
            for name in CHANGES:
                setattr(os, name, self._stepped(getattr(os, name)))
            for name in ("send", "recv", "recv_into"):
                setattr(socket.socket, name, self._stepped(getattr(socket.socket, name)))

    def _around(self, real: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.iscoroutinefunction(real):

            @wraps(real)
            async def later(*args: Any, **kwargs: Any) -> Any:
                self._enter()
                result = await real(*args, **kwargs)
                self._leave()
                return result

            return later

        @wraps(real)
        def call(*args: Any, **kwargs: Any) -> Any:
            self._enter()
            result = real(*args, **kwargs)
            self._leave()
            return result

        return call

    def _enter(self) -> None:
        self._calls -= 1
        if self._calls == 0:
            if self._order.moment == "before":
                self._strike()
            self._steps = self._order.step

    def _leave(self) -> None:
        if self._calls == 0 and self._order.moment == "after":
            self._strike()

    def _stepped(self, real: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(real)
        def step(*args: Any, **kwargs: Any) -> Any:
            if self._steps is not None and self._order.moment == "inside":
                self._steps -= 1
                if self._steps < 0:
                    self._strike()
            return real(*args, **kwargs)

        return step

    def _strike(self) -> None:
        self._calls, self._steps = -1, None
        if self._order.victim != "service":
            os.kill(self._engine, signal.SIGKILL)
        # Not through `os.open`, which may be stepped.
        with self._mark.open("w"):
            pass
        if self._order.victim != "engine":
            os.kill(os.getpid(), signal.SIGKILL)


def stand_in(
    target: str,
    make: Callable[[Callable[..., Any]], Callable[..., Any]],
    put: Callable[[Any, str, Any], None] = setattr,
) -> None:
    """Put something in a function's place, wherever a module of the product has it by name."""
    owner, name = found(target)
    real = getattr(owner, name)
    other = make(real)
    if inspect.isclass(owner):
        put(owner, name, other)
        return
    for module in [each for key, each in sys.modules.items() if key.startswith("zoetrope.")]:
        for known, value in list(vars(module).items()):
            if value is real:
                put(module, known, other)


def found(target: str) -> tuple[Any, str]:
    """Find what has a function by name: a module, or a class in it."""
    place, _, path = target.partition(":")
    *above, name = path.split(".")
    owner: Any = importlib.import_module(place)
    for part in above:
        owner = getattr(owner, part)
    return owner, name


class DyingConnection:
    """Connects as the ledger does, and ends the process before one of its statements."""

    def __init__(self, survived: int) -> None:
        self._left = survived
        self._real = schema.connect

    def __call__(self, file: Path) -> sqlite3.Connection:
        """Connect."""
        connection = self._real(file)
        connection.set_trace_callback(self._count)
        return connection

    def _count(self, _: str) -> None:
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self._left -= 1
