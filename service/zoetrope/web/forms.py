"""What a request may say, as structs: handlers read with them, and the description of the API comes from them."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from ..domain.job import State
from ..domain.query import NEWEST
from ..domain.values import Scalar
from ..inbox import ticket as tickets
from .endpoint import check

MOST = 200  # jobs a page
MOST_MINUTES = 366 * 24 * 60  # of a pause

# What a file is in a form; only the media type can be said of it.
Bytes = Annotated[
    str, msgspec.Meta(extra_json_schema={"contentMediaType": "application/octet-stream"})
]


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """Which jobs are wanted."""

    state: Annotated[
        tuple[State, ...], msgspec.Meta(description="Only jobs in one of these states.")
    ] = ()
    recipe: Annotated[
        str, msgspec.Meta(max_length=200, description="Only jobs of this recipe.")
    ] = ""
    q: Annotated[
        str,
        msgspec.Meta(
            max_length=1000,
            description="Only jobs whose names, id or prompt contain each of these words.",
        ),
    ] = ""
    limit: Annotated[int, msgspec.Meta(ge=1, le=MOST, description="How many at most.")] = 50
    before: Annotated[
        int,
        msgspec.Meta(ge=0, le=NEWEST, description="The cursor `next` of the page before."),
    ] = NEWEST


class Creation(msgspec.Struct, frozen=True, kw_only=True):
    """What a request says of a new job, besides its picture and its ticket."""

    parent: Annotated[
        str,
        msgspec.Meta(
            pattern=r"^([0-9a-f]{32})?$(?!\n)",
            description="The earlier job that runs again; an identical job is then no duplicate.",
        ),
    ] = ""
    recipe_version: Annotated[
        str,
        msgspec.Meta(
            pattern=r"^([0-9a-f]{64})?$(?!\n)",
            description="Of an upload: the recipe as it was in this version, whatever it is now.",
        ),
    ] = ""


class Repeatable(msgspec.Struct, frozen=True, kw_only=True):
    """The headers of a request that makes no second job when it is repeated."""

    idempotency_key: Annotated[
        str,
        msgspec.Meta(
            pattern=r"^[!-~]{0,255}$(?!\n)",
            description="Chosen by the sender, and new for each request: repeated with the same key and the same body,"
            " a request gives the job that it made the first time, also after a restart.",
        ),
    ] = msgspec.field(default="", name="Idempotency-Key")


class Taking(msgspec.Struct, frozen=True, kw_only=True):
    """How a file is wanted."""

    download: Annotated[
        bool, msgspec.Meta(description="Whether a browser is to save it instead of showing it.")
    ] = False
    v: Annotated[
        str,
        msgspec.Meta(max_length=300, description="Ignored; it gives a new file a new address."),
    ] = ""


class ReasonForm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The reason for a decision; optional."""

    why: str = ""


class PauseForm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long to pause, and whether running stages are to stop."""

    minutes: (
        Annotated[
            float,
            msgspec.Meta(gt=0, le=MOST_MINUTES, description="Until it ends by itself."),
        ]
        | None
    ) = None
    now: Annotated[
        bool,
        msgspec.Meta(description="Interrupt running stages; they begin anew afterwards."),
    ] = False


class ResumeForm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether stages are to start outside the working hours, too."""

    now: Annotated[
        bool,
        msgspec.Meta(
            description="Start stages outside the working hours, until these begin the next time, or a pause."
        ),
    ] = False


class TicketForm(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a ticket may say; every further key is a parameter of the recipe."""

    recipe: str | None = None
    preset: str | tuple[str, ...] | None = None
    prompt: (
        Annotated[
            str | tuple[str, ...],
            msgspec.Meta(
                description="What happens in the clip; or a list of beats of equal length."
            ),
        ]
        | None
    ) = None
    negative: str | None = None
    seed: int | None = None
    seconds: float | None = None
    frames: int | None = None
    width: int | None = None
    height: int | None = None
    name: str | None = None
    review: bool | None = None
    auto_resize: bool | None = None
    parameters: dict[str, Scalar | None] | None = None


class InboxForm(TicketForm, frozen=True, kw_only=True, omit_defaults=True):
    """A picture in the inbox, by its path there, and its ticket."""

    path: str


class UploadForm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A form with a picture, for some recipes a second one, and a ticket."""

    image: Bytes
    end: Bytes = ""
    ticket: TicketForm = TicketForm()
    recipe: Annotated[
        dict[str, str],
        msgspec.Meta(
            description="The files of `recipe_version`, by name, as the receipt of `parent` holds them; used if that version is not kept any more."
        ),
    ] = {}


def values(raw: dict[str, Any], kind: type[TicketForm] = TicketForm, *, how: str) -> dict[str, Any]:
    """Check a ticket that came as JSON; gives its values in the flat form that tickets have."""
    said = {key: value for key, value in raw.items() if key in kind.__struct_fields__}
    check(said, kind, how=how)
    # Of the other keys the recipe knows the types; that they can be kept is seen here.
    tickets.check(raw)
    return raw
