"""R: frames between frames, and the rate that they are shown at."""

from __future__ import annotations

from collections.abc import Iterator

from ..classes import INTERPOLATORS
from ..findings import Hit, Put, quote
from ..pictures import Canvas, Playback, Trail, trace
from ..registry import rule
from ..subject import Subject
from ..upscalers import Upscaler

#: What 14B weights make in a second.
LARGE_FPS = 16
#: A recipe's tag: the slowness is meant.
SLOW_MOTION = "slow-motion"

_BYTES_A_PIXEL = 12
_PATIENT = 20


def is_large(subject: Subject, playback: Playback) -> bool:
    """Whether what is shown was made by 14B weights."""
    stage = subject.stages.get(playback.trail.sampler or "")
    return stage is not None and stage.chain.tag.large


def other_rate(playback: Playback, wanted: float) -> Hit:
    """Say that a video is shown at a wrong rate, and the right one."""
    return Hit(
        node=playback.node,
        input=playback.input,
        found=f"{playback.input} = {quote(playback.fps)}",
        fix=f"Use {wanted:g} frames a second.",
        changes=(Put(playback.node, playback.input, float(wanted)),),
    )


@rule(
    "R001",
    "warn",
    title="interpolated before it is upscaled",
    why="The upscaler then processes twice the frames, and sharpens interpolated ones.",
    fix="Upscale first, then interpolate.",
    source="community notes: SeedVR2, then RIFE",
)
def interpolated_first(subject: Subject) -> Iterator[Hit]:
    """Find upscalers whose frames come from an interpolator."""
    for upscaler in subject.upscalers.values():
        for node_id in upscaler.trail.nodes:
            if subject.read.class_of(node_id) in INTERPOLATORS:
                yield Hit(node=node_id, found=f"{upscaler.node} upscales its frames")
    for native in subject.read.of("SeedVR2Preprocess"):
        for node_id in trace(subject.read, native, "resized_images").nodes:
            if subject.read.class_of(node_id) in INTERPOLATORS:
                yield Hit(node=node_id, found=f"{native} prepares its frames for SeedVR2")


@rule(
    "R002",
    "error",
    title="frame rate not raised after interpolation",
    why="There are more frames than before; if the frame rate does not grow with them, the"
    " video is slow motion.",
    fix="Multiply the frame rate like the frames, or tag the recipe slow-motion.",
    source="official frame interpolation template",
)
def interpolated_but_slow(subject: Subject) -> Iterator[Hit]:
    """Find videos with interpolated frames whose rate did not grow as their number did."""
    if SLOW_MOTION in subject.context.recipe.tags:
        return
    for playback in subject.playbacks:
        times = playback.trail.multiplier
        if times is None or times < 2:
            continue
        base = _base_rate(subject, playback)
        if base is not None and playback.fps is not None and playback.fps < base * times:
            yield other_rate(playback, base * times)
        elif _links_source_rate(subject, playback):
            found = f"{playback.input} is the rate of the source, for {times} times the frames"
            yield Hit(node=playback.node, input=playback.input, found=found)


def _base_rate(subject: Subject, playback: Playback) -> float | None:
    if is_large(subject, playback):
        return LARGE_FPS
    loader = playback.trail.loader
    if loader is None or subject.read.number(loader, "select_every_nth") not in {None, 1}:
        return None
    return subject.read.number(loader, "force_rate") or None


def _links_source_rate(subject: Subject, playback: Playback) -> bool:
    link = subject.read.source(playback.node, playback.input)
    if link is None:
        return False
    signature = subject.catalog.get(subject.read.class_of(link.node))
    names = signature.output_names if signature else ()
    return 0 <= link.slot < len(names) and "fps" in names[link.slot]


@rule(
    "R003",
    "warn",
    title="interpolator that fails silently",
    why="FL_RIFE returns its input frames when its model does not load.",
    fix="Use RIFE VFI, or count the output frames.",
    source="ComfyUI_Fill-Nodes FL_RIFE.py",
)
def silent_interpolator(subject: Subject) -> Iterator[Hit]:
    """Find FL_RIFE."""
    for node_id in subject.read.of("FL_RIFE"):
        yield Hit(node=node_id, found="class 'FL_RIFE'")


@rule(
    "R004",
    "warn",
    title="interpolation that fills the memory",
    why="Frames and their copies accumulate until the cache is cleared; at 1080 lines that is"
    " gigabytes.",
    fix="Clear the cache after 10 frames or fewer.",
    source="Fannovel16/ComfyUI-Frame-Interpolation #36, PR #52",
)
def filling_memory(subject: Subject) -> Iterator[Hit]:
    """Find RIFE that clears its cache seldom after a large upscale, or needs more than the host has."""
    for node_id in subject.read.of("RIFE VFI"):
        trail = trace(subject.read, node_id, "frames")
        found = subject.upscalers
        upscaler = next((found[n] for n in trail.nodes if n in found), None)
        interval = subject.read.whole(node_id, "clear_cache_after_n_frames")
        large = upscaler is not None and (upscaler.resolution or 0) >= 1080
        if large and interval is not None and interval > _PATIENT:
            name = "clear_cache_after_n_frames"
            put = (Put(node_id, name, 10),)
            shown = f"{name} = {quote(interval)} at {upscaler.resolution if upscaler else 0} lines"
            yield Hit(node=node_id, input=name, found=shown, changes=put)
            continue
        needed = _gigabytes(subject.canvas_of(trail), upscaler, trail)
        ram = subject.host.ram_gb
        if needed is not None and ram is not None and needed > ram:
            yield Hit(node=node_id, found=f"about {needed:.0f} GB, where the host has {ram:g}")


def _gigabytes(canvas: Canvas | None, upscaler: Upscaler | None, trail: Trail) -> float | None:
    """Estimate frames and their copies, as far as their size and number are known."""
    if canvas is None or canvas.frames is None or not trail.same_count or trail.multiplier is None:
        return None
    if not canvas.width or not canvas.height:
        return None
    scale = 1.0
    if upscaler is not None:
        if not upscaler.resolution:
            return None
        scale = upscaler.resolution / min(canvas.width, canvas.height)
    elif not trail.same_size:
        return None
    pixels = canvas.width * canvas.height * scale**2
    return canvas.frames * trail.multiplier * pixels * _BYTES_A_PIXEL * 2 / 2**30
