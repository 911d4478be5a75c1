import pytest

from zoetrope.inbox.entry import EntryKind, classify, ticket_names


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
