"""Nodes for video files."""

from fractions import Fraction

from PIL import Image

from ..context import Context
from ..errors import NotSimulated
from ..files import Saved
from ..mark import stamped
from ..values import Frames, Result, SimulatedVideo, Sound
from ..videofile import read_sound, read_video, video_info, write_video, write_whole
from .image import scaled, vanish
from .registry import plays

#: The formats of VideoHelperSuite that end in .mp4; each is written as H.264.
_MP4 = frozenset(
    f"video/{name}-mp4" for name in ("h264", "h265", "nvenc_h264", "nvenc_hevc", "nvenc_av1")
)
#: Its format without loss.
_WHOLE = "video/ffv1-mkv"


@plays("CreateVideo")
def create(
    _: Context, *, images: Frames, fps: float, audio: Sound | None = None, bit_depth: int = 8
) -> Result:
    """Give frames a rate, and sound if there is some."""
    rate = Fraction(fps).limit_denominator(100_000)
    return Result((SimulatedVideo(rate, frames=images, sound=audio, bit_depth=bit_depth),))


@plays("SaveVideo")
def save(
    context: Context, *, video: SimulatedVideo, filename_prefix: str, **_format: object
) -> Result:
    """Write an MP4 that carries the graph in its tags."""
    frames, fps = _components(video)
    height, width = frames.shape[1:3]
    place = context.files.next_output(filename_prefix, width=width, height=height)
    name = f"{place.name}_{place.counter:05}_.mp4"
    sound = video.sound if video.file is None else read_sound(video.file)
    _write(context, place, name, frames, fps, sound)
    entry = {"filename": name, "subfolder": place.subfolder, "type": "output"}
    return Result((video,), {"images": [entry], "animated": [True]})


@plays("LoadVideo")
def load(context: Context, *, file: str) -> Result:
    """Name a video file; it is read when its frames are wanted."""
    path = context.files.find(file)
    if path is None:
        raise FileNotFoundError(file)
    return Result((SimulatedVideo(Fraction(0), file=path),))


@plays("GetVideoComponents")
def components(_: Context, *, video: SimulatedVideo) -> Result:
    """Take a video apart."""
    frames, fps = _components(video)
    sound = video.sound if video.file is None else read_sound(video.file)
    return Result((frames, sound, float(fps), video.bit_depth))


@plays("VHS_LoadVideo", "VHS_LoadVideoFFmpeg")
def vhs_load(
    context: Context,
    *,
    video: str,
    force_rate: float = 0,
    custom_width: int = 0,
    custom_height: int = 0,
    frame_load_cap: int = 0,
    skip_first_frames: int = 0,
    select_every_nth: int = 1,
    **_rest: object,
) -> Result:
    """Read frames from a video, some of them if asked so."""
    path = context.files.find(video)
    if path is None:
        raise FileNotFoundError(video)
    frames, fps = read_video(path)
    source = video_info(frames, fps, "source")
    if force_rate:
        count = max(1, round(len(frames) * force_rate / float(fps)))
        frames = frames[
            [min(len(frames) - 1, int(i * float(fps) / force_rate)) for i in range(count)]
        ]
        fps = Fraction(force_rate).limit_denominator(1000)
    frames = frames[skip_first_frames::select_every_nth]
    frames = frames[:frame_load_cap] if frame_load_cap else frames
    if not len(frames):
        raise RuntimeError("No frames generated")
    height, width = frames.shape[1:3]
    if custom_width or custom_height:
        wide = custom_width or round(width * custom_height / height)
        high = custom_height or round(height * custom_width / width)
        frames = scaled(frames, wide, high, "lanczos")
    fps = fps / select_every_nth
    info = {**source, **video_info(frames, fps, "loaded")}
    return Result((frames, len(frames), None, info))


@plays("VHS_VideoCombine")
def vhs_combine(
    context: Context,
    *,
    images: Frames,
    frame_rate: float,
    filename_prefix: str,
    format: str,  # noqa: A002 - the node's own name for it
    save_output: bool,
    pingpong: bool = False,
    **_rest: object,
) -> Result:
    """Write a video and a PNG of its first frame that carries the workflow."""
    if format not in {*_MP4, _WHOLE}:
        raise NotSimulated(f"The simulated engine does not write {format}.")
    if pingpong and len(images) > 2:
        images = images[[*range(len(images)), *range(len(images) - 2, 0, -1)]]
    temp = not save_output
    place = context.files.next_output(filename_prefix, temp=temp)
    stem = f"{place.name}_{place.counter:05}"
    Image.fromarray(stamped(images[0])).save(context.files.saving(place, f"{stem}.png"))
    name = f"{stem}.{'mkv' if format == _WHOLE else 'mp4'}"
    for i in range(len(images)):
        context.count(i + 1, len(images))
    fps = Fraction(frame_rate).limit_denominator(100_000)
    if format == _WHOLE:
        path = context.files.saving(place, name)
        write_whole(path, images, fps, live=context.live)
        vanish(context, path)
    else:
        _write(context, place, name, images, fps)
    entry = {
        "filename": name,
        "subfolder": place.subfolder,
        "type": "temp" if temp else "output",
        "format": format,
        "frame_rate": float(frame_rate),
        "workflow": f"{stem}.png",
        "fullpath": str(place.folder / name),
    }
    return Result(((save_output, [entry["fullpath"]]),), {"gifs": [entry]})


def _components(video: SimulatedVideo) -> tuple[Frames, Fraction]:
    if video.frames is not None:
        return video.frames, video.fps
    assert video.file is not None
    return read_video(video.file)


def _write(
    context: Context,
    place: Saved,
    name: str,
    frames: Frames,
    fps: Fraction,
    sound: Sound | None = None,
) -> None:
    tags = {"prompt": context.graph, **context.page_info}
    path = context.files.saving(place, name)
    write_video(path, frames, fps, tags, sound, live=context.live)
    vanish(context, path)
