"""Videos as they are dropped, each made here with PyAV."""

import io
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from tests.fakes.sound import sound_alone
from zoetrope.errors import Rejected
from zoetrope.inbox.formats import is_moving, sniff, sniff_moving
from zoetrope.inbox.moving import prepare

CODECS = {"mp4": "libx264", "mov": "libx264", "mkv": "ffv1", "webm": "libvpx-vp9", "avi": "mpeg4"}


def film(kind="mp4", *, frames=9, size=(64, 48), fps=16, gaps=None, turn=0):
    """Make a clip whose frames grow brighter from left to right and with time."""
    stream = io.BytesIO()
    with av.open(stream, "w", format={"mkv": "matroska"}.get(kind, kind)) as container:
        video = container.add_stream(CODECS[kind], rate=fps)
        video.width, video.height = size
        video.pix_fmt = "bgra" if kind == "mkv" else "yuv420p"
        video.time_base = Fraction(1, fps * 10) if kind != "avi" else Fraction(1, fps)
        ramp = np.linspace(20, 180, size[0], dtype=np.uint8)
        at = 0
        for n in range(frames):
            picture = np.repeat(np.tile(ramp + n, (size[1], 1))[..., None], 3, axis=2)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            if kind != "avi":
                frame.pts, frame.time_base = at, Fraction(1, fps * 10)
                at += gaps[n % len(gaps)] if gaps else 10
            container.mux(video.encode(frame))
        container.mux(video.encode())
    data = bytearray(stream.getvalue())
    if turn:
        _turn(data, turn)
    return bytes(data)


def _turn(data: bytearray, degrees: int) -> None:
    """Write a phone's rotation into the track header's matrix."""
    at = data.index(b"tkhd") + 4 + 40
    one = 1 << 16
    matrix = {90: (0, one, -one, 0), 180: (-one, 0, 0, -one), 270: (0, -one, one, 0)}[degrees]
    for place, value in zip((0, 4, 12, 16), matrix, strict=True):
        data[at + place : at + place + 4] = value.to_bytes(4, "big", signed=True)


@pytest.fixture
def opened(tmp_path):
    def open_it(data: bytes, *, max_frames=100, max_megapixels=1):
        file = tmp_path / "source.bin"
        file.write_bytes(data)
        target = tmp_path / "upright.png"
        limits = {"max_megapixels": max_megapixels, "max_frames": max_frames}
        return prepare(file, target, **limits, small=tmp_path / "small.jpg"), target

    return open_it


@pytest.fixture
def refused(opened):
    def open_it(data: bytes, **limits):
        with pytest.raises(Rejected) as error:
            opened(data, **limits)
        assert error.value.reason.next_step
        return error.value.reason

    return open_it


@pytest.mark.parametrize("kind", CODECS)
def test_every_format_is_counted_and_measured(opened, kind):
    data = film(kind)
    assert sniff(data) is None
    found, first = opened(data)
    assert (found.format, found.frames, found.fps) == (kind.upper(), 9, 16.0)
    assert (found.width, found.height, found.made, found.changes) == (64, 48, True, ())
    with Image.open(first) as picture:
        assert picture.size == (64, 48)
        assert picture.getpixel((2, 20))[0] < 60 < picture.getpixel((60, 20))[0]


def test_a_film_of_a_phone_is_turned_as_the_engine_turns_it(opened):
    found, first = opened(film(turn=90))
    assert (found.width, found.height) == (48, 64)
    with Image.open(first) as picture:
        assert picture.size == (48, 64)
        top, bottom = picture.getpixel((20, 2))[0], picture.getpixel((20, 60))[0]
    assert abs(top - bottom) > 60, "what lay on its side stands now"
    with Image.open(first.with_name("small.jpg")) as small:
        assert (small.format, small.size) == ("JPEG", (48, 64))


def test_a_rate_that_varies_is_told(opened):
    found, _ = opened(film(gaps=(10, 10, 30)))
    assert any("unevenly" in change for change in found.changes)


def test_a_film_that_is_too_long_is_refused_before_it_is_read_to_its_end(refused):
    reason = refused(film(frames=9), max_frames=8)
    assert (reason.key, reason.sentence) == ("video-too-long", "The video has more than 8 frames.")


def test_a_film_that_is_too_large_is_refused(refused):
    assert refused(film(size=(1280, 800))).key == "picture-too-large"


@pytest.mark.parametrize("kind", ["mp4", "mov", "mkv", "avi"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_film_that_was_not_copied_to_its_end_is_no_shorter_film(refused, kind, share):
    data = film(kind, frames=40)
    assert refused(data[: int(len(data) * share)]).key in ("picture-truncated", "picture-damaged")


def test_a_damaged_film_is_refused(refused):
    data = film()
    assert refused(data[:24] + b"\0" * (len(data) - 24)).key in (
        "picture-damaged",
        "picture-truncated",
    )


def test_a_film_of_a_codec_that_is_not_known_is_refused_with_a_reason(refused):
    reason = refused(film().replace(b"avc1", b"zzzz"))
    assert reason.key == "picture-damaged"
    assert "codec" in reason.sentence


def test_sound_alone_is_no_film(refused):
    assert refused(sound_alone()).key == "no-video"


@pytest.mark.parametrize("data", [b"", b"hello", b"\x89PNG\r\n\x1a\n" + b"\0" * 50])
def test_what_is_no_film_is_named(refused, data):
    assert refused(data).key == "video-unknown"


def test_films_and_pictures_are_told_apart():
    heic = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"
    assert (sniff(heic), sniff_moving(heic)) == ("HEIC", None)
    assert sniff_moving(b"\0\0\0\x14ftypqt  \0\0\0\0qt  ") == "MOV"
    assert [is_moving(name) for name in ("source.mp4", "source.png", "end.webm")] == [
        True,
        False,
        True,
    ]
    assert Path("source.bin").suffix == ".bin"
