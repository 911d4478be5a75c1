"""What preflight admits comes out as verification expects it, as far as the plan alone decides that.

Here every node is known by what it does to a clip's size and length, apart from the code that plans.
"""

import itertools

import msgspec
import pytest
from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from tests.fakes.source_image import plain_image
from zoetrope.domain.job import Attempt, Job, Stage, State
from zoetrope.domain.values import SourceImage, Ticket
from zoetrope.domain.verdict import Measured
from zoetrope.engine.simulated.nodes.upscale import upscaled_size
from zoetrope.errors import Rejected
from zoetrope.graphs.enlarge import Enlarger
from zoetrope.graphs.graph import Graph
from zoetrope.graphs.recipe import Recipe
from zoetrope.graphs.recipe_file import Parameter
from zoetrope.graphs.shelf import Recipes, shipped
from zoetrope.jobs.lint_gate import LintGate
from zoetrope.jobs.preflight import check_ticket
from zoetrope.jobs.stage_request import expectation
from zoetrope.settings import Settings
from zoetrope.verify.measures.length import LengthMeasure
from zoetrope.verify.measures.size import SizeMeasure

SHELF = Recipes((shipped(),))
NAMES = SHELF.names()
GATE = LintGate(Settings())
FILES = {"picture": "a.png", "end_picture": "b.png", "source": "c.mp4"}


class Clip(msgspec.Struct, frozen=True):
    """Pictures, or what stands for them, between two nodes."""

    width: int
    height: int
    frames: int
    fps: float = 0.0


def made(graph: Graph, name: str, source: Clip) -> Clip:
    """Give what a node makes."""
    node = graph[name]

    def of(key: str) -> Clip:
        return made(graph, node.inputs[key][0], source)

    match node.class_type:
        case "LoadVideo":
            return source
        case "GetVideoComponents" | "SaveVideo":
            return of("video")
        case "WanImageToVideo" | "WanFirstLastFrameToVideo":
            return latent(node.inputs["width"], node.inputs["height"], node.inputs["length"])
        case "WanVideoImageToVideoEncode":
            return latent(node.inputs["width"], node.inputs["height"], node.inputs["num_frames"])
        case "KSamplerAdvanced" | "ClownsharKSampler_Beta" | "ClownsharkChainsampler_Beta":
            return of("latent_image")
        case "WanVideoSampler":
            return of("image_embeds")
        case "VAEDecode" | "VAEDecodeTiled" | "WanVideoDecode":
            return of("samples")
        case "VAEEncode":
            return of("pixels")
        case "ImageFromBatch":
            clip, kept = of("image"), node.inputs["length"]
            return msgspec.structs.replace(clip, frames=min(kept, clip.frames))
        case "SeedVR2VideoUpscaler":
            clip = of("image")
            short, longest = node.inputs["resolution"], node.inputs["max_resolution"]
            width, height = upscaled_size(clip.width, clip.height, short, longest)
            return msgspec.structs.replace(clip, width=width, height=height)
        case "ResizeImageMaskNode":
            clip, short = of("input"), node.inputs["resize_type.shorter_size"]
            wide = clip.width >= clip.height
            long = round(max(clip.width, clip.height) / min(clip.width, clip.height) * short)
            width, height = (long, short) if wide else (short, long)
            return msgspec.structs.replace(clip, width=width, height=height)
        case "SeedVR2Preprocess":
            return padded(of("resized_images"))
        case "VAEEncodeTiled":
            return of("pixels")
        case "SeedVR2TemporalChunk":
            return of("latent")
        case "KSampler":
            return of("latent_image")
        case "SeedVR2TemporalMerge":
            return of("latents")
        case "SeedVR2PostProcessing":
            clip, before = of("images"), of("original_resized_images")
            assert padded(before) == clip
            return msgspec.structs.replace(
                before, width=before.width // 2 * 2, height=before.height // 2 * 2
            )
        case "FrameInterpolate":
            clip = of("images")
            frames = (clip.frames - 1) * node.inputs["multiplier"] + 1
            return msgspec.structs.replace(clip, frames=frames)
        case "RIFE VFI":
            clip = of("frames")
            frames = (clip.frames - 1) * node.inputs["multiplier"] + 1
            return msgspec.structs.replace(clip, frames=frames)
        case "CreateVideo":
            return msgspec.structs.replace(of("images"), fps=node.inputs["fps"])
    raise AssertionError(f"What does {node.class_type} make?")


