"""The work on one picture's pixels: first frame, 8 bits, sRGB, flat on white, oriented.

Runs in the worker process alone; the service itself never imports Pillow.
"""

from __future__ import annotations

import hashlib
import importlib
import io
import warnings
from functools import lru_cache
from pathlib import Path

import msgspec
from PIL import Image, ImageChops, ImageCms, ImageOps, PngImagePlugin, UnidentifiedImageError

from ..errors import Rejected
from .formats import HEAD, is_short, refusal, sniff

MIN_EDGE = 16
MAX_ASPECT = 8
SMALL = 320  # pixels of a small copy's longer edge

# Our own limits are checked against the header; Pillow's warning would come as an error in tests.
Image.MAX_IMAGE_PIXELS = None
# A ComfyUI picture carries its whole workflow as text; the default of 1 MiB rejects big ones.
PngImagePlugin.MAX_TEXT_CHUNK = 16 * 2**20

_PLAIN = frozenset({"RGB", "L"})
_ORIENTATION = 0x0112
_STRIPE = 256  # lines at once, so that a hash takes no second copy of a large picture
_PLUGINS = {
    "WEBP": "PIL.WebPImagePlugin",
    "AVIF": "PIL.AvifImagePlugin",
    "TIFF": "PIL.TiffImagePlugin",
}


class OpenedPicture(msgspec.Struct, frozen=True, kw_only=True):
    """What came of opening a picture; `made` tells whether a changed copy was written."""

    format: str
    width: int
    height: int
    made: bool
    frames: int = 0  # of a video
    fps: float = 0.0
    changes: tuple[str, ...] = ()
    pixels: str = ""


def prepare(
    source: Path, target: Path, max_megapixels: int, small: Path | None = None
) -> OpenedPicture:
    """Open and decode a picture wholly; write an oriented, opaque, 8-bit copy where the engine needs one.

    `small` is where a small copy goes, for people to know the picture by.
    """
    with source.open("rb") as stream:
        head = stream.read(HEAD)
    kind = sniff(head)
    if kind is None:
        raise refusal(head)
    try:
        # Pillow warns of what it can live with; nobody reads that in a worker.
        with warnings.catch_warnings(action="ignore"), _open(source, kind) as image:
            measure(image.size, max_megapixels)
            changes: list[str] = []
            plain = _decode(image, kind, changes)
    except Rejected:
        raise
    except MemoryError as error:
        raise Rejected(
            "The picture needs more memory than is allowed for opening it.",
            "Save it smaller, or as PNG.",
            key="picture-too-large",
        ) from error
    except Exception as error:
        raise _damaged(error, short=is_short(source, kind)) from error
    if changes:
        # The lightest compression: the engine reads this once, and packing well takes seconds.
        plain.save(target, "PNG", compress_level=1)
    if small is not None:
        shrink(plain, small)
    return OpenedPicture(
        format=kind,
        width=plain.width,
        height=plain.height,
        made=bool(changes),
        changes=tuple(changes),
        pixels=seen(plain),
    )


def seen(image: Image.Image) -> str:
    """Hash what is seen in a picture: the same in a file of another format, or with other words in it."""
    digest = hashlib.sha256(f"{image.width}x{image.height}".encode())
    for top in range(0, image.height, _STRIPE):
        stripe = image.crop((0, top, image.width, min(image.height, top + _STRIPE)))
        digest.update(stripe.convert("RGB").tobytes())
    return digest.hexdigest()


def shrink(image: Image.Image, small: Path) -> None:
    """Write a small copy; it is shown next to a job's name, and nothing is made of it."""
    # Whole factors first, which is quick, and only the rest with a filter.
    width, height = (max(1, round(edge * SMALL / max(image.size))) for edge in image.size)
    if max(image.size) > SMALL:
        image = image.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2.0)
    image.save(small, "JPEG", quality=80)


