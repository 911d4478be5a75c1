"""What is said on the helper's socket: one line of JSON for each request, one for each answer."""

from __future__ import annotations

from typing import Literal

import msgspec

from ..errors import Reason
from ..host import shown
from ..structs import primed
from .bounds import (
    LONGEST_SENTENCE,
    CardName,
    Megahertz,
    Moment,
    ProfileName,
    ProfileOrStock,
    Sentence,
    StageSeconds,
)
from .faults import GpuError
from .probation import Record

# What failed: an engine died, a video is spoilt, kernels computed something else.
TroubleKind = Literal["engine", "output", "selftest"]

# A request is a few words; whoever sends more is no client of ours.
LONGEST_REQUEST = 4096
LONGEST_ANSWER = 1024 * 1024


class BadHelperRequest(GpuError):
    """The helper was asked for something that it does not know."""

    key = "gpu-request"


class HelperRequest(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="do"
):
    """Something that the helper may be asked for; never figures, only names from the settings."""


class StatusRequest(HelperRequest, frozen=True, tag="status"):
    """Say how every GPU stands."""


class Work(HelperRequest, frozen=True, tag="work"):
    """Work begins on a GPU: its working profile counts for as long as this connection is open, or until `rest`."""

    card: CardName


class Rest(HelperRequest, frozen=True, tag="rest"):
    """Nothing works on a GPU: its idle profile counts for as long as this connection is open."""

    card: CardName


class Apply(HelperRequest, frozen=True, tag="apply"):
    """A user wants a profile, now and until told otherwise; without a name, what the settings say."""

    card: CardName
    profile: ProfileName | None = None


class Reset(HelperRequest, frozen=True, tag="reset"):
    """A user wants a GPU at stock, now and until told otherwise."""

    card: CardName


class Enable(HelperRequest, frozen=True, tag="enable"):
    """Root says that profiles may be used again after the helper's book could not be read."""


class SoakedRequest(HelperRequest, frozen=True, tag="soaked"):
    """A stage ran well under a profile."""

    card: CardName
    profile: ProfileName
    seconds: StageSeconds


class TroubleRequest(HelperRequest, frozen=True, tag="trouble"):
    """A stage went wrong in a way that clocks can be behind; `profile` is what was in force, empty for stock."""

    card: CardName
    profile: ProfileOrStock
    kind: TroubleKind
    sentence: Sentence


Asked = StatusRequest | Work | Rest | Apply | Reset | Enable | SoakedRequest | TroubleRequest


class ProfileState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A profile for a GPU: its steps, why it does not fit, its record."""

    name: str
    steps: tuple[str, ...] = ()
    misfit: Reason | None = None
    record: Record = Record()


class CardState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A GPU as the helper keeps it."""

    uuid: str
    name: str
    working: str = ""  # what the settings want for it; empty is stock
    idle: str = ""
    held: str | None = None  # what a user chose; empty is stock, None leaves it to the settings
    in_force: str = ""
    role: str = "stock"  # working, idle, held or stock
    since: Moment = 0.0
    highest_mhz: Megahertz | None = None
    problem: Reason | None = None  # why it is not as it should be
    profiles: tuple[ProfileState, ...] = ()

    def profile(self, name: str) -> ProfileState | None:
        """Find a profile that is meant for this card."""
        return next((each for each in self.profiles if each.name == name), None)

    @property
    def chosen(self) -> str:
        """The profile that counts while the GPU works; empty is stock."""
        return self.working if self.held is None else self.held


class HelperAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What comes back: how the GPUs stand, and why not if it was rejected."""

    reason: Reason | None = None
    cards: tuple[CardState, ...] = ()


def decode(line: bytes) -> Asked:
    """Read a request, or raise BadHelperRequest with what is wrong about it."""
    try:
        found: Asked = msgspec.json.decode(line, type=primed(Asked))
    except RecursionError as error:
        raise BadHelperRequest("It is nested too deeply.", "See docs/gpu.md.") from error
    except (msgspec.DecodeError, ValueError, OverflowError) as error:
        why = shown(str(error))[:LONGEST_SENTENCE]
        raise BadHelperRequest(f"Not a valid request ({why}).", "See docs/gpu.md.") from error
    if isinstance(found, TroubleRequest):
        # What it says goes into the book and into the journal: no control characters.
        return msgspec.structs.replace(found, sentence=shown(found.sentence))
    return found


def encode(message: Asked | HelperAnswer) -> bytes:
    """Write a request or an answer as its line."""
    return msgspec.json.encode(message) + b"\n"
