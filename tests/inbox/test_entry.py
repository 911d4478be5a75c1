import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoetrope.inbox.entry import STEM_BYTES, Kind, classify, safe_stem, ticket_names


@pytest.mark.parametrize(
    ("path", "kind", "folder", "stem", "half"),
    [
        ("cat.png", Kind.PICTURE, "", "cat", ""),
        ("CAT.JPG", Kind.PICTURE, "", "CAT", ""),
        ("hero/cat.webp", Kind.PICTURE, "hero", "cat", ""),
        ("cat.start.png", Kind.PICTURE, "", "cat", "start"),
        ("hero/cat.END.png", Kind.PICTURE, "hero", "cat", "end"),
        (".start.png", Kind.IGNORED, "", "", ""),
        ("start.png", Kind.PICTURE, "", "start", ""),
        ("cat.toml", Kind.TICKET, "", "cat", ""),
        ("cat.txt", Kind.TICKET, "", "cat", ""),
        ("cat.start.toml", Kind.TICKET, "", "cat", "start"),
        ("hero/ticket.toml", Kind.DEFAULTS, "hero", "ticket", ""),
        ("ticket.toml", Kind.DEFAULTS, "", "ticket", ""),
        # What nobody can open is a picture candidate: it is refused with a reason.
        ("report.pdf", Kind.PICTURE, "", "report", ""),
        ("noname", Kind.PICTURE, "", "noname", ""),
        ("holiday 1.5 m", Kind.PICTURE, "", "holiday 1.5 m", ""),
        ("a/b/cat.png", Kind.DEEP, "a/b", "cat", ""),
        ("a/rejected/cat.png", Kind.DEEP, "a/rejected", "cat", ""),
        # Names that only look difficult.
        ("Жук & co (1).png", Kind.PICTURE, "", "Жук & co (1)", ""),
        ("🐈‍⬛.png", Kind.PICTURE, "", "🐈‍⬛", ""),
        ("-rf.png", Kind.PICTURE, "", "-rf", ""),
        ("two\nlines.start.png", Kind.PICTURE, "", "two\nlines", "start"),
        ("\udcff\udcfe.png", Kind.PICTURE, "", "\udcff\udcfe", ""),
    ],
)
def test_a_path_is_told_by_its_name(path, kind, folder, stem, half):
    entry = classify(path)
    assert (entry.kind, entry.folder, entry.stem, entry.half) == (kind, folder, stem, half)


@pytest.mark.parametrize(
    "path",
    [
        ".hidden.png",
        ".stfolder/x.png",
        "._cat.png",
        "cat.png.part",
        "cat.PNG.PART",
        "cat.png.crdownload",
        "cat.png.partial",
        "cat.tmp",
        "~$cat.docx",
        "cat.png~",
        "Thumbs.db",
        "hero/@eaDir/cat.png",
        "rejected/cat.png",
        "rejected/hero/cat.png",
        ".zoetrope/0123/cat.png",
        "README.md",
        "cat.png.why.txt",
    ],
)
def test_what_is_not_meant_for_us_is_ignored(path):
    assert classify(path).kind is Kind.IGNORED


def test_a_half_may_have_the_ticket_of_the_pair_or_its_own():
    assert ticket_names("cat", "end") == ["cat.toml", "cat.txt", "cat.end.toml", "cat.end.txt"]
    assert ticket_names("cat") == ["cat.toml", "cat.txt"]


@pytest.mark.parametrize(
    ("stem", "safe"),
    [
        ("Жук & co (1)", "Жук & co (1)"),
        ("🐈‍⬛", "🐈‍⬛"),
        ("-rf", "_rf"),
        ("two\nlines", "two_lines"),
        ("what?: <a|b>", "what__ _a_b_"),
        ("evil\u202egnp", "evil_gnp"),
        ("e\u0301", "\u00e9"),
        ("trailing. . ", "trailing"),
        (" ", "picture"),
        ("\udcff", "_"),
    ],
)
def test_a_stem_is_made_safe_for_every_share(stem, safe):
    assert safe_stem(stem) == safe


@given(st.binary(min_size=1, max_size=255).filter(lambda b: b"/" not in b and b"\0" not in b))
def test_every_name_that_linux_allows_gives_texts_that_can_be_stored(raw):
    name = os.fsdecode(raw)
    entry = classify(name)
    stem = safe_stem(entry.stem or name)
    assert 0 < len(stem.encode()) <= STEM_BYTES
    assert len(f"{stem}-01234567".encode()) <= 255
    assert "/" not in stem