def padded(clip: Clip) -> Clip:
    """Give a clip as SeedVR2 takes it: edges of 16 pixels, 4n+1 frames."""
    return Clip(
        -(-clip.width // 16) * 16,
        -(-clip.height // 16) * 16,
        -(-(clip.frames - 1) // 4) * 4 + 1,
        clip.fps,
    )


def latent(width: int, height: int, frames: int) -> Clip:
    return Clip(width // 8 * 8, height // 8 * 8, (frames - 1) // 4 * 4 + 1)


def doubts(recipe: Recipe, ticket: Ticket, image: SourceImage, gigabytes: float) -> list[str]:
    """Plan a job, and judge what its stages make; Rejected where it is not admitted."""
    on = recipe.on(gigabytes)
    plan = on.plan(ticket, image, 7, end=msgspec.structs.replace(image, sha256="1" * 64))
    attempt = Attempt(number=1, prompt_id="", engine="e", memory=gigabytes)
    first, *others = recipe.file.stages
    job = Job(
        id="0" * 32,
        created=1.0,
        updated=1.0,
        state=State.RUNNING,
        stem="cat",
        images=(image,) * recipe.file.pictures,
        ticket=ticket,
        plan=plan,
        stages=(Stage(name=first.name, attempts=(attempt,)), *(Stage(name=s.name) for s in others)),
    )
    clip, found = Clip(image.width, image.height, image.frames, image.fps), []
    for spec in recipe.file.stages:
        clip = made(on.build(plan, spec, files=FILES, prefix="x"), spec.output, clip)
        measured = Measured(
            frames=clip.frames, fps=clip.fps, duration=clip.frames / clip.fps,
            width=clip.width, height=clip.height, codec="h264", size=1, luma=90.0, dark=0.0,
            clipped=0.0, motion=1.0, repeated=0.0, grain=(1.0, 1.0, 1.0),
        )  # fmt: skip
        expected = expectation(on, spec, job)
        for measure in (SizeMeasure, LengthMeasure):
            found += [f"{spec.name}: {each.sentence}" for each in measure.judge(measured, expected)]
    return found


def picture(recipe: Recipe, width: int, height: int, frames: int = 81) -> SourceImage:
    moves = recipe.file.clip is not None
    return plain_image(
        width=width, height=height, frames=frames if moves else 0, fps=16.0 if moves else 0.0
    )


@st.composite
def asked(draw: st.DrawFn) -> tuple[str, Ticket, tuple[int, int], float]:
    """Draw a recipe, a ticket for it whose values like extremes, a picture and a GPU."""
    name = draw(st.sampled_from(NAMES))
    file = SHELF.get(name).file
    size, length = file.size, file.length
    edges = st.none() | st.integers(size.min_edge, size.max_edge) if size else st.none()
    frames = st.none() | st.integers(length.min, length.max) if length else st.none()
    given_ = {}
    for key, parameter in file.parameters.items():
        if parameter.type in ("int", "float") and draw(st.booleans()):
            given_[key] = draw(numbers(parameter))
        elif parameter.allowed and draw(st.booleans()):
            given_[key] = draw(st.sampled_from(parameter.allowed))
    ticket = Ticket(
        recipe=name,
        width=draw(edges),
        height=draw(edges),
        frames=draw(frames),
        auto_resize=draw(st.booleans()) if size else True,
        parameters=given_,
    )
    shape = draw(st.tuples(st.integers(64, 4000), st.integers(64, 4000)))
    return name, ticket, shape, draw(st.sampled_from([0.0, *map(float, file.memory)]))


def numbers(parameter: Parameter) -> st.SearchStrategy[int | float]:
    low, high = parameter.min or 0, parameter.max if parameter.max is not None else 10_000
    if parameter.type == "float":
        return st.sampled_from([low, high]) | st.floats(low, high)
    step = int(parameter.step or 1)
    whole = st.integers(0, int((high - low) // step)).map(lambda n: int(low) + n * step)
    return st.sampled_from([int(low), int(low) + int((high - low) // step) * step]) | whole


HERO = "wan22-i2v-hero"


@settings(max_examples=150)
@given(asked())
@example((HERO, Ticket(recipe=HERO, parameters={"resolution": 480}), (832, 480), 0.0))
@example((HERO, Ticket(recipe=HERO, width=1280, height=1280), (832, 480), 0.0))
@example(
    (
        "seedvr2-rife-upscale",
        Ticket(recipe="seedvr2-rife-upscale", parameters={"max_resolution": 1000}),
        (1280, 720),
        0.0,
    )
)
@example(
    (
        "seedvr2-rife-native",
        Ticket(recipe="seedvr2-rife-native", parameters={"max_resolution": 1000}),
        (1280, 720),
        0.0,
    )
)
def test_what_is_admitted_has_the_size_and_the_length_that_are_expected(case):
    name, ticket, shape, gigabytes = case
    recipe = SHELF.get(name)
    try:
        found = doubts(recipe, ticket, picture(recipe, *shape), gigabytes)
    except Rejected:
        event("rejected")
        return
    event("admitted")
    assert found == []


@pytest.mark.parametrize("name", NAMES)
def test_without_a_ticket_every_shape_is_admitted_on_every_gpu(name):
    recipe = SHELF.get(name)
    shapes = [(640, 360)] if recipe.file.clip else [(832, 480), (480, 832), (4000, 300), (1, 1)]
    for gigabytes in (0.0, *map(float, recipe.file.memory)):
        for shape in shapes:
            assert doubts(recipe, Ticket(recipe=name), picture(recipe, *shape), gigabytes) == []


@pytest.mark.parametrize(
    ("name", "shape", "ticket", "says", "step"),
    [
        (
            HERO,
            (832, 480),
            {"parameters": {"resolution": 480}, "width": 832, "height": 480},
            "The clip has 832x480 pixels, and the video made of it would have 832x480: no larger,",
            "In the ticket, set resolution to 482 or more, or width and height to smaller values.",
        ),
        (
            HERO,
            (832, 480),
            {"width": 1280, "height": 1280},
            "The clip has 1280x1280 pixels, and the video made of it would have 1080x1080:",
            "In the ticket, set resolution to 1282 or more, or width and height to smaller values.",
        ),
        (
            "seedvr2-rife-upscale",
            (1280, 720),
            {"parameters": {"max_resolution": 1000}},
            "The clip has 1280x720 pixels, and the video made of it would have 1000x562: no larger,",
            "In the ticket, set max_resolution to 1284 or more.",
        ),
        (
            "seedvr2-rife-native",
            (1280, 720),
            {"parameters": {"max_resolution": 1000}},
            "The clip has 1280x720 pixels, and the video made of it would have 1000x562: no larger,",
            "In the ticket, set max_resolution to 1284 or more.",
        ),
        (
            "wan22-i2v-hero-native",
            (832, 480),
            {"width": 1280, "height": 1280},
            "The clip has 1280x1280 pixels, and the video made of it would have 1080x1080:",
            "In the ticket, set resolution to 1282 or more, or width and height to smaller values.",
        ),
        (
            "seedvr2-rife-upscale",
            (3840, 300),
            {"parameters": {"max_resolution": 3840}},
            "The clip has 3840x300 pixels, and the video made of it would have 3840x300: no larger,",
            "Use a smaller video.",
        ),
    ],
)
def test_what_could_not_become_larger_is_rejected_before_with_what_to_set(
    name, shape, ticket, says, step
):
    recipe = SHELF.get(name)
    with pytest.raises(Rejected) as caught:
        doubts(recipe, Ticket(recipe=name, **ticket), picture(recipe, *shape), 0.0)
    assert caught.value.reason.key == "video-size"
    assert caught.value.reason.sentence.startswith(says)
    assert caught.value.reason.next_step == step
    if recipe.file.clip is None:
        with pytest.raises(Rejected, match="no larger"):
            check_ticket(GATE, recipe, Ticket(recipe=name, **ticket), {"e0": 0.0}, shape)


@given(st.integers(16, 4000), st.integers(16, 4000), st.integers(16, 4000), st.integers(0, 4000))
def test_a_size_is_never_said_to_be_larger_than_the_upscaler_makes_it(width, height, short, most):
    found = Enlarger(short=short, longest=most).size(width, height)
    real = upscaled_size(width, height, short, most)
    assert all(said <= it for said, it in zip(found, real, strict=True))


@pytest.mark.parametrize("name", [name for name in NAMES if SHELF.get(name).file.clip is None])
def test_every_expert_has_steps_and_takes_over_where_the_other_ends_at_every_corner(name):
    recipe = SHELF.get(name)
    whole = {
        key: (int(each.min or 0), int(each.max or 0))
        for key, each in recipe.file.parameters.items()
        if each.type == "int" and key != "resolution"
    }
    for corner in itertools.product(*whole.values()):
        asked_ = dict(zip(whole, corner, strict=True))
        ticket = Ticket(recipe=name, parameters=asked_)
        plan = recipe.plan(ticket, picture(recipe, 832, 480), 7)
        graph = recipe.build(plan, recipe.file.stages[0], files=FILES, prefix="x")
        for node in graph.values():
            given_ = node.inputs
            if node.class_type == "ClownsharKSampler_Beta":
                assert 0 < given_["steps_to_run"] < given_["steps"], asked_
            if node.class_type != "KSamplerAdvanced":
                continue
            start, end = given_["start_at_step"], given_["end_at_step"]
            assert start < min(end, given_["steps"]), asked_
            before = graph[given_["latent_image"][0]]
            if before.class_type == "KSamplerAdvanced":
                left = (before.inputs["end_at_step"], before.inputs["steps"])
                assert left == (start, given_["steps"]), asked_
