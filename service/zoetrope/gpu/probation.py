"""Whether a profile may be used on a card, and how it earns or loses that: pure, without a look at any card.

A profile is untried, then on probation while real stages run under it, then trusted. Trouble under it ends in
stock clocks, and it stays barred until a person says otherwise; so does a host or a helper that ended under
it, without having put the card back, twice in a row.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from ..errors import Reason

# Real work under which nothing went wrong; a job or two of the hero recipe.
SOAK_STAGES = 3
SOAK_SECONDS = 1200.0
MOST_UNCLEAN = 2


class Trust(StrEnum):
    """How far a profile has come on a card."""

    UNTRIED = "untried"
    PROBATION = "on probation"
    TRUSTED = "trusted"
    BARRED = "barred"


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is known of one profile on one card."""

    fingerprint: str = ""  # of figures, card and driver; other ones begin anew
    trust: Trust = Trust.UNTRIED
    stages: int = 0
    seconds: float = 0.0
    unclean: int = 0  # ends in a row that left the card tuned
    why: Reason | None = None
    since: float = 0.0  # unix time from which it has had this trust
    at_stock_too: bool = False  # the trouble that barred it came again without it

    @property
    def usable(self) -> bool:
        """Whether it may be applied."""
        return self.trust is not Trust.BARRED


class Taken(msgspec.Struct, frozen=True):
    """The card took every step, and showed so."""


class Soaked(msgspec.Struct, frozen=True):
    """A stage ran under it from beginning to end, and its video is sound."""

    seconds: float


class Trouble(msgspec.Struct, frozen=True):
    """Something went wrong under it."""

    reason: Reason


class Unclean(msgspec.Struct, frozen=True):
    """Helper or host ended without having put the card back."""


class Released(msgspec.Struct, frozen=True):
    """The card was put back as it should be."""


class Pardon(msgspec.Struct, frozen=True):
    """A person wants it tried again."""


class TroubleAtStock(msgspec.Struct, frozen=True):
    """The same kind of trouble came while the card was at stock."""

    key: str


Event = Taken | Soaked | Trouble | Unclean | Released | Pardon | TroubleAtStock


def fresh(record: Record | None, fingerprint: str, now: float) -> Record:
    """Give the record that counts: other figures or another driver have proved nothing yet."""
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
            same = record.trust is Trust.BARRED and record.why is not None
            return change(record, at_stock_too=True) if same and key == _key(record) else record
        case Trouble(reason=reason):
            if record.trust is Trust.BARRED:
                return record  # the first reason is the one that tells something
            return change(record, trust=Trust.BARRED, why=reason, since=now)
        case Unclean():
            counted = change(record, unclean=record.unclean + 1)
            if counted.unclean < MOST_UNCLEAN or record.trust is Trust.BARRED:
                return counted
            reason = Reason(
                "gpu-unclean",
                f"Host or helper crashed {counted.unclean} times in a row while the profile was in force.",
                "See the log of the previous boot: journalctl -b -1 -e",
            )
            return change(counted, trust=Trust.BARRED, why=reason, since=now)
        case Taken():
            if record.trust is Trust.UNTRIED:
                return change(record, trust=Trust.PROBATION, since=now)
            return record
        case Soaked(seconds=seconds):
            if record.trust not in (Trust.PROBATION, Trust.TRUSTED):
                return record
            grown = change(record, stages=record.stages + 1, seconds=record.seconds + seconds)
            enough = grown.stages >= SOAK_STAGES and grown.seconds >= SOAK_SECONDS
            if enough and record.trust is Trust.PROBATION:
                return change(grown, trust=Trust.TRUSTED, since=now)
            return grown


def told(name: str, record: Record) -> Reason | None:
    """Say what a person should know of a profile that is not trusted; None when there is nothing."""
    match record.trust:
        case Trust.TRUSTED:
            return None
        case Trust.BARRED:
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
        case Trust.PROBATION:
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
