"""WAN's conditioning nodes: what the video should show, and an empty latent for it."""

import numpy as np

from ..codec import BLOCK, CHANNELS, latent_length
from ..context import Context
from ..values import Conditioning, Frames, Latent, Result, Scene
from .image import fit
from .registry import plays


@plays("WanImageToVideo")
def image_to_video(
    _: Context,
    *,
    positive: Conditioning,
    negative: Conditioning,
    width: int,
    height: int,
    length: int,
    batch_size: int,
    start_image: Frames | None = None,
    **_rest: object,
) -> Result:
    """Start a video from a picture."""
    start = None if start_image is None else fit(start_image[:length], width, height)
    scene = Scene(width, height, length, start)
    return _conditioned(scene, positive, negative, batch_size)


@plays("WanFirstLastFrameToVideo", "WanFunInpaintToVideo")
def first_last_frame(
    _: Context,
    *,
    positive: Conditioning,
    negative: Conditioning,
    width: int,
    height: int,
    length: int,
    batch_size: int,
    start_image: Frames | None = None,
    end_image: Frames | None = None,
    **_rest: object,
) -> Result:
    """Lead a video from one picture to another."""
    start = None if start_image is None else fit(start_image[:length], width, height)
    end = None if end_image is None else fit(end_image[-length:], width, height)
    scene = Scene(width, height, length, start, end)
    return _conditioned(scene, positive, negative, batch_size)


@plays("Wan22FunControlToVideo", "WanFunControlToVideo")
def fun_control(
    _: Context,
    *,
    positive: Conditioning,
    negative: Conditioning,
    width: int,
    height: int,
    length: int,
    batch_size: int,
    **_rest: object,
) -> Result:
    """Follow a control video; an i2v model drops the picture, and so does this."""
    scene = Scene(width, height, length)
    return _conditioned(scene, positive, negative, batch_size)


@plays("EmptyHunyuanLatentVideo")
def empty(_: Context, *, width: int, height: int, length: int, batch_size: int) -> Result:
    """Make an empty latent."""
    return Result((_empty(width, height, length, batch_size),))


def _conditioned(
    scene: Scene, positive: Conditioning, negative: Conditioning, batch_size: int
) -> Result:
    return Result(
        (
            Conditioning(positive.text, scene),
            Conditioning(negative.text, scene),
            _empty(scene.width, scene.height, scene.length, batch_size),
        )
    )


def _empty(width: int, height: int, length: int, batch_size: int) -> Latent:
    shape = (batch_size, CHANNELS, latent_length(length), height // BLOCK, width // BLOCK)
    return Latent(np.zeros(shape, dtype=np.float32))
