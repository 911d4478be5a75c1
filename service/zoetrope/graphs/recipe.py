"""A recipe: tickets become exact plans, and plans become graphs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec

from ..domain.plan import Plan
from ..domain.values import Scalar, SourceImage, Ticket
from ..errors import RecipeError, Rejected
from ..mistakes import nearest, show
from . import enlarge, presets
from .graph import Graph, put, swap
from .memory import class_of
from .recipe_file import Clip, Memory, Parameter, RecipeFile, Size, StageSpec


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """A recipe with its graphs, ready to plan jobs."""

    name: str
    file: RecipeFile
    graphs: dict[str, Graph]
    card: Memory = Memory()  # what the GPU that it is planned for allows
    memory: int = 0  # the class of that GPU: the largest of `file.memory` that it has, or 0
    files: dict[str, bytes] = {}  # its text, as it was read
    version: str = ""  # the digest of its files

    def on(self, gigabytes: float) -> Recipe:
        """Give the recipe as it is on a GPU with so much memory; 0 is a GPU that no one knows yet.

        What smaller GPUs can do, a larger one can do as well, unless its own profile says otherwise.
        """
        card = Memory()
        memory = self.memory_class(gigabytes)
        for size in sorted(size for size in self.file.memory if size <= memory):
            profile = self.file.memory[size]
            card = Memory(pixels=profile.pixels or card.pixels, set={**card.set, **profile.set})
        return msgspec.structs.replace(self, card=card, memory=memory)

    def memory_class(self, gigabytes: float) -> int:
        """Give the class of a GPU with so much memory; a GPU that no one knows is of the smallest."""
        return class_of(gigabytes, self.file.memory)

    def stage(self, name: str) -> StageSpec:
        """Find a stage by its name."""
        for stage in self.file.stages:
            if stage.name == name:
                return stage
        raise RecipeError(f"The recipe {self.name} has no stage {name!r}.")

    def ticket_keys(self) -> frozenset[str]:
        """Say every key a ticket for this recipe may hold."""
        keys = set(Ticket.__struct_fields__) - {"parameters"}
        if not self.file.presets:
            keys -= {"preset"}
        if self.file.size is None:
            keys -= {"width", "height", "auto_resize"}
        if self.file.length is None:
            keys -= {"seconds", "frames"}
        # What is made of words has a parameter for them.
        return frozenset(keys - {"prompt", "negative"}) | frozenset(self.file.parameters)

    def preset(self, names: tuple[str, ...]) -> dict[str, Scalar]:
        """Give the values that presets stand for, or reject a name that there is not."""
        known = self.file.presets
        for name in names:
            if name not in known:
                raise Rejected(
                    f"The recipe {self.name} has no preset {show(name)}; {nearest(name, known)}",
                    "Fix the ticket and drop the picture again.",
                    key="ticket-value",
                )
        return presets.together(known[name] for name in names)

    def default(self, name: str) -> Scalar:
        """Say what a parameter is when no one asks for anything."""
        parameter = self.file.parameters[name]
        if parameter.default is not None:
            return parameter.default
        node, _, key = parameter.to[0].partition(".")
        held: Scalar = next(
            graph[node].inputs[key]
            for graph in self.graphs.values()
            if node in graph and key in graph[node].inputs
        )
        return held

    def plan(
        self, ticket: Ticket, image: SourceImage, seed: int, *, end: SourceImage | None = None
    ) -> Plan:
        """Make a ticket exact, or reject it with what is allowed; `end` is a pair's other picture."""
        notes: list[str] = []
        parameters = self._parameters(ticket)
        if self.file.clip is not None:
            self._check_clip(self.file.clip, image, parameters)
            frames, fps, width, height = image.frames, image.fps, image.width, image.height
        else:
            frames, fps = self._frames(ticket, notes)
            width, height = self._size(ticket, image, frames, notes)
        may_loop = self.file.length is not None and bool(self.file.length.kept)
        if loops := may_loop and end is not None and end.sha256 == image.sha256:
            notes.append(
                "One picture gives a loop; its last frame, which repeats the first, is dropped."
            )
        if seed > self.file.seed_max or seed < 0:
            raise Rejected(
                f"The seed {seed} is out of range.",
                f"Use a whole number from 0 to {self.file.seed_max}.",
                key="ticket-value",
            )
        plan = Plan(
            width=width,
            height=height,
            frames=frames,
            kept=frames - loops,
            fps=fps,
            seed=seed,
            parameters=parameters,
            effective=self._effective(parameters),
            memory=self.memory,
            set=dict(self.card.set),
            notes=tuple(notes),
        )
        for stage in self.file.stages:
            if stage.expect.size == "larger":
                enlarge.check(
                    self._enlarger(plan, stage),
                    (width, height),
                    self.file.parameters,
                    sized=self.file.size is not None,
                )
        return plan

    def build(
        self,
        plan: Plan,
        stage: StageSpec,
        *,
        files: Mapping[str, str],
        prefix: str,
        fallbacks: tuple[str, ...] = (),
    ) -> Graph:
        """Build one stage's graph; `files` names what was uploaded as picture, end_picture and source."""
        chosen = [each for each in stage.fallbacks if each.name in fallbacks]
        graph = self.graphs[stage.graph]
        for fallback in chosen:
            for node, other in fallback.swap.items():
                graph = swap(graph, node, other.class_type, other.inputs)
        values: dict[str, Any] = {}
        for parameter in self.file.parameters.values():
            if parameter.default is not None:
                values |= _said(parameter, parameter.default)
        values |= plan.set
        for name, value in plan.parameters.items():
            values |= _said(self.file.parameters[name], value)
        values |= dict.fromkeys(self.file.seed, plan.seed)
        if self.file.size is not None:
            scale = math.prod(fallback.scale for fallback in chosen)
            grid = self.file.size.multiple
            values |= dict.fromkeys(self.file.size.width, _round(plan.width * scale, grid))
            values |= dict.fromkeys(self.file.size.height, _round(plan.height * scale, grid))
        if self.file.length is not None:
            values |= dict.fromkeys(self.file.length.to, plan.frames)
            values |= dict.fromkeys(self.file.length.kept, plan.kept)
        if self.file.clip is not None:
            values |= dict.fromkeys(self.file.clip.fps, plan.fps * stage.expect.times)
        if stage.enlarge is not None:
            found = enlarge.declared(stage.enlarge, self._values(plan))
            values[stage.enlarge.to] = found.short_edge(plan.width, plan.height)
        for fallback in chosen:
            values |= fallback.set
        for kind, place in (
            ("picture", stage.picture),
            ("end_picture", stage.end_picture),
            ("source", stage.source),
        ):
            if place:
                values[place] = files[kind]
        values[stage.prefix] = prefix
        if stage.handoff is not None:
            values[stage.handoff.prefix] = f"{prefix}-whole"
        # A place belongs to the graphs that have its node; loading the recipe checks that one has.
        return put(graph, {k: v for k, v in values.items() if k.partition(".")[0] in graph})

    def fallback_names(self, stage: StageSpec, ticket: Ticket) -> tuple[str, ...]:
        """Name the fallbacks of a stage, in order; a size that the ticket fixed is not changed."""
        fixed = ticket.width is not None or ticket.height is not None or not ticket.auto_resize
        return tuple(
            fallback.name for fallback in stage.fallbacks if fallback.scale == 1.0 or not fixed
        )

    def expected_size(
        self, plan: Plan, stage: StageSpec, fallbacks: tuple[str, ...]
    ) -> tuple[int, int]:
        """Say how large a stage's video is planned to be; fallbacks of earlier stages count too."""
        size = self.file.size
        if size is None:
            return plan.width, plan.height
        scale = math.prod(
            fallback.scale
            for each in self.file.stages[: self.file.stages.index(stage) + 1]
            for fallback in each.fallbacks
            if fallback.name in fallbacks
        )
        return _round(plan.width * scale, size.multiple), _round(plan.height * scale, size.multiple)

    def estimate(self, plan: Plan, stage: StageSpec) -> float:
        """Guess a stage's seconds from the recipe's own figure, by the number of pixels to make."""
        size, length = self.file.size, self.file.length
        if self.file.clip is not None:
            return stage.estimate_seconds * max(0.1, plan.frames / self.file.clip.frames)
        if size is None or length is None or not plan.width:
            return stage.estimate_seconds
        asked = plan.width * plan.height * plan.frames
        return stage.estimate_seconds * max(0.1, asked / (size.pixels * length.frames))

    def _enlarger(self, plan: Plan, stage: StageSpec) -> enlarge.Enlarger | None:
        if stage.enlarge is not None:
            return enlarge.declared(stage.enlarge, self._values(plan))
        files = dict.fromkeys(("picture", "end_picture", "source"), "")
        graph = self.build(plan, stage, files=files, prefix="")
        return enlarge.find(graph, self.file.parameters)

    def _values(self, plan: Plan) -> dict[str, Scalar]:
        """Give every parameter's value in a plan."""
        return plan.effective or self._effective(plan.parameters)

    def _check_clip(self, clip: Clip, image: SourceImage, parameters: Mapping[str, Scalar]) -> None:
        """Refuse now what would fail, or change nothing, after minutes of work."""
        if not clip.min_frames <= image.frames <= clip.max_frames:
            raise Rejected(
                f"A video of {image.frames} frames is out of range.",
                f"This recipe takes {clip.min_frames} to {clip.max_frames} frames.",
                key="video-length",
            )
        if not 1.0 <= image.fps <= clip.max_fps:
            raise Rejected(
                f"A video of {image.fps:.4g} frames a second is out of range.",
                f"This recipe takes 1 to {clip.max_fps:g}.",
                key="video-rate",
            )
        short = min(image.width, image.height)
        if clip.edge:
            edge = parameters.get(clip.edge, self.default(clip.edge))
            if short >= float(edge):
                raise Rejected(
                    f"The video's short edge has {short} pixels, so {edge} would not enlarge it.",
                    f"Set a larger value in a ticket, such as {clip.edge} = {short * 3 // 2}.",
                    key="video-size",
                )

    def seconds(self, ticket: Ticket) -> float:
        """Say how long the ticket's clip is; 0 where its length is not the ticket's to say."""
        frames, fps = self._frames(ticket, [])
        return (frames - 1) / fps if frames else 0.0

    def _frames(self, ticket: Ticket, notes: list[str]) -> tuple[int, float]:
        length = self.file.length
        if length is None:
            return 0, 0.0
        if ticket.seconds is not None:
            wanted = ticket.seconds * length.fps + 1
            shown = f"{ticket.seconds:g} s"
        else:
            wanted = float(ticket.frames if ticket.frames is not None else length.frames)
            shown = f"{wanted:g} frames"
        if not length.min <= wanted <= length.max:
            raise Rejected(
                f"A clip of {shown} is out of range.",
                f"This recipe makes {length.min} to {length.max} frames"
                f" ({(length.min - 1) / length.fps:g} to {(length.max - 1) / length.fps:g} s).",
                key="ticket-value",
            )
        frames = round((wanted - 1) / length.step) * length.step + 1
        if ticket.frames is not None and ticket.seconds is None and frames != ticket.frames:
            notes.append(
                f"{ticket.frames} frames became {frames}: the model generates {length.step}n+1."
            )
        if length.trained and frames > length.trained:
            notes.append(
                f"{frames} frames are more than the {length.trained} that the model is trained for:"
                " colors may drift, and the size is reduced to fit into GPU memory."
            )
        return frames, length.fps

    def _size(
        self, ticket: Ticket, image: SourceImage, frames: int, notes: list[str]
    ) -> tuple[int, int]:
        size, length = self.file.size, self.file.length
        if size is None:
            return 0, 0
        budget = float(self.card.pixels or size.pixels)
        if length is not None:
            # What a GPU holds is pixels times frames, of which the model sees every fourth.
            budget *= min(1.0, _seen(length.frames, length.step) / _seen(frames, length.step))
        for key, edge in (("width", ticket.width), ("height", ticket.height)):
            if edge is not None and not size.min_edge <= edge <= size.max_edge:
                raise Rejected(
                    f"The {key} {edge} is out of range.",
                    f"Use {size.min_edge} to {size.max_edge}.",
                    key="ticket-value",
                )
        return fit(
            (image.width, image.height),
            msgspec.structs.replace(size, pixels=int(budget)),
            width=ticket.width,
            height=ticket.height,
            auto=ticket.auto_resize,
            notes=notes,
        )

    def _effective(self, given: Mapping[str, Scalar]) -> dict[str, Scalar]:
        """Say what every parameter is, whoever decided it: the ticket, the GPU, the recipe."""
        found: dict[str, Scalar] = {}
        for name, parameter in self.file.parameters.items():
            allowed = [self.card.set[place] for place in parameter.to if place in self.card.set]
            found[name] = given[name] if name in given else (*allowed, self.default(name))[0]
        return found

    def _parameters(self, ticket: Ticket) -> dict[str, Scalar]:
        given = dict(ticket.parameters)
        for key in ("prompt", "negative"):
            if (text := getattr(ticket, key)) is not None:
                given[key] = text
        known = self.file.parameters
        for name in given:
            if name not in known:
                raise Rejected(
                    f"The ticket's key {show(name)} is unknown to the recipe {self.name};"
                    f" {nearest(name, self.ticket_keys())}",
                    "Fix the ticket and drop the picture again.",
                    key="ticket-key",
                )
        return {name: check(name, known[name], value) for name, value in given.items()}


