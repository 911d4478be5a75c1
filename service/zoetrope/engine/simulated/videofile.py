"""Video files, written and read by PyAV: H.264 in MP4, and FFV1 in Matroska."""

import json
from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from .mark import stamped
from .values import Frames, Sound


def write_video(
    path: Path,
    frames: Frames,
    fps: Fraction,
    tags: Mapping[str, Any],
    sound: Sound | None = None,
    *,
    live: Callable[[], None],
) -> None:
    """Write frames as H.264 in MP4, every one marked, and sound as AAC; the tags go into the container."""
    # The codec takes even sizes only; the real engine drops the last row or column too.
    height, width = (side - side % 2 for side in frames.shape[1:3])
    with av.open(str(path), "w", options={"movflags": "use_metadata_tags"}) as container:
        for name, value in tags.items():
            container.metadata[name] = json.dumps(value)
        stream = container.add_stream("libx264", rate=fps)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        # Small clips are done before threads have started.
        stream.thread_count = 1 if width * height < 200_000 else 2
        stream.options = {"preset": "veryfast", "crf": "16"}
        voice = None
        if sound is not None:
            layout = "mono" if len(sound.samples) == 1 else "stereo"
            voice = container.add_stream("aac", rate=sound.rate, layout=layout)
        for frame in frames:
            live()
            picture = av.VideoFrame.from_ndarray(stamped(frame[:height, :width]), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
        if sound is not None and voice is not None:
            heard = av.AudioFrame.from_ndarray(sound.samples[:2], "fltp", voice.layout.name)
            heard.sample_rate = sound.rate
            container.mux([*voice.encode(heard), *voice.encode()])


def write_whole(path: Path, frames: Frames, fps: Fraction, *, live: Callable[[], None]) -> None:
    """Write frames as FFV1 in Matroska, every one marked and none changed otherwise."""
    height, width = frames.shape[1:3]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=fps)
        stream.width, stream.height, stream.pix_fmt = width, height, "bgra"
        stream.thread_count = 2
        stream.options = {"level": "3", "slices": "4", "g": "1"}
        for frame in frames:
            live()
            container.mux(stream.encode(av.VideoFrame.from_ndarray(stamped(frame), format="rgb24")))
        container.mux(stream.encode())


def read_video(path: Path) -> tuple[Frames, Fraction]:
    """Read all frames of a video, and its rate."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
        rate = stream.average_rate or Fraction(16)
    if not frames:
        raise ValueError(f"No frames in {path.name}")
    return np.stack(frames), Fraction(rate)


def read_sound(path: Path) -> Sound | None:
    """Read the sound of a video, if it has any."""
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return None
        stream = container.streams.audio[0]
        plain = av.AudioResampler(format="fltp")
        parts = [
            part.to_ndarray()
            for frame in container.decode(stream)
            for part in plain.resample(frame)
        ]
        return Sound(np.concatenate(parts, axis=1), stream.rate) if parts else None


def video_info(frames: Frames, fps: Fraction, prefix: str) -> dict[str, Any]:
    """Describe a clip as VideoHelperSuite's info output does."""
    return {
        f"{prefix}_fps": float(fps),
        f"{prefix}_frame_count": len(frames),
        f"{prefix}_duration": float(len(frames) / fps),
        f"{prefix}_width": frames.shape[2],
        f"{prefix}_height": frames.shape[1],
    }
