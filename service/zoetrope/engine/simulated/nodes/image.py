"""Nodes for pictures: loading, scaling, batching and saving."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, PngImagePlugin, UnidentifiedImageError

from ..context import Context
from ..errors import BadFile, NotSimulated
from ..mark import stamped
from ..values import Frames, Result
from .registry import plays

_METHODS = {
    "nearest-exact": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "area": Image.Resampling.BOX,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
    "bislerp": Image.Resampling.BICUBIC,
}


def scaled(frames: Frames, width: int, height: int, method: str) -> Frames:
    """Scale every picture."""
    if frames.shape[1:3] == (height, width):
        return frames
    kind = _METHODS.get(method, Image.Resampling.BICUBIC)
    return np.stack([np.asarray(Image.fromarray(f).resize((width, height), kind)) for f in frames])


def centred(frames: Frames, width: int, height: int) -> Frames:
    """Cut the middle out of every picture so that it has the wanted shape."""
    old_height, old_width = frames.shape[1:3]
    old, new = old_width / old_height, width / height
    left = round((old_width - old_width * new / old) / 2) if old > new else 0
    top = round((old_height - old_height * old / new) / 2) if old < new else 0
    return frames[:, top : old_height - top, left : old_width - left]


def fit(frames: Frames, width: int, height: int) -> Frames:
    """Bring pictures to a video's size as WAN's nodes do: cut the middle, then scale."""
    return scaled(centred(frames, width, height), width, height, "bilinear")


@plays("LoadImage")
def load_image(context: Context, *, image: str) -> Result:
    """Load a picture: upright, without its alpha."""
    path = context.files.find(image)
    if path is None:
        raise BadFile(f"Invalid image file: {image}")
    try:
        with Image.open(path) as picture:
            upright = ImageOps.exif_transpose(picture)
            alpha = upright.getchannel("A") if "A" in upright.getbands() else None
            frames = np.asarray(upright.convert("RGB"))[None]
    except (UnidentifiedImageError, OSError, SyntaxError) as problem:
        raise BadFile(f"cannot identify image file '{path}'") from problem
    mask = np.zeros((1, 64, 64), np.uint8) if alpha is None else 255 - np.asarray(alpha)[None]
    return Result((frames, mask))


@plays("ImageScale")
def scale(
    _: Context, *, image: Frames, upscale_method: str, width: int, height: int, crop: str
) -> Result:
    """Scale pictures to a size; a zero is filled in from the shape."""
    old_height, old_width = image.shape[1:3]
    if width == 0 and height == 0:
        return Result((image,))
    width = width or max(1, round(old_width * height / old_height))
    height = height or max(1, round(old_height * width / old_width))
    if crop == "center":
        image = centred(image, width, height)
    return Result((scaled(image, width, height, upscale_method),))


@plays("ImageScaleBy")
def scale_by(_: Context, *, image: Frames, upscale_method: str, scale_by: float) -> Result:
    """Scale pictures by a factor."""
    height, width = (round(side * scale_by) for side in image.shape[1:3])
    return Result((scaled(image, width, height, upscale_method),))


@plays("ImageScaleToTotalPixels")
def scale_to_total(
    _: Context,
    *,
    image: Frames,
    upscale_method: str,
    megapixels: float,
    resolution_steps: int = 1,
) -> Result:
    """Scale pictures to so many pixels."""
    height, width = image.shape[1:3]
    factor = (megapixels * 1024 * 1024 / (width * height)) ** 0.5
    sides = [
        max(1, round(side * factor / resolution_steps)) * resolution_steps
        for side in (width, height)
    ]
    return Result((scaled(image, sides[0], sides[1], upscale_method),))


@plays("ResizeImageMaskNode")
def resize(_: Context, *, resize_type: str, scale_method: str, **options: Any) -> Result:
    """Scale pictures in one of several ways, each with an input of its own."""
    frames: Frames = options["input"]
    height, width = frames.shape[1:3]
    match resize_type:
        case "scale shorter dimension":
            factor = options["resize_type.shorter_size"] / min(width, height)
        case "scale longer dimension":
            factor = options["resize_type.longer_size"] / max(width, height)
        case "scale by multiplier":
            factor = options["resize_type.multiplier"]
        case _:
            raise NotSimulated(f"The simulated engine does not support to {resize_type}.")
    sides = round(width * factor), round(height * factor)
    return Result((scaled(frames, *sides, scale_method),))


@plays("ImageFromBatch")
def from_batch(_: Context, *, image: Frames, batch_index: int, length: int) -> Result:
    """Take some pictures out of a batch."""
    start = batch_index + len(image) if batch_index < 0 else batch_index
    start = min(max(start, 0), len(image) - 1)
    return Result((image[start : start + length],))


@plays("RepeatImageBatch")
def repeat(_: Context, *, image: Frames, amount: int) -> Result:
    """Repeat a batch."""
    return Result((np.tile(image, (amount, 1, 1, 1)),))


@plays("ImageBatch")
def batch(_: Context, *, image1: Frames, image2: Frames) -> Result:
    """Join two batches; the second takes the first one's size."""
    second = scaled(
        centred(image2, image1.shape[2], image1.shape[1]),
        image1.shape[2],
        image1.shape[1],
        "bilinear",
    )
    return Result((np.concatenate([image1, second]),))


@plays("GetImageSizeAndCount")
def size_and_count(_: Context, *, image: Frames) -> Result:
    """Tell a batch's size."""
    return Result((image, image.shape[2], image.shape[1], len(image)))


@plays("SaveImage")
def save(context: Context, *, images: Frames, filename_prefix: str) -> Result:
    """Save pictures to the output folder."""
    return _saved(context, images, filename_prefix, temp=False)


@plays("PreviewImage")
def preview(context: Context, *, images: Frames) -> Result:
    """Save pictures to the temp folder."""
    letters = hashlib.sha256(context.node_id.encode()).digest()[:5]
    word = "".join("abcdefghijklmnopqrstuvwxyz"[n % 26] for n in letters)
    return _saved(context, images, f"ComfyUI_temp_{word}", temp=True)


def _saved(context: Context, images: Frames, prefix: str, *, temp: bool) -> Result:
    height, width = images.shape[1:3]
    place = context.files.next_output(prefix, width=width, height=height, temp=temp)
    tags = PngImagePlugin.PngInfo()
    tags.add_text("prompt", json.dumps(context.graph))
    for name, value in context.page_info.items():
        tags.add_text(name, json.dumps(value))
    entries = []
    for i, frame in enumerate(images):
        context.live()
        name = f"{place.name}_{place.counter + i:05}_.png"
        path = context.files.saving(place, name)
        Image.fromarray(stamped(frame)).save(path, pnginfo=tags, compress_level=1)
        vanish(context, path)
        kind = "temp" if temp else "output"
        entries.append({"filename": name, "subfolder": place.subfolder, "type": kind})
    return Result((images,), {"images": entries})


def vanish(context: Context, path: Path) -> None:
    """Lose a saved file if that was ordered."""
    if context.faults.strikes("vanish", context.class_type):
        path.unlink()
