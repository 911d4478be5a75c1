"""What `recipe.toml` may hold: stages, parameters, fallbacks, and the places in the graphs where values go."""

from __future__ import annotations

from typing import Literal

import msgspec

from ..domain.values import Scalar

MAX_SEED = 2**64 - 1

# What a place may be set to: a value, or a link to another node's output.
Setting = Scalar | list[str | int]


class Parameter(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something a ticket may set: its type and range, its default, and where it goes in the graphs."""

    type: Literal["text", "int", "float", "bool", "choice"]
    default: Scalar | None = None  # without it, what the graphs hold at these places
    to: tuple[str, ...] = ()
    about: str = ""
    source: str = ""  # where the default comes from
    min: float | None = None
    max: float | None = None
    step: float | None = None
    unit: str = ""
    choices: tuple[str, ...] = ()
    options: dict[str, dict[str, Setting]] = {}  # choices that set more than one value each

    @property
    def allowed(self) -> tuple[str, ...]:
        """Every value of a choice."""
        return self.choices or tuple(self.options)


class Preset(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A name for several values at once, as a ticket would say them."""

    title: str
    values: dict[str, Scalar]
    about: str = ""
    source: str = ""


class Memory(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a GPU with so much memory can do: its pixel budget, and inputs that it allows."""

    about: str = ""
    pixels: int = 0  # of a clip of the recipe's own length; 0 leaves what smaller GPUs have
    set: dict[str, Scalar] = {}


class Fallback(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One way to need less memory: inputs to set, and nodes whose work another class does.

    One that says nothing but its name is the shelf's of that name.
    """

    name: str
    about: str = ""
    set: dict[str, Scalar] = {}
    swap: dict[str, Swap] = {}
    scale: float = 1.0  # of width and height; only where the ticket did not fix the size


class Swap(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The class that takes a node's place, with its inputs next to the links that stay."""

    class_type: str
    inputs: dict[str, Scalar] = {}


class Expect(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a stage's video has to be, by what the plan says: the base of its verification."""

    times: int = 1  # (frames - 1) * times + 1, as interpolation makes them
    size: Literal["same", "larger", "any"] = "same"  # against the planned size
    quality: bool = True  # whether the pictures themselves are looked at
    motion: bool = True  # whether they have to move; a video that is given may stand still


class Enlarge(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the short edge of the enlarged video goes, for nodes that know no limit of the longest edge themselves."""

    to: str
    short: str  # the parameter of the short edge
    longest: str  # the parameter of the longest edge; at 0 there is no limit


class Handoff(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The node that keeps a stage's frames without loss, for the stage after it alone."""

    output: str
    prefix: str


class Band(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long a document says that a stage takes: a yardstick until a host has its own."""

    seconds: tuple[float, float]
    width: int
    height: int
    frames: int
    memory: int  # gigabytes of the smallest GPU that it is fair to
    source: str

    def limit(self, width: int, height: int, frames: int) -> float:
        """Say how many seconds are still within it; a smaller clip may take as long, a larger one longer."""
        return self.seconds[1] * max(
            1.0, width * height * frames / (self.width * self.height * self.frames)
        )


class StageSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One graph and the places where its picture, its source file and its name go."""

    name: str
    graph: str
    output: str  # the node whose file is the stage's result
    prefix: str  # where the output's name goes
    estimate_seconds: float  # on a 16 GB GPU at the default size
    band: Band | None = None
    review: bool = False
    picture: str = ""
    end_picture: str = ""
    source: str = ""  # where the stage before puts its file
    handoff: Handoff | None = None  # what the stage after it gets instead of `output`
    enlarge: Enlarge | None = None
    expect: Expect = Expect()
    fallbacks: tuple[Fallback, ...] = msgspec.field(default=(), name="relief")


class Size(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The pixel budget and grid of the recipe, and where width and height go."""

    # Left out where memory profiles have budgets: the smallest one's, or the shelf's.
    pixels: int = 0
    multiple: int
    width: tuple[str, ...]
    height: tuple[str, ...]
    min_edge: int = 256
    max_edge: int = 1536


class Length(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long a clip is: frames are 4n+1 for WAN, at a fixed rate."""

    frames: int
    fps: float
    to: tuple[str, ...]
    step: int = 4
    min: int = 5
    max: int = 161
    trained: int = 0  # frames that the model has learned to make; more of them are possible
    kept: tuple[
        str, ...
    ] = ()  # where it is said how many of them stay: a loop's last repeats its first


class Clip(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A recipe that begins with a video: which ones it takes, and where the finished one's rate goes."""

    max_frames: int
    min_frames: int = 5
    max_fps: float = 60.0
    frames: int = 81  # of the clip that the stages' estimates are for
    fps: tuple[str, ...] = ()
    edge: str = ""  # the parameter that has to be larger than the video's short edge


class RecipeFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `recipe.toml` holds."""

    title: str
    guidance: str = ""
    tags: tuple[Literal["experimental"], ...] = ()
    packs: tuple[str, ...] = ()  # of nodes, next to ComfyUI's own
    comfyui: str = (
        ""  # the first version that has all of its own nodes, where older ones are supported
    )
    pictures: Literal[1, 2] = 1
    clip: Clip | None = None  # it begins with a video instead of a picture
    size: Size | None = None
    length: Length | None = None
    seed: tuple[str, ...] = ()  # where the seed goes
    seed_max: int = MAX_SEED
    stages: tuple[StageSpec, ...]
    parameters: dict[str, Parameter] = {}
    presets: dict[str, Preset] = {}
    memory: dict[int, Memory] = {}  # by a GPU's gigabytes, from which on each holds
    cards: str = ""  # the shelf's memory table that holds where `memory` says nothing