def check(name: str, parameter: Parameter, value: Scalar) -> Scalar:
    """Give a parameter's value in its own type, or reject it with what is allowed."""
    kinds: dict[str, tuple[type, ...]] = {
        "text": (str,),
        "choice": (str,),
        "bool": (bool,),
        "int": (int,),
        "float": (int, float),
    }
    right_type = isinstance(value, kinds[parameter.type]) and (
        parameter.type == "bool" or not isinstance(value, bool)
    )
    low, high = parameter.min, parameter.max
    in_range = right_type and (
        not isinstance(value, int | float)
        or ((low is None or value >= low) and (high is None or value <= high))
    )
    step = parameter.step if parameter.type == "int" else None
    if in_range and step and isinstance(value, int):
        in_range = (value - (low or 0)) % step == 0
    if right_type and in_range and (not parameter.allowed or value in parameter.allowed):
        return float(value) if parameter.type == "float" else value
    if parameter.allowed:
        allowed = f"one of {', '.join(parameter.allowed)}"
    else:
        words = {"text": "a text", "bool": "true or false", "int": "a whole number"}
        allowed = words.get(parameter.type, "a number")
        if low is not None and high is not None:
            allowed += f" from {low:g} to {high:g}"
            allowed += f" in steps of {step:g}" if step else ""
    raise Rejected(
        f"The ticket's {name} = {show(value)} is invalid; allowed is {allowed}.",
        "Fix the ticket and drop the picture again.",
        key="ticket-value",
    )


