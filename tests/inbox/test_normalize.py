import io
import random
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image, ImageCms, PngImagePlugin

from zoetrope.errors import Rejected
from zoetrope.inbox.normalize import prepare

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


@pytest.fixture
def opened(tmp_path):
    """Write a picture, prepare it, and give what came of it with the picture the engine gets."""

    def open_it(picture, name="cat.png", **options):
        file = tmp_path / name
        if isinstance(picture, bytes):
            file.write_bytes(picture)
        else:
            picture.save(file, **options)
        found = prepare(file, tmp_path / "upright.png", 4)
        result = Image.open(tmp_path / "upright.png" if found.made else file)
        result.load()
        return found, result

    return open_it


@pytest.mark.parametrize(
    ("size", "small"), [((1600, 900), (320, 180)), ((64, 48), (64, 48)), ((40, 320), (40, 320))]
)
def test_a_small_copy_shows_the_picture_upright_and_flat(tmp_path, size, small):
    file, copy = tmp_path / "cat.png", tmp_path / "small.jpg"
    half = Image.new("RGBA", size, (255, 0, 0, 0))
    half.paste((0, 0, 255, 255), (0, 0, size[0] // 2, size[1]))
    half.save(file)
    prepare(file, tmp_path / "upright.png", 4, copy)
    with Image.open(copy) as shown:
        assert (shown.format, shown.size) == ("JPEG", small)
        middle = small[1] // 2
        assert near(shown.getpixel((2, middle)), (0, 0, 255), by=12)
        assert near(shown.getpixel((small[0] - 3, middle)), (255, 255, 255), by=12)


def test_what_is_seen_in_a_picture_has_one_hash_whatever_its_file_is_like(opened):
    grey = Image.linear_gradient("L").resize((80, 600))
    words = PngImagePlugin.PngInfo()
    words.add_text("comment", "another file")
    alike = [
        opened(grey)[0].pixels,
        opened(grey, pnginfo=words)[0].pixels,
        opened(grey.convert("RGB"), name="cat.bmp")[0].pixels,
        opened(grey.convert("RGBA"), name="alpha.png")[0].pixels,
    ]
    assert len(set(alike)) == 1
    other = grey.copy()
    other.putpixel((79, 599), 0)
    assert opened(other)[0].pixels not in (alike[0], "")


def test_grey_pictures_have_small_copies_too(tmp_path):
    noise("L").save(tmp_path / "grey.png")
    prepare(tmp_path / "grey.png", tmp_path / "upright.png", 4, tmp_path / "small.jpg")
    with Image.open(tmp_path / "small.jpg") as small:
        assert small.mode == "L"


@pytest.fixture
def refused(opened):
    def open_it(picture, name="cat.png", **options):
        with pytest.raises(Rejected) as error:
            opened(picture, name, **options)
        assert error.value.reason.next_step
        return error.value.reason

    return open_it


def noise(mode="RGB", size=(48, 32)):
    data = random.Random(1).randbytes(size[0] * size[1] * len(Image.new(mode, (1, 1)).tobytes()))
    return Image.frombytes(mode, size, data)


def encoded(picture, kind, **options):
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def near(one, other, by=3):
    return all(abs(a - b) <= by for a, b in zip(one, other, strict=True))


def png(width, height, depth=8, colour=2, rows=b""):
    """Write a PNG by hand: what no program writes any more, or only a bad one."""

    def chunk(kind, body):
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_plain_picture_needs_no_second_file(opened, kind, mode, tmp_path):
    found, _ = opened(encoded(noise(mode), kind))
    assert (found.format, found.width, found.height) == (kind, 48, 32)
    assert not found.made
    assert found.changes == ()
    assert not (tmp_path / "upright.png").exists()


def test_a_wrong_suffix_does_not_matter(opened):
    found, _ = opened(encoded(noise(), "JPEG"), "cat.png")
    assert found.format == "JPEG"


@pytest.mark.parametrize("kind", ["TIFF", "BMP", "GIF", "AVIF"])
def test_what_the_engine_may_not_know_becomes_png(opened, kind):
    found, result = opened(encoded(noise(), kind))
    assert found.format == kind
    assert found.made
    assert (result.format, result.mode, result.size) == ("PNG", "RGB", (48, 32))


def test_heic_is_opened(opened):
    pillow_heif = pytest.importorskip("pillow_heif")
    stream = io.BytesIO()
    pillow_heif.from_pillow(Image.new("RGB", (64, 48), RED)).save(stream, format="HEIF")
    found, result = opened(stream.getvalue(), "cat.heic")
    assert found.format == "HEIC"
    assert result.size == (64, 48)
    assert near(result.getpixel((5, 5)), RED, 12)


def test_the_first_frame_of_an_animation_is_taken(opened):
    frames = [Image.new("RGB", (32, 32), colour) for colour in (RED, GREEN, BLUE)]
    for kind, options in (("GIF", {}), ("WEBP", {"lossless": True}), ("PNG", {})):
        data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
        found, result = opened(data)
        assert result.getpixel((5, 5)) == RED
        assert not getattr(result, "is_animated", False)
        assert any("first of several frames" in change for change in found.changes)


def test_hidden_colours_do_not_shine_through(opened):
    picture = Image.new("RGBA", (32, 32), (*RED, 0))
    picture.paste((*BLUE, 255), (0, 0, 16, 32))
    picture.paste((*GREEN, 128), (0, 0, 8, 32))
    found, result = opened(picture)
    assert result.mode == "RGB"
    assert result.getpixel((31, 5)) == WHITE
    assert result.getpixel((12, 5)) == BLUE
    assert near(result.getpixel((4, 5)), (127, 255, 127))
    assert any("white" in change for change in found.changes)


def test_grey_with_alpha_is_laid_on_white(opened):
    picture = Image.new("LA", (32, 32), (0, 0))
    assert opened(picture)[1].getpixel((5, 5)) == WHITE


def test_a_key_colour_is_laid_on_white(opened):
    picture = Image.new("RGB", (32, 32), RED)
    assert opened(picture, transparency=RED)[1].getpixel((5, 5)) == WHITE
    palette = Image.new("P", (32, 32), 1)
    palette.putpalette([*GREEN, *RED])
    assert opened(palette, transparency=1)[1].getpixel((5, 5)) == WHITE


def test_a_palette_and_bits_become_plain(opened):
    palette = Image.new("P", (32, 32), 1)
    palette.putpalette([*GREEN, *RED])
    assert opened(palette)[1].getpixel((5, 5)) == RED
    _, result = opened(Image.new("1", (32, 32), 1))
    assert result.mode == "L"
    assert result.getpixel((5, 5)) == 255


def test_cmyk_becomes_rgb(opened):
    found, result = opened(encoded(Image.new("CMYK", (32, 32), (0, 255, 255, 0)), "JPEG"))
    assert result.mode == "RGB"
    assert near(result.getpixel((5, 5)), RED, 6)
    assert "CMYK became RGB" in found.changes


@pytest.mark.parametrize(("deep", "plain"), [(0, 0), (257, 1), (32896, 128), (65535, 255)])
def test_sixteen_bit_grey_is_scaled_not_clipped(opened, deep, plain):
    found, result = opened(Image.new("I;16", (32, 32), deep))
    assert result.mode == "L"
    assert result.getpixel((5, 5)) == plain
    assert "16 bits or more became 8" in found.changes


def test_sixteen_bit_colour_becomes_eight(opened):
    row = b"\0" + struct.pack(">HHH", 65535, 32896, 0) * 32
    found, result = opened(png(32, 32, depth=16, rows=row * 32))
    assert found.made
    assert near(result.getpixel((5, 5)), (255, 128, 0), 1)


def test_sixteen_bit_grey_with_a_key_value_is_laid_on_white(opened):
    stream = io.BytesIO()
    Image.new("I;16", (32, 32), 500).save(stream, "PNG")
    body = stream.getvalue()
    key = struct.pack(">I", 2) + b"tRNS" + struct.pack(">H", 500)
    key += struct.pack(">I", zlib.crc32(key[4:]))
    at = body.index(b"IDAT") - 4
    assert opened(body[:at] + key + body[at:])[1].getpixel((5, 5)) == WHITE


@pytest.mark.parametrize(("value", "shown"), [(1.0, 255), (200.0, 200), (65535.0, 255)])
def test_floating_point_is_scaled_by_its_brightest_value(opened, value, shown):
    picture = Image.new("F", (32, 32), value)
    assert opened(picture, "cat.tif")[1].getpixel((5, 5)) == shown


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_picture_is_rotated_as_its_exif_says(opened, kind):
    picture = Image.new("RGB", (48, 32), RED)
    picture.paste(BLUE, (0, 0, 48, 16))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise
    options = {"lossless": True} if kind == "WEBP" else {}
    found, result = opened(encoded(picture, kind, exif=exif, **options))
    assert (found.width, found.height) == result.size == (32, 48)
    assert near(result.getpixel((28, 24)), BLUE, 8)
    assert near(result.getpixel((4, 24)), RED, 8)
    assert any("rotated" in change for change in found.changes)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_broken_exif_is_no_harm(opened):
    _, result = opened(encoded(noise(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff"))
    assert result.size == (48, 32)


def wide_profile():
    """A profile that is not sRGB: its red and green change places."""
    stream = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    red, green = (stream.index(tag) for tag in (b"rXYZ", b"gXYZ"))
    swapped = bytearray(stream)
    swapped[red : red + 4], swapped[green : green + 4] = b"gXYZ", b"rXYZ"
    return bytes(swapped)


def test_another_colour_space_is_converted_to_srgb(opened):
    found, result = opened(Image.new("RGB", (32, 32), RED), icc_profile=wide_profile())
    assert near(result.getpixel((5, 5)), GREEN, 4)
    assert "the colours were converted to sRGB" in found.changes


def test_alpha_and_another_colour_space_go_together(opened):
    picture = Image.new("RGBA", (32, 32), (*RED, 255))
    picture.paste((*RED, 0), (0, 0, 16, 32))
    _, result = opened(picture, icc_profile=wide_profile())
    assert result.getpixel((5, 5)) == WHITE
    assert near(result.getpixel((20, 5)), GREEN, 4)


def test_srgb_needs_no_conversion(opened):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    found, _ = opened(noise(), icc_profile=profile)
    assert not found.made


def test_a_broken_profile_is_ignored_and_said(opened):
    found, result = opened(Image.new("RGB", (32, 32), RED), icc_profile=b"nonsense")
    assert result.getpixel((5, 5)) == RED
    assert any("profile" in change for change in found.changes)


def test_a_profile_for_other_colours_is_ignored(opened):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    _, result = opened(Image.new("L", (32, 32), 99), icc_profile=profile)
    assert result.getpixel((5, 5)) == 99


def test_a_workflow_in_the_text_is_no_bomb(opened):
    info = PngImagePlugin.PngInfo()
    info.add_itxt("workflow", "x" * 3_000_000, zip=True)
    found, _ = opened(noise(), pnginfo=info)
    assert not found.made


def test_text_named_png_is_refused(refused):
    reason = refused(b"hello, this is not a picture\n")
    assert reason.key == "picture-unknown"
    assert reason.sentence == "The file is text, not a picture."
    assert "a ticket is called cat.toml or cat.txt" in reason.next_step


@pytest.mark.parametrize("kind", [b"P1", b"P2", b"P3", b"P5", b"P6"])
def test_a_netpbm_picture_is_called_one_also_where_its_pixels_are_text(refused, kind):
    reason = refused(kind + b"\n# made by hand\n2 2\n255\n0 1 1 0\n")
    assert "PGM" in reason.sentence
    assert "PNG" in reason.next_step


def test_an_empty_file_is_refused(refused):
    assert refused(b"").key == "picture-empty"


def test_a_huge_header_is_refused_before_anything_is_decoded(refused):
    reason = refused(png(60_000, 60_000, rows=b""))
    assert reason.key == "picture-too-large"
    assert "60000x60000" in reason.sentence
    assert "inbox.max_megapixels" in reason.next_step


@pytest.mark.parametrize(
    ("size", "key"),
    [((15, 400), "picture-too-small"), ((8, 8), "picture-too-small"), ((16, 129), "picture-shape")],
)
def test_a_picture_that_no_video_can_have_is_refused(refused, size, key):
    assert refused(Image.new("RGB", size)).key == key


def test_the_smallest_and_longest_picture_is_taken(opened):
    assert opened(Image.new("RGB", (16, 128)))[0].height == 128


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF"])
def test_a_picture_that_ends_too_early_is_refused(refused, kind):
    body = encoded(noise(size=(200, 200)), kind)
    reason = refused(body[: len(body) // 2])
    assert reason.key == "picture-truncated", reason
    assert "copy it again" in reason.next_step


def test_a_damaged_header_is_refused(refused):
    assert refused(b"\x89PNG\r\n\x1a\n" + b"\xff" * 200).key == "picture-damaged"


def test_heic_that_ends_too_early_is_refused(refused):
    pillow_heif = pytest.importorskip("pillow_heif")
    stream = io.BytesIO()
    pillow_heif.from_pillow(noise(size=(200, 200))).save(stream, format="HEIF")
    body = stream.getvalue()
    assert refused(body[: len(body) // 2]).key == "picture-truncated"


def test_a_copy_that_cannot_be_written_is_the_disks_fault(tmp_path):
    Image.new("RGBA", (32, 32)).save(tmp_path / "cat.png")
    with pytest.raises(OSError, match="No such file"):
        prepare(tmp_path / "cat.png", Path(tmp_path / "nowhere" / "upright.png"), 4)