def _open(source: Path, kind: str) -> Image.Image:
    if kind == "HEIC":
        # Imported late: few pictures need it, and it brings a decoder of many megabytes.
        from pillow_heif import register_heif_opener

        register_heif_opener()
        return Image.open(source, formats=["HEIF"])
    # Pillow imports all its forty plugins when a format is not there yet; one is enough.
    if plugin := _PLUGINS.get(kind):
        importlib.import_module(plugin)
    return Image.open(source, formats=[kind])


def measure(size: tuple[int, int], max_megapixels: int, what: str = "picture") -> None:
    """Reject by the header alone, before any pixel costs memory."""
    width, height = size
    if width * height > max_megapixels * 1_000_000:
        raise Rejected(
            f"The {what} is {width}x{height}, more than {max_megapixels} megapixels.",
            "Save it smaller, or raise inbox.max_megapixels.",
            key="picture-too-large",
        )
    if min(width, height) < MIN_EDGE:
        raise Rejected(
            f"The {what} is {width}x{height}; the shorter edge needs {MIN_EDGE} pixels or more.",
            f"Use a larger {what}.",
            key="picture-too-small",
        )
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise Rejected(
            f"The {what} is {width}x{height}, longer than {MAX_ASPECT} to 1.",
            "Crop it to a shape that a video can have.",
            key="picture-shape",
        )


def _decode(image: Image.Image, kind: str, changes: list[str]) -> Image.Image:
    # A phone's multi-picture JPEG is one photo with extras; its first picture is the photo.
    if getattr(image, "is_animated", False) and image.format != "MPO":
        changes.append("the first of several frames or pages was taken")
    # Pillow drops the lower half of 16-bit colours while it decodes; only the raw mode tells.
    halved = any(";16" in str(tile.args) for tile in getattr(image, "tile", ()))
    image.load()
    profile = image.info.get("icc_profile")
    if kind not in ("PNG", "JPEG", "WEBP"):
        changes.append(f"{kind} became PNG")
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image = _eight_bits(image, kind)
        halved = True
    if halved:
        changes.append("16 bits or more became 8")
    image = _plain_mode(image, changes)
    if profile:
        image = _to_srgb(image, profile, changes)
    image = _flatten(image, changes)
    if image.mode not in _PLAIN:
        changes.append(f"{image.mode} became RGB")
        image = image.convert("RGB")
    return _oriented(image, changes)


def _oriented(image: Image.Image, changes: list[str]) -> Image.Image:
    try:
        if image.getexif().get(_ORIENTATION, 1) not in range(2, 9):
            return image
        turned = ImageOps.exif_transpose(image)
    except Exception:  # a broken EXIF block fails in many ways, and the picture is whole without it
        changes.append("the EXIF data cannot be read and was ignored")
        return image
    changes.append("rotated as its EXIF says")
    return turned


def _eight_bits(image: Image.Image, kind: str) -> Image.Image:
    """Scale deep greys; a plain conversion may clip them to white."""
    wide = image if image.mode in ("I", "F") else image.convert("I")
    scale = 1 / 257
    if image.mode in ("I", "F") and kind != "PNG":
        # These say nothing of their range; the brightest value tells the usual ones apart.
        top = max(_numbers(wide.getextrema()))
        scale = 1.0 if top <= 255 else 1 / 257 if top <= 65535 else 255 / top
        if image.mode == "F" and top <= 1:
            scale = 255.0
    # A linear function is what Pillow applies to these modes without a table.
    grey = wide.point(lambda value: value * scale + 0.5).convert("L")
    grey.info = dict(image.info)
    clear = grey.info.pop("transparency", None)
    if isinstance(clear, int):
        above = wide.point(lambda value: value * 1.0 - clear).convert("L")
        below = wide.point(lambda value: value * -1.0 + clear).convert("L")
        # Both differences are zero only where the value is the transparent one.
        grey.putalpha(ImageChops.lighter(above, below).point([0] + [255] * 255))
    return grey


