import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoetrope.inbox.entry import STEM_BYTES, EntryKind, classify, safe_stem, ticket_names


@pytest.mark.parametrize(
    ("path", "kind", "folder", "stem", "half"),
    [
        ("cat.png", EntryKind.PICTURE, "", "cat", ""),
        ("CAT.JPG", EntryKind.PICTURE, "", "CAT", ""),
        ("hero/cat.webp", EntryKind.PICTURE, "hero", "cat", ""),
        ("cat.start.png", EntryKind.PICTURE, "", "cat", "start"),
        ("hero/cat.END.png", EntryKind.PICTURE, "hero", "cat", "end"),
        (".start.png", EntryKind.IGNORED, "", "", ""),
        ("start.png", EntryKind.PICTURE, "", "start", ""),
        ("cat.toml", EntryKind.TICKET, "", "cat", ""),
        ("cat.txt", EntryKind.TICKET, "", "cat", ""),
        ("cat.start.toml", EntryKind.TICKET, "", "cat", "start"),
        ("hero/ticket.toml", EntryKind.DEFAULTS, "hero", "ticket", ""),
        ("ticket.toml", EntryKind.DEFAULTS, "", "ticket", ""),
        # What nobody can open is a picture candidate: it is refused with a reason.
        ("report.pdf", EntryKind.PICTURE, "", "report", ""),
        ("noname", EntryKind.PICTURE, "", "noname", ""),
        ("holiday 1.5 m", EntryKind.PICTURE, "", "holiday 1.5 m", ""),
        ("a/b/cat.png", EntryKind.DEEP, "a/b", "cat", ""),
        ("a/rejected/cat.png", EntryKind.DEEP, "a/rejected", "cat", ""),
        # Names that only look difficult.
        ("Жук & co (1).png", EntryKind.PICTURE, "", "Жук & co (1)", ""),
        ("🐈‍⬛.png", EntryKind.PICTURE, "", "🐈‍⬛", ""),
        ("-rf.png", EntryKind.PICTURE, "", "-rf", ""),
        ("two\nlines.start.png", EntryKind.PICTURE, "", "two\nlines", "start"),
        ("\udcff\udcfe.png", EntryKind.PICTURE, "", "\udcff\udcfe", ""),
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
    assert classify(path).kind is EntryKind.IGNORED


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
