"""A profile worked out for one GPU: which steps it takes, whether the GPU's own ranges allow them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

from ..settings import GpuSettings, ProfileSettings
from .card import STEP_MHZ, STEP_WATTS, Card, Sample
from .faults import GpuError

Knob = Literal["lock", "offset", "power"]
# The offset goes first when things are put back: a lifted curve without its lock is an overclock.
UNDO: tuple[Knob, ...] = ("offset", "lock", "power")


class ProfileError(GpuError):
    """The profile does not fit the GPU; nothing was changed."""

    key = "gpu-profile"

    def __init__(self, sentence: str, next_step: str = "", *, why: str = "") -> None:
        super().__init__(sentence, next_step)
        self.why = why  # the reasons alone, for where it is clear which profile and GPU are meant


class SetterStep(msgspec.Struct, frozen=True):
    """One knob and its value: MHz, MHz or watts."""

    knob: Knob
    value: int
    low: int = 0  # of a lock: the lowest clock, so that the GPU can still rest

    def __str__(self) -> str:
        match self.knob:
            case "power":
                return f"power limit {self.value} W"
            case "lock":
                return f"core clock at most {self.value} MHz"
            case _:
                return f"core offset {self.value:+d} MHz"

    def holds(self, reading: Sample) -> bool:
        """Tell whether a GPU keeps to it, as far as the GPU says."""
        match self.knob:
            case "lock":
                return reading.core_mhz is None or reading.core_mhz <= self.value + STEP_MHZ
            case "power":
                limit = reading.limit_watts
                return limit is None or abs(limit - self.value) <= STEP_WATTS
            case _:
                offset = reading.offset_mhz
                return offset is None or abs(offset - self.value) <= STEP_MHZ


class ProfilePlan(msgspec.Struct, frozen=True):
    """What would be done to a GPU, in this order; a profile without steps is stock."""

    card: str
    profile: str
    steps: tuple[SetterStep, ...]
    fingerprint: str = ""

    @property
    def knobs(self) -> tuple[Knob, ...]:
        """The knobs it turns, in the order in which they are turned back."""
        turned = {step.knob for step in self.steps}
        return tuple(knob for knob in UNDO if knob in turned)

    @property
    def highest(self) -> int | None:
        """The highest core clock that it allows."""
        return next((step.value for step in self.steps if step.knob == "lock"), None)


def plan(card: Card, name: str, profile: ProfileSettings) -> ProfilePlan:
    """Work a profile out for a GPU, or raise ProfileError with everything that does not fit."""
    wrong = []
    if not any(card.is_called(pattern) for pattern in profile.cards):
        wrong.append(f"it is for {', '.join(profile.cards)}")
    if (watts := profile.power_limit_w) is not None:
        if card.power is None:
            wrong.append("the power limit of the GPU cannot be set; remove power_limit_w")
        elif watts not in card.power:
            lower = watts < card.power.low
            hint = "; below that only a lower max_core_mhz helps" if lower else ""
            wrong.append(f"power_limit_w {watts} is outside of the GPU's {card.power} W{hint}")
    if (high := profile.max_core_mhz) is not None:
        if card.core is None:
            wrong.append("the GPU does not report its clocks, so max_core_mhz cannot be checked")
        elif high not in card.core:
            wrong.append(f"max_core_mhz {high} is outside of the GPU's {card.core} MHz")
    if (offset := profile.core_offset_mhz) is not None:
        if card.offset is None:
            wrong.append(
                "the GPU or its driver does not support a core offset (driver 555 or newer does); remove core_offset_mhz"
            )
        elif offset not in card.offset:
            wrong.append(f"core_offset_mhz {offset} is outside of the GPU's {card.offset} MHz")
    if wrong:
        raise ProfileError(
            f"Profile {name} does not fit {card.short} ({card.uuid}): {'; '.join(wrong)}.",
            "Change it in the settings; `zoetrope gpu profiles` shows what the GPU allows.",
            why="; ".join(wrong),
        )
    steps: list[SetterStep] = []
    # From the outside in: the lock stands before the offset lifts the curve under it.
    if watts is not None:
        steps.append(SetterStep("power", watts))
    if high is not None:
        steps.append(SetterStep("lock", high, low=card.core.low if card.core else 0))
    if offset is not None:
        steps.append(SetterStep("offset", offset))
    return ProfilePlan(card.uuid, name, tuple(steps), _fingerprint(card, steps))


def choose(card: Card, names: Iterable[str], profiles: Mapping[str, ProfileSettings]) -> str:
    """Name the first profile that is meant for this GPU; empty means stock."""
    for name in names:
        if any(card.is_called(pattern) for pattern in profiles[name].cards):
            return name
    return ""


def declared(card: Card, settings: GpuSettings) -> tuple[str, str]:
    """Name the profiles that the settings want for a GPU at work and at rest."""
    return (
        choose(card, settings.working, settings.profiles),
        choose(card, settings.idle, settings.profiles),
    )


def _fingerprint(card: Card, steps: Iterable[SetterStep]) -> str:
    """Name what was proved: these figures, on this GPU, with this driver."""
    told = msgspec.json.encode([card.uuid, card.driver, [msgspec.to_builtins(s) for s in steps]])
    return hashlib.sha256(told).hexdigest()[:16]
