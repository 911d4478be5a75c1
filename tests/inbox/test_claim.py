import errno
import os
import stat
import unicodedata

import pytest

from tests.inbox.conftest import where
from zoetrope.errors import Reason, Rejected
from zoetrope.inbox.claim import Claims
from zoetrope.inbox.source import check_file

WHY = Reason("picture-unknown", "The file is text.", "Check what was saved.")


@pytest.fixture
def inbox(tmp_path):
    folder = tmp_path / "inbox"
    folder.mkdir()
    return folder


@pytest.fixture
def claims(inbox, tmp_path):
    ids = iter(f"{number:032x}" for number in range(100))
    return Claims(inbox, new_id=lambda: next(ids), fallback=tmp_path / "outbox" / "rejected")


def write(inbox, *names):
    for name in names:
        (inbox / name).parent.mkdir(parents=True, exist_ok=True)
        (inbox / name).write_text(name.encode("utf-8", "replace").decode(), encoding="utf-8")


def listing(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


NAMES = [
    "cat.png",
    "hero/cat.png",
    "with space.png",
    "🐈.png",
    "Жук & co (1).png",
    "-rf.png",
    "two\nlines.png",
    f"{'x' * 251}.png",
    f"{'Ж' * 125}a.png",
    "\udcff\udcfe.png",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_claim_mirrors_the_path_and_can_be_put_back(claims, inbox, name):
    write(inbox, name)
    claim = claims.take((name,))
    assert claim.root / name == inbox / ".zoetrope" / claim.id / name
    assert (claim.root / name).is_file()
    assert not (inbox / name).exists()
    claims.put_back(claim)
    assert listing(inbox) == [name]
    assert list((inbox / ".zoetrope").iterdir()) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_refused_file_lies_beside_its_reason(claims, inbox, name):
    write(inbox, name)
    why = claims.refuse(claims.take((name,)), WHY)
    assert (inbox / "rejected" / name).is_file()
    assert why.parent == (inbox / "rejected" / name).parent
    text = why.read_text(encoding="utf-8")
    assert "The file is text." in text
    assert "What to do: Check what was saved." in text
    assert "move it back" in text
    assert list((inbox / ".zoetrope").iterdir()) == []


def test_a_ticket_is_claimed_before_its_picture(claims, inbox, monkeypatch):
    write(inbox, "cat.png", "cat.toml")
    order = []
    rename = os.rename
    monkeypatch.setattr(
        os, "rename", lambda old, new, **at: order.append(old) or rename(old, new, **at)
    )
    claims.take(("cat.png",), ("cat.toml",))
    assert order == ["cat.toml", "cat.png"]


def test_of_a_pair_the_start_is_claimed_last(claims, inbox, monkeypatch):
    write(inbox, "cat.start.png", "cat.end.png", "cat.toml")
    order = []
    rename = os.rename
    monkeypatch.setattr(
        os, "rename", lambda old, new, **at: order.append(old) or rename(old, new, **at)
    )
    claim = claims.take(("cat.start.png", "cat.end.png"), ("cat.toml",))
    assert order == ["cat.toml", "cat.end.png", "cat.start.png"]
    assert claims.pending() == []  # it is in hand
    assert Claims(inbox).pending() == [claim]


def test_a_ticket_that_two_pictures_need_is_copied(claims, inbox):
    write(inbox, "cat.png", "cat.jpg", "cat.toml")
    claim = claims.take(("cat.png",), ("cat.toml",), shared=True)
    assert (claim.root / "cat.toml").read_text() == "cat.toml"
    claims.put_back(claim)
    assert listing(inbox) == ["cat.jpg", "cat.png", "cat.toml"]


def test_a_picture_that_is_gone_is_no_claim_and_its_ticket_stays(claims, inbox):
    write(inbox, "cat.toml")
    assert claims.take(("cat.png",), ("cat.toml",)) is None
    assert listing(inbox) == ["cat.toml"]


def test_a_ticket_that_is_gone_does_not_hold_the_picture_back(claims, inbox):
    write(inbox, "cat.png")
    assert claims.take(("cat.png",), ("cat.toml",)).tickets == ()


def test_an_error_on_the_way_undoes_the_claim(claims, inbox, monkeypatch):
    write(inbox, "cat.png", "cat.toml")
    rename = os.rename

    def failing(old, new, *, src_dir_fd, dst_dir_fd):
        if where(src_dir_fd) == inbox and old == "cat.png":
            raise PermissionError(1, "no", old)
        return rename(old, new, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    monkeypatch.setattr(os, "rename", failing)
    with pytest.raises(PermissionError):
        claims.take(("cat.png",), ("cat.toml",))
    assert listing(inbox) == ["cat.png", "cat.toml"]


def test_claims_of_an_earlier_run_are_found(claims, inbox):
    write(inbox, "a/cat.end.png", "a/cat.start.png", "a/cat.toml", "b.png")
    first = claims.take(("a/cat.start.png", "a/cat.end.png"), ("a/cat.toml",))
    second = claims.take(("b.png",))
    found = Claims(inbox).pending()
    assert sorted(found, key=lambda c: c.id) == [first, second]


def test_a_ticket_without_its_picture_is_an_incomplete_claim(claims, inbox):
    write(inbox, "cat.toml")
    home = inbox / ".zoetrope" / ("0" * 32)
    home.mkdir(parents=True)
    (inbox / "cat.toml").rename(home / "cat.toml")
    (claim,) = claims.pending()
    assert claim.pictures == ()
    claims.put_back(claim)
    assert listing(inbox) == ["cat.toml"]


def test_what_is_put_back_never_overwrites_a_newer_file(claims, inbox):
    write(inbox, "cat.png")
    claim = claims.take(("cat.png",))
    (inbox / "cat.png").write_text("newer")
    claims.put_back(claim)
    assert (inbox / "cat.png").read_text() == "newer"
    assert (inbox / "cat (2).png").read_text() == "cat.png"


def test_a_released_claim_leaves_nothing_behind(claims, inbox):
    write(inbox, "hero/cat.png", "hero/cat.toml")
    claims.release(claims.take(("hero/cat.png",), ("hero/cat.toml",)))
    assert listing(inbox) == []
    # The person's own folder stays, ours are empty.
    assert (inbox / "hero").is_dir()
    assert list((inbox / ".zoetrope").iterdir()) == []


def test_releasing_twice_is_no_harm(claims, inbox):
    write(inbox, "cat.png")
    claim = claims.take(("cat.png",))
    claims.release(claim)
    claims.release(claim)


def test_the_reason_of_an_earlier_refusal_goes_when_the_file_was_taken_after_all(claims, inbox):
    write(inbox, "cat.png")
    why = claims.refuse(claims.take(("cat.png",)), WHY)
    (inbox / "rejected" / "cat.png").rename(inbox / "cat.png")
    claims.release(claims.take(("cat.png",)))
    assert not why.exists()


def test_refused_files_of_one_name_get_numbers(claims, inbox):
    long = f"{'x' * 251}.png"
    for number in range(3):
        for name in ("cat.png", long):
            (inbox / name).write_text(str(number))
            claims.refuse(claims.take((name,)), WHY)
    found = listing(inbox / "rejected")
    assert {"cat.png", "cat (2).png", "cat (3).png", "cat (3).png.why.txt"} <= set(found)
    assert (inbox / "rejected" / "cat (2).png").read_text() == "1"


def test_tickets_go_along_with_a_refused_picture(claims, inbox):
    write(inbox, "hero/cat.png", "hero/cat.toml")
    claims.refuse(claims.take(("hero/cat.png",), ("hero/cat.toml",)), WHY)
    assert listing(inbox / "rejected") == ["hero/cat.png", "hero/cat.png.why.txt", "hero/cat.toml"]
    assert "inbox: cat.png, cat.toml\n" in (inbox / "rejected/hero/cat.png.why.txt").read_text()


def test_a_refusal_that_was_interrupted_is_done_again(claims, inbox, monkeypatch):
    write(inbox, "cat.png", "cat.toml")
    claim = claims.take(("cat.png",), ("cat.toml",))
    rename = os.rename

    def failing(old, new, **at):
        if old == "cat.png":
            raise KeyboardInterrupt
        return rename(old, new, **at)

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", failing)
        with pytest.raises(KeyboardInterrupt):
            claims.refuse(claim, WHY)
    (again,) = Claims(inbox).pending()
    claims.refuse(again, WHY)
    assert listing(inbox) == ["rejected/cat.png", "rejected/cat.png.why.txt", "rejected/cat.toml"]


def test_nothing_is_made_where_the_inbox_was(claims, inbox, tmp_path):
    write(inbox, "cat.png")
    claim = claims.take(("cat.png",))
    inbox.rename(tmp_path / "away")
    with pytest.raises(FileNotFoundError):
        claims.refuse(claim, WHY)
    with pytest.raises(FileNotFoundError):
        claims.take(("other.png",))
    claims.release(claim)
    assert not inbox.exists()


def test_folders_and_reasons_belong_to_the_group_of_the_inbox(claims, inbox):
    os.chown(inbox, -1, os.getgid())
    inbox.chmod(0o2770)
    before = os.umask(0o007)
    try:
        write(inbox, "cat.png")
        (inbox / "cat.png").chmod(0o640)
        why = claims.refuse(claims.take(("cat.png",)), WHY)
    finally:
        os.umask(before)
    for folder, mode in ((".zoetrope", 0o2700), ("rejected", 0o2770), ("", 0o3770)):
        assert stat.S_IMODE((inbox / folder).stat().st_mode) == mode
    assert stat.S_IMODE(why.stat().st_mode) == 0o660
    # A person's file keeps the mode that the person gave it.
    assert stat.S_IMODE((inbox / "rejected" / "cat.png").stat().st_mode) == 0o640


@pytest.mark.parametrize("kind", ["symlink", "folder link", "hard link", "pipe"])
def test_links_and_devices_are_refused_without_being_followed(claims, inbox, tmp_path, kind):
    file = inbox / "cat.png"
    if kind == "symlink":
        file.symlink_to("/etc/passwd")
    elif kind == "folder link":
        file.symlink_to(tmp_path)
    elif kind == "hard link":
        write(inbox, "other.png")
        file.hardlink_to(inbox / "other.png")
    else:
        os.mkfifo(file)
    with pytest.raises(Rejected) as refused:
        check_file(file.lstat())
    assert refused.value.reason.key == "picture-link"
    claims.refuse(claims.take(("cat.png",)), refused.value.reason)
    assert os.path.lexists(inbox / "rejected" / "cat.png")
    if kind == "symlink":
        assert (inbox / "rejected" / "cat.png").readlink() == type(inbox)("/etc/passwd")


class TestAMountInside:
    """A folder of the inbox may be another file system; a rename cannot leave it."""

    @pytest.fixture(autouse=True)
    def border(self, inbox, monkeypatch):
        rename = os.rename
        nas = inbox / "nas"

        def guarded(old, new, *, src_dir_fd, dst_dir_fd):
            if where(src_dir_fd).is_relative_to(nas) != where(dst_dir_fd).is_relative_to(nas):
                raise OSError(errno.EXDEV, "Invalid cross-device link", old)
            return rename(old, new, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

        monkeypatch.setattr(os, "rename", guarded)

    def test_a_claim_stays_on_its_own_mount(self, claims, inbox):
        write(inbox, "nas/cat.png", "nas/cat.toml", "dog.png")
        claim = claims.take(("nas/cat.png",), ("nas/cat.toml",))
        assert claim.root == inbox / "nas" / ".zoetrope" / claim.id
        other = claims.take(("dog.png",))
        assert other.root.parent == inbox / ".zoetrope"
        assert {c.id for c in Claims(inbox).pending()} == {claim.id, other.id}
        claims.put_back(claim)
        assert (inbox / "nas/cat.png").is_file()

    def test_a_refused_file_is_carried_over_the_border(self, claims, inbox):
        write(inbox, "nas/cat.png", "nas/cat.toml")
        claims.refuse(claims.take(("nas/cat.png",), ("nas/cat.toml",)), WHY)
        assert listing(inbox) == [
            "rejected/nas/cat.png",
            "rejected/nas/cat.png.why.txt",
            "rejected/nas/cat.toml",
        ]


class TestCopying:
    @pytest.fixture
    def claims(self, inbox, tmp_path):
        return Claims(inbox, move=False, fallback=tmp_path / "outbox" / "rejected")

    def test_nothing_is_written_into_the_inbox(self, claims, inbox, tmp_path):
        write(inbox, "hero/cat.png", "hero/cat.toml")
        (tmp_path / "outbox").mkdir()
        claims.prepare()
        claim = claims.take(("hero/cat.png",), ("hero/cat.toml",))
        assert claim.root / "hero/cat.png" == inbox / "hero/cat.png"
        why = claims.refuse(claim, WHY)
        claims.release(claim)
        claims.put_back(claim)
        assert listing(inbox) == ["hero/cat.png", "hero/cat.toml"]
        assert why == tmp_path / "outbox" / "rejected" / "hero" / "cat.png.why.txt"
        assert "touch" in why.read_text()
        assert claims.pending() == []

    def test_the_same_file_has_the_same_claim_until_it_changes(self, claims, inbox):
        write(inbox, "cat.png", "cat.toml")
        first = claims.take(("cat.png",))
        assert claims.take(("cat.png",), ("cat.toml",)).id == first.id
        os.utime(inbox / "cat.png", (1, 1))
        assert claims.take(("cat.png",)).id != first.id

    def test_each_half_of_a_pair_keeps_its_own_id(self, claims, inbox):
        write(inbox, "cat.start.png", "cat.end.png")
        pair = claims.take(("cat.start.png", "cat.end.png"))
        assert pair.id == claims.take(("cat.start.png",)).id
        assert pair.others == (claims.take(("cat.end.png",)).id,)

    def test_a_file_that_is_gone_is_no_claim(self, claims):
        assert claims.take(("cat.png",)) is None


class TestAccents:
    """A pair is one, however a system writes the accents of either half's name."""

    NAMES = ("Ä.start.png", unicodedata.normalize("NFD", "Ä.end.png"))

    def test_the_halves_that_a_crash_left_are_one_jobs(self, claims, inbox):
        write(inbox, *self.NAMES)
        assert claims.take(self.NAMES).one
        (found,) = Claims(inbox).pending()
        assert found.pictures == self.NAMES
        assert found.one

    def test_halves_that_are_put_back_stay_a_pair_where_one_name_is_taken(self, claims, inbox):
        write(inbox, *self.NAMES)
        claim = claims.take(self.NAMES)
        (inbox / self.NAMES[0]).write_text("newer")
        claims.put_back(claim)
        back = [unicodedata.normalize("NFC", name) for name in listing(inbox)]
        assert sorted(back) == ["Ä (2).end.png", "Ä (2).start.png", "Ä.start.png"]