def _numbers(values: object) -> list[float]:
    return [float(value) for value in values] if isinstance(values, tuple) else [0.0]


def _plain_mode(image: Image.Image, changes: list[str]) -> Image.Image:
    """Bring palettes, bits and keyed colours to L, LA, RGB, RGBA or CMYK."""
    info = image.info
    if image.mode == "P":
        changes.append("a palette became RGB")
        changed = image.convert("RGBA" if "transparency" in info else "RGB")
    elif image.mode == "PA":
        changes.append("a palette became RGB")
        changed = image.convert("RGBA")
    elif image.mode == "1":
        changes.append("black and white became grey")
        changed = image.convert("L")
    elif image.mode in ("La", "RGBa") or "transparency" in info:
        changed = image.convert("RGBA")
    else:
        return image
    changed.info = {key: value for key, value in info.items() if key != "transparency"}
    return changed


def _to_srgb(image: Image.Image, profile: bytes, changes: list[str]) -> Image.Image:
    """Convert by the embedded profile, unless it is sRGB already or cannot be used."""
    alpha = image.getchannel("A") if image.mode in ("LA", "RGBA") else None
    colour = image
    if alpha is not None:
        colour = image.convert("L" if image.mode == "LA" else "RGB")
    try:
        if colour.mode in ("RGB", "L") and _is_srgb(profile, colour.mode):
            return image
        transform = _transform(profile, colour.mode)
        converted = ImageCms.applyTransform(colour, transform)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        changes.append("the colour profile cannot be used and was ignored")
        return image
    if converted is None:
        return image
    changes.append("the colours were converted to sRGB")
    if alpha is not None:
        converted.putalpha(alpha)
    converted.info = dict(image.info)
    return converted


@lru_cache(maxsize=16)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform:
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    return ImageCms.buildTransform(
        source,
        ImageCms.createProfile("sRGB"),
        mode,
        "RGB",
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )


@lru_cache(maxsize=16)
def _is_srgb(profile: bytes, mode: str) -> bool:
    """Tell sRGB by what it does to colours: its names are many."""
    steps = (0, 32, 64, 96, 128, 160, 192, 224, 255)
    if mode == "L":
        probe = Image.new("L", (len(steps), 1))
        probe.putdata(steps)
    else:
        colours = [(red, green, blue) for red in steps for green in steps for blue in steps]
        probe = Image.new("RGB", (len(colours), 1))
        probe.putdata(colours)
    made = ImageCms.applyTransform(probe, _transform(profile, mode))
    if made is None:
        return True
    pairs = zip(probe.convert("RGB").tobytes(), made.tobytes(), strict=True)
    return all(abs(before - after) <= 3 for before, after in pairs)


def _flatten(image: Image.Image, changes: list[str]) -> Image.Image:
    """Lay a picture on white; the colours that were hidden under its clear parts go away."""
    if image.mode not in ("LA", "RGBA"):
        return image
    changes.append("flattened on white: it was transparent")
    full = image.convert("RGBA")
    ground = Image.new("RGBA", full.size, (255, 255, 255, 255))
    flat = Image.alpha_composite(ground, full).convert("RGB")
    flat.info = dict(image.info)
    return flat


def _damaged(error: Exception, *, short: bool) -> Rejected:
    text = f"{type(error).__name__}: {error}".lower()
    words = ("truncat", "eof", "end of file", "unexpected end", "not enough data", "needs more")
    if short or any(word in text for word in words):
        return Rejected(
            "The picture ends too early.",
            "It was probably not copied to the end; copy it again.",
            key="picture-truncated",
        )
    if isinstance(error, UnidentifiedImageError):
        sentence = "The picture's header is damaged."
    else:
        sentence = f"The picture cannot be decoded ({str(error) or type(error).__name__})."
    return Rejected(
        sentence, "Open it in a picture program and save it anew.", key="picture-damaged"
    )
