"""What is said on the helper's socket: one line of JSON for each request, one for each answer."""

from __future__ import annotations

import msgspec

from ..errors import Reason
from ..structs import primed
from .faults import GpuError
from .probation import Record

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

    card: str


class Rest(HelperRequest, frozen=True, tag="rest"):
    """Nothing works on a GPU: its idle profile counts for as long as this connection is open."""

    card: str


class Apply(HelperRequest, frozen=True, tag="apply"):
    """A user wants a profile, now and until told otherwise; without a name, what the settings say."""

    card: str
    profile: str | None = None


class Reset(HelperRequest, frozen=True, tag="reset"):
    """A user wants a GPU at stock, now and until told otherwise."""

    card: str


class SoakedRequest(HelperRequest, frozen=True, tag="soaked"):
    """A stage ran well under a profile."""

    card: str
    profile: str
    seconds: float


class TroubleRequest(HelperRequest, frozen=True, tag="trouble"):
    """A stage went wrong in a way that clocks can be behind; `profile` is what was in force, empty for stock."""

    card: str
    profile: str
    kind: str
    sentence: str


Asked = StatusRequest | Work | Rest | Apply | Reset | SoakedRequest | TroubleRequest


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
    since: float = 0.0
    highest_mhz: int | None = None
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
    """Read a request, or raise BadRequest with what is wrong about it."""
    try:
        found: Asked = msgspec.json.decode(line, type=primed(Asked))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadHelperRequest(f"Not a valid request ({error}).", "See docs/gpu.md.") from error
    return found


def encode(message: Asked | HelperAnswer) -> bytes:
    """Write a request or an answer as its line."""
    return msgspec.json.encode(message) + b"\n"