def fit(
    picture: tuple[int, int],
    size: Size,
    *,
    width: int | None,
    height: int | None,
    auto: bool,
    notes: list[str],
) -> tuple[int, int]:
    """Choose the video's size: asked for, or the picture's shape inside the pixel budget, on the grid."""
    aspect = picture[0] / picture[1]
    if width is not None and height is not None:
        wanted = (float(width), float(height))
    elif width is not None:
        wanted = (float(width), width / aspect)
    elif height is not None:
        wanted = (height * aspect, float(height))
    elif auto:
        tall = math.sqrt(size.pixels / aspect)
        wanted = (tall * aspect, tall)
    else:
        wanted = (float(picture[0]), float(picture[1]))
    low = math.ceil(size.min_edge / size.multiple) * size.multiple
    high = size.max_edge // size.multiple * size.multiple
    found = tuple(min(high, max(low, _round(edge, size.multiple))) for edge in wanted)
    asked = (width or found[0], height or found[1])
    if asked != found:
        notes.append(
            f"{asked[0]}x{asked[1]} became {found[0]}x{found[1]}: a grid of {size.multiple}."
        )
    return found[0], found[1]


def _said(parameter: Parameter, value: Scalar) -> dict[str, Any]:
    """Say what a parameter's value sets in the graphs."""
    return {**dict.fromkeys(parameter.to, value), **parameter.options.get(str(value), {})}


def _seen(frames: int, step: int) -> int:
    return (frames - 1) // step + 1


def _round(edge: float, multiple: int) -> int:
    return max(1, round(edge / multiple)) * multiple
