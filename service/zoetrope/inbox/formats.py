"""What a file's first bytes say it is: a picture format we open, or a sentence why not."""

from __future__ import annotations

import re
from pathlib import Path

from ..errors import Rejected

HEAD = 4096  # bytes that suffice to tell
# A number for the kind, then the width; a comment may stand between.
_NETPBM = re.compile(rb"P[1-6]\s+(?:#[^\n]*\n\s*)*[0-9]")

SUFFIXES = {
    "PNG": ".png",
    "JPEG": ".jpg",
    "WEBP": ".webp",
    "AVIF": ".avif",
    "HEIC": ".heic",
    "TIFF": ".tif",
    "BMP": ".bmp",
    "GIF": ".gif",
}
MOVING_SUFFIXES = {
    "MP4": ".mp4",
    "MOV": ".mov",
    "MKV": ".mkv",
    "WEBM": ".webm",
    "AVI": ".avi",
}
MOVING = "MP4, MOV, MKV, WebM and AVI are opened."
UNKNOWN = ".bin"  # what a copy is called whose format we do not know
OPENED = "PNG, JPEG, WebP, AVIF, HEIC, TIFF, BMP and GIF are opened."

_AVIF = frozenset({b"avif", b"avis"})
_HEIC = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
_VIDEO = frozenset({b"isom", b"iso2", b"mp41", b"mp42", b"M4V ", b"avc1", b"dash"})
_QUICKTIME = b"qt  "
_MATROSKA = b"\x1aE\xdf\xa3"

# What people drop by mistake, told by its name so that they see what happened.
_OTHERS = (
    (b"%PDF", "a PDF document", "Export the page as a picture."),
    (b"8BPS", "a Photoshop document", "Export it as PNG."),
    (b"PK\x03\x04", "a ZIP archive or an office document", "Unpack it and drop the pictures."),
    (b"gimp xcf", "a GIMP document", "Export it as PNG."),
    (b"\x00\x00\x00\x0cjP  ", "a JPEG 2000 picture", "Save it as PNG."),
    (b"\xff\x0a", "a JPEG XL picture", "Save it as PNG."),
    (b"\x00\x00\x00\x0cJXL ", "a JPEG XL picture", "Save it as PNG."),
    (b"\x76\x2f\x31\x01", "an OpenEXR picture", "Save it as PNG."),
    (b"Rar!", "a RAR archive", "Unpack it and drop the pictures."),
    (b"7z\xbc\xaf", "a 7z archive", "Unpack it and drop the pictures."),
    (b"\x1f\x8b", "a gzip archive", "Unpack it and drop the pictures."),
)


def sniff(head: bytes) -> str | None:
    """Name the picture format that a file's first bytes announce, if we open it."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if head.startswith((b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")):
        return "TIFF"
    # "BM" alone begins many texts; a bitmap has four zero bytes after its length.
    if head.startswith(b"BM") and head[6:10] == bytes(4):
        return "BMP"
    brands = _brands(head)
    if brands & _AVIF:
        return "AVIF"
    if brands & _HEIC:
        return "HEIC"
    return None


def sniff_moving(head: bytes) -> str | None:
    """Name the video format that a file's first bytes announce, if we open it."""
    if head.startswith(_MATROSKA):
        return "WEBM" if b"webm" in head[:64] else "MKV"
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return "AVI"
    brands = _brands(head)
    if brands & (_AVIF | _HEIC):
        return None
    if _QUICKTIME in brands:
        return "MOV"
    return "MP4" if brands & _VIDEO else None


def refusal(head: bytes) -> Rejected:
    """Say in a person's words what a file is that we do not open."""
    if not head:
        return Rejected(
            "The file is empty.",
            "It was probably not copied to the end; copy it again.",
            key="picture-empty",
        )
    if not head.strip(b"\x00"):
        return Rejected(
            "The file begins with nothing but zero bytes.",
            "The copy or the download went wrong; copy it again.",
            key="picture-unknown",
        )
    for magic, what, advice in _OTHERS:
        if head.startswith(magic):
            return Rejected(
                f"The file is {what}, which is not opened.", advice, key="picture-unknown"
            )
    if sniff_moving(head):
        return Rejected(
            "The file is a video, not a picture.",
            "Drop a single frame of it as a picture.",
            key="picture-unknown",
        )
    if _NETPBM.match(head):
        return Rejected(
            "The file is a PBM, PGM or PPM picture, which is not opened.",
            "Save it as PNG.",
            key="picture-unknown",
        )
    text = _text(head)
    if text is not None:
        if "<svg" in text.lower():
            what, advice = "an SVG drawing", "Export it as PNG."
        elif text.lstrip().lower().startswith(("<!doctype html", "<html")):
            what, advice = "a web page", "Download the picture itself, not the page that shows it."
        elif text.startswith("version https://git-lfs"):
            what, advice = "a Git LFS pointer", "Run `git lfs pull` and copy the picture again."
        else:
            what = "text"
            advice = "Check what was saved under this name; a ticket is called cat.toml or cat.txt."
        return Rejected(f"The file is {what}, not a picture.", advice, key="picture-unknown")
    return Rejected(
        "The file has no picture format that can be opened.", OPENED, key="picture-unknown"
    )


def is_moving(name: str) -> bool:
    """Tell a video from a picture by the suffix that a copy of ours got from its content."""
    return name.endswith(tuple(MOVING_SUFFIXES.values()))


def is_short(file: Path, kind: str) -> bool:
    """Return whether a file ends before its own lengths say so; for formats whose decoders do not tell."""
    size = file.stat().st_size
    with file.open("rb") as stream:
        if kind == "WEBP":
            return int.from_bytes(stream.read(8)[4:], "little") + 8 > size
        at = 0
        # An ISO media file is a row of boxes, each with its length in front.
        while kind in ("HEIC", "AVIF", "MP4", "MOV") and at < size:
            stream.seek(at)
            header = stream.read(16)
            length = int.from_bytes(header[:4], "big")
            if length == 1:
                length = int.from_bytes(header[8:], "big")
            if length < 8:
                return False  # 0 means "to the end"
            at += length
        return at > size


def _brands(head: bytes) -> set[bytes]:
    """List the brands of an ISO media file: the main one and the compatible ones."""
    if head[4:8] != b"ftyp":
        return set()
    size = min(int.from_bytes(head[:4], "big"), len(head))
    listed = {head[at : at + 4] for at in range(16, size - 3, 4)}
    # mif1 is a container's brand; what it contains is told by the brands next to it.
    return {head[8:12]} | listed


def _text(head: bytes) -> str | None:
    try:
        # The cut may fall into a letter; the last three bytes are not needed to tell text.
        text = head.decode("utf-8-sig", "ignore" if len(head) == HEAD else "strict")
    except UnicodeDecodeError:
        return None
    if len(head) == HEAD and len(text.encode()) < len(head) - 6:
        return None
    controls = sum(1 for letter in text if ord(letter) < 32 and letter not in "\t\n\r\f")
    return text if controls == 0 else None
