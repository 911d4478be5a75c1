"""How far a stage is, how long it will take, and how long it may be silent before it counts as stuck."""

from __future__ import annotations

from typing import Literal

import msgspec

from ..engine.protocol import Cached, Event, Step
from ..graphs.graph import Graph, Node

Brings = Literal["fetch", "check"]


class Live(msgspec.Struct, frozen=True, kw_only=True):
    """What a person sees of a running stage."""

    stage: str
    engine: str
    node: str = ""
    value: float = 0.0
    maximum: float = 0.0
    fraction: float = 0.0
    started: float = 0.0
    eta: float | None = None
    # Prompts of other clients that the engine runs before it; then nothing of it runs.
    behind: int = 0
    moved: float = 0.0  # unix time of its last sign of progress
    silence: float = 0.0  # seconds that may pass until the next; 0 once the engine is done with it
    # What takes the time once the engine is done with it.
    brings: Literal["", Brings] = ""


def brought(live: Live | None, stage: str, engine: str, now: float, what: Brings) -> Live:
    """Say of a stage that the engine has made that its file is fetched or checked now."""
    live = live or Live(stage=stage, engine=engine, fraction=1.0, started=now)
    return msgspec.structs.replace(live, brings=what, silence=0.0, eta=None, moved=now)


def prompts_of_others(number: int) -> str:
    """Say how many prompts other clients have at an engine."""
    return f"{number} prompt{'s' if number > 1 else ''} of other clients"


class ProgressMeter:
    """Turns an engine's events into one figure, weighing each node by the work it means."""

    def __init__(self, graph: Graph) -> None:
        self._weights = {name: weight(node) for name, node in graph.items()}
        self._kinds = {name: node.class_type for name, node in graph.items()}
        self._done: set[str] = set()
        self._here = ""
        self.node = ""
        self.value = 0.0
        self.maximum = 0.0

    def hear(self, event: Event) -> None:
        """Take an event into account."""
        if isinstance(event, Cached):
            self._done.update(event.nodes)
        elif isinstance(event, Step):
            self._done.update(event.finished)
            self.node = self._kinds.get(event.node, event.node) or self.node
            self.value, self.maximum = event.value, event.maximum
            self._here = event.node

    @property
    def fraction(self) -> float:
        """The part of all work that is done, from 0 to 1."""
        total = sum(self._weights.values()) or 1.0
        done = sum(self._weights.get(name, 0.0) for name in self._done)
        if self._here not in self._done and self.maximum > 0:
            done += self._weights.get(self._here, 0.0) * min(1.0, self.value / self.maximum)
        return min(1.0, done / total)


def weight(node: Node) -> float:
    """Guess a node's share of the work: sampler steps, doubled where guidance needs a second pass."""
    inputs = node.inputs
    if isinstance(steps := inputs.get("steps"), int):
        start = inputs.get("start_at_step", 0)
        end = inputs.get("end_at_step", steps)
        run = inputs.get("steps_to_run", -1)
        if isinstance(start, int) and isinstance(end, int):
            steps = max(1, min(end, steps) - start)
        if isinstance(run, int) and run > 0:
            steps = run
        cfg = inputs.get("cfg", 1.0)
        return steps * (2.0 if isinstance(cfg, int | float) and cfg > 1.0 else 1.0)
    heavy = {
        "SeedVR2VideoUpscaler": 12.0,
        "RIFE VFI": 2.0,
        "FrameInterpolate": 2.0,
        "VAEDecode": 1.0,
        "VAEDecodeTiled": 1.5,
        "VAEEncodeTiled": 1.5,
    }
    return heavy.get(node.class_type, 0.1)


def eta(elapsed: float, fraction: float, estimate: float) -> float | None:
    """Guess the seconds left: the recipe's estimate at first, the pace seen as soon as there is one."""
    if fraction <= 0.02:
        return max(0.0, estimate - elapsed)
    paced = elapsed * (1 - fraction) / fraction
    trust = min(1.0, fraction * 4)
    return max(0.0, trust * paced + (1 - trust) * max(0.0, estimate - elapsed))


def silence(
    *, silent: float, elapsed: float, fraction: float, estimate: float, patience: float
) -> float:
    """Say how long a stage that has said nothing for `silent` seconds may go on so until it counts as stuck.

    The limit grows with what the stage is expected to take, by the recipe and by its own pace, so
    that a slow GPU is not mistaken for a stuck one.
    """
    # The pace up to the last sign of life: silence must not stretch its own limit.
    paced = (elapsed - silent) / fraction if fraction > 0.05 else 0.0
    return max(patience, max(estimate, paced) / 2)
