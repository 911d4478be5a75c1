"""Whether a profile may be used on a GPU, decided from what happened under it: pure, without any I/O.

A profile is untried, then unproven while real stages run under it, then proven. A failure under it resets the
clocks to stock, and it stays disabled until `zoetrope gpu apply`. Two crashes of host or helper in a row that left
the GPU tuned disable it as well.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from ..errors import Reason
from .bounds import (
    LONGEST_STAGE,
    MOST_CRASHES,
    MOST_SECONDS,
    MOST_STAGES,
    Crashes,
    Fingerprint,
    Moment,
    Stages,
    WorkSeconds,
)

# Real work under which nothing went wrong; a job or two of the hero recipe.
SOAK_STAGES = 3
SOAK_SECONDS = 1200.0
MOST_UNCLEAN = 2
# The reason for which every profile is disabled when no one knows which ones were.
UNREADABLE = "gpu-book"


class Trust(StrEnum):
    """The state of a profile on a GPU; the values are those of the helper's file and of the API."""

    UNTRIED = "untried"
    UNPROVEN = "on probation"
    PROVEN = "trusted"
    DISABLED = "barred"

    @property
    def word(self) -> str:
        """What people read."""
        return self.name.lower()


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The record of one profile on one GPU."""

    fingerprint: Fingerprint = ""  # of values, GPU and driver; others begin with a new record
    trust: Trust = Trust.UNTRIED
    stages: Stages = 0
    seconds: WorkSeconds = 0.0
    unclean: Crashes = 0  # crashes in a row that left the GPU tuned
    why: Reason | None = None
    since: Moment = 0.0  # unix time from which it has had this trust
    at_stock_too: bool = False  # the failure that disabled it occurred again without it

    @property
    def usable(self) -> bool:
        """Whether it may be applied."""
        return self.trust is not Trust.DISABLED


class Taken(msgspec.Struct, frozen=True):
    """Every value was set and read back."""


class Soaked(msgspec.Struct, frozen=True):
    """A whole stage ran under it, and its video is valid."""

    seconds: float


class Trouble(msgspec.Struct, frozen=True):
    """Something failed under it."""

    reason: Reason


class Unclean(msgspec.Struct, frozen=True):
    """Helper or host crashed without resetting the GPU."""


class Released(msgspec.Struct, frozen=True):
    """The GPU was reset."""


class Pardon(msgspec.Struct, frozen=True):
    """The user enables it again."""


class TroubleAtStock(msgspec.Struct, frozen=True):
    """The same kind of failure occurred at stock clocks."""

    key: str


Event = Taken | Soaked | Trouble | Unclean | Released | Pardon | TroubleAtStock


def fresh(record: Record | None, fingerprint: str, now: float) -> Record:
    """Give the record that counts: with other values or another driver nothing is proven yet."""
    if record is not None and record.fingerprint == fingerprint:
        return record
    return Record(fingerprint=fingerprint, since=now)


def after(record: Record, event: Event, now: float) -> Record:
    """Give the record after something happened."""
    change = msgspec.structs.replace
    match event:
        case Pardon():
            return Record(fingerprint=record.fingerprint, since=now)
        case Released():
            return change(record, unclean=0)
        case TroubleAtStock(key=key):
            same = record.trust is Trust.DISABLED and record.why is not None
            return change(record, at_stock_too=True) if same and key == _key(record) else record
        case Trouble(reason=reason):
            if record.trust is Trust.DISABLED:
                return record  # the first reason is the relevant one
            return change(record, trust=Trust.DISABLED, why=reason, since=now)
        case Unclean():
            counted = change(record, unclean=min(record.unclean + 1, MOST_CRASHES))
            if counted.unclean < MOST_UNCLEAN or record.trust is Trust.DISABLED:
                return counted
            reason = Reason(
                "gpu-unclean",
                f"Host or helper crashed {counted.unclean} times in a row while the profile was in force.",
                "See the log of the previous boot: journalctl -b -1 -e",
            )
            return change(counted, trust=Trust.DISABLED, why=reason, since=now)
        case Taken():
            if record.trust is Trust.UNTRIED:
                return change(record, trust=Trust.UNPROVEN, since=now)
            return record
        case Soaked(seconds=seconds):
            if record.trust not in (Trust.UNPROVEN, Trust.PROVEN):
                return record
            # No sum of what clients report leaves what the book can hold; NaN counts for nothing.
            credit = seconds if 0 <= seconds <= LONGEST_STAGE else 0.0
            grown = change(
                record,
                stages=min(record.stages + 1, MOST_STAGES),
                seconds=min(record.seconds + credit, MOST_SECONDS),
            )
            enough = grown.stages >= SOAK_STAGES and grown.seconds >= SOAK_SECONDS
            if enough and record.trust is Trust.UNPROVEN:
                return change(grown, trust=Trust.PROVEN, since=now)
            return grown


def told(name: str, record: Record) -> Reason | None:
    """Describe a profile that is not proven; None for one that is."""
    match record.trust:
        case Trust.PROVEN:
            return None
        case Trust.DISABLED if record.why is not None and record.why.key == UNREADABLE:
            return record.why
        case Trust.DISABLED:
            why = record.why.sentence if record.why else "The reason is not known."
            look = record.why.next_step if record.why else ""
            again = f"to enable it again, run `zoetrope gpu apply {name}`, or change its values."
            if record.at_stock_too:
                innocent = "The same failure occurred at stock clocks, so the profile may not be the cause;"
                return Reason(
                    "gpu-barred", f"Profile {name} is disabled. {why}", f"{innocent} {again}"
                )
            step = f"The GPU runs at stock clocks; {again}"
            return Reason(
                "gpu-barred", f"Profile {name} is disabled. {why}", f"{look} {step}".strip()
            )
        case Trust.UNPROVEN:
            left = max(0, SOAK_STAGES - record.stages)
            minutes = max(0.0, SOAK_SECONDS - record.seconds) / 60
            return Reason(
                "gpu-probation",
                f"Profile {name} is unproven: {record.stages} stages and"
                f" {record.seconds / 60:.0f} min without a failure.",
                f"Nothing to do; {left} more stages and {minutes:.0f} more min of work until it is proven.",
            )
        case Trust.UNTRIED:
            return Reason(
                "gpu-untried",
                f"Profile {name} is untried.",
                "Nothing to do; the next stage runs under it.",
            )


def _key(record: Record) -> str:
    return record.why.key if record.why else ""
