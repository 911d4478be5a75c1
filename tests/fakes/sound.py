"""A file of sound without a picture, which a folder of videos may hold."""

from __future__ import annotations

import io

import av
import numpy as np


def sound_alone() -> bytes:
    """Give a second of silence as an MP4."""
    stream = io.BytesIO()
    with av.open(stream, "w", format="mp4") as container:
        voice = container.add_stream("aac", rate=8000)
        quiet = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), "fltp", "mono")
        quiet.sample_rate = 8000
        container.mux([*voice.encode(quiet), *voice.encode()])
    return stream.getvalue()
