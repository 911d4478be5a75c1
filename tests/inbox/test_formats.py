import pytest

from zoetrope.inbox.formats import HEAD, refusal, sniff


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\x89PNG\r\n\x1a\n....", "PNG"),
        (b"\xff\xd8\xff\xe0", "JPEG"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "WEBP"),
        (b"GIF89a", "GIF"),
        (b"II*\x00", "TIFF"),
        (b"MM\x00*", "TIFF"),
        (b"BM\x00\x00\x00\x00\x00\x00\x00\x00", "BMP"),
        (b"\x00\x00\x00\x1cftypavif\x00\x00\x00\x00mif1avifmiaf", "AVIF"),
        (b"\x00\x00\x00\x1cftypmif1\x00\x00\x00\x00mif1avifmiaf", "AVIF"),
        (b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic", "HEIC"),
        (b"BMW is a car", None),
        (b"RIFF\x00\x00\x00\x00AVI LIST", None),
        (b"", None),
    ],
)
def test_a_format_is_told_by_the_first_bytes(head, kind):
    assert sniff(head) == kind


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b"", "empty"),
        (b"\x00" * 100, "zero bytes"),
        (b"%PDF-1.7", "PDF"),
        (b"PK\x03\x04...", "ZIP"),
        (b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00isom", "video"),
        (b"\x1aE\xdf\xa3", "video"),
        (b"<?xml version='1.0'?><svg>", "SVG"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1", "Git LFS"),
        ("Привет".encode(), "text"),
        ("ы".encode() * HEAD, "text"),
        (b"\x01\x02\x03\xff\xfe", "no picture format"),
    ],
)
def test_what_is_no_picture_is_named(head, words):
    reason = refusal(head[:HEAD]).reason
    assert words in reason.sentence
    assert reason.next_step
