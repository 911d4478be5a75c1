"""Hashes of model files: computed once, never in a job's way, and never of another file than was asked for."""

import asyncio
import hashlib
import os
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from zoetrope.models import hashes as module
from zoetrope.models.hashes import NO_FOLDER, NOT_YET, SILENT, Hashes, identify, sha256_of
from zoetrope.models.manifest import Model
from zoetrope.models.store import Store

NAME = "vae/m.safetensors"
CONTENT = b"weights" * 1000
SHA = hashlib.sha256(CONTENT).hexdigest()
SECRET = b"not for every user"


class Folder:
    """A folder of models, and how often its files were hashed."""

    def __init__(self, root):
        self.root = root / "models"
        self.file = self.root / NAME
        self.file.parent.mkdir(parents=True)
        self.memory = root / "model-hashes.json"
        self.read = []
        self.sha256 = sha256_of  # how they are hashed now

    def hashes(self, *more, **options):
        def counted(path, *rest):
            self.read.append(path)
            return self.sha256(path, *rest)

        return Hashes(self.root, more, self.memory, sha256=counted, **options)


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path)


async def settled(hashes, name=NAME):
    """Look, compute, and give what is known then."""
    await hashes.look([name])
    await hashes.catch_up()
    return (await hashes.look([name]))[0]


async def test_an_unknown_hash_is_told_as_such_at_once_and_known_later(folder):
    folder.file.write_bytes(CONTENT)
    hashes = folder.hashes()
    (first,) = await hashes.look([NAME])
    assert (first.size, first.sha256, first.unknown) == (len(CONTENT), "", NOT_YET)
    assert folder.read == []
    assert (await settled(hashes)).sha256 == SHA
    (filled,) = await hashes.completed((first,))
    assert (filled.sha256, filled.unknown) == (SHA, "")


async def test_a_file_is_hashed_once_over_many_looks_and_starts(folder):
    folder.file.write_bytes(CONTENT)
    hashes = folder.hashes()
    await settled(hashes)
    await settled(hashes)
    later = folder.hashes()
    assert (await later.look([NAME]))[0].sha256 == SHA
    assert len(folder.read) == 1


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff", b'{"a": 1}', b'{"a": {"b": ' + b"[" * 5000]
)
async def test_a_spoilt_memory_costs_a_computation_no_more(folder, content):
    folder.file.write_bytes(CONTENT)
    folder.memory.write_bytes(content)
    assert (await settled(folder.hashes())).sha256 == SHA


async def test_a_memory_that_cannot_be_written_costs_nothing_now(folder):
    folder.file.write_bytes(CONTENT)
    folder.memory.mkdir()
    assert (await settled(folder.hashes())).sha256 == SHA


async def test_a_replaced_file_is_never_given_the_hash_of_what_it_was(folder):
    folder.file.write_bytes(CONTENT)
    hashes = folder.hashes()
    (before,) = await hashes.look([NAME])
    await settled(hashes)
    times = folder.file.stat()
    other = folder.file.with_name("other")
    other.write_bytes(b"x" * len(CONTENT))
    os.utime(other, ns=(times.st_atime_ns, times.st_mtime_ns))
    other.replace(folder.file)
    (now,) = await hashes.look([NAME])
    assert (now.sha256, now.unknown) == ("", NOT_YET), "the same size and time, another inode"
    folder.file.write_bytes(b"longer" * len(CONTENT))
    await settled(hashes)
    (filled,) = await hashes.completed((before,))
    assert (filled.sha256, filled.unknown) == ("", NOT_YET), "that file is gone"


async def test_a_file_that_changes_while_it_is_hashed_gets_no_hash(folder):
    folder.file.write_bytes(CONTENT)
    hashes = folder.hashes()

    def replaced(path, identity, leaving):
        def meanwhile():
            new = folder.file.with_name("new")
            new.write_bytes(b"y" * len(CONTENT))
            new.replace(folder.file)
            return leaving()

        return sha256_of(path, identity, meanwhile)

    folder.sha256 = replaced
    found = await settled(hashes)
    assert (found.sha256, found.unknown) == ("", NOT_YET)
    folder.sha256 = sha256_of
    expected = hashlib.sha256(b"y" * len(CONTENT)).hexdigest()
    assert (await settled(hashes)).sha256 == expected


async def test_a_link_that_is_turned_to_another_file_of_a_store_is_another_file(folder, tmp_path):
    """All files of a Nix store have the same time; two of the same size differ in their place alone."""
    for name, letter in (("one", b"1"), ("two", b"2")):
        (tmp_path / name).write_bytes(letter * 100)
        os.utime(tmp_path / name, ns=(1_000_000_000, 1_000_000_000))
    folder.file.symlink_to(tmp_path / "one")
    hashes = folder.hashes()
    one = await settled(hashes)
    folder.file.unlink()
    folder.file.symlink_to(tmp_path / "two")
    assert (await hashes.look([NAME]))[0].unknown == NOT_YET
    two = await settled(hashes)
    assert one.sha256 == hashlib.sha256(b"1" * 100).hexdigest()
    assert two.sha256 == hashlib.sha256(b"2" * 100).hexdigest()


async def test_what_a_download_verified_is_not_read_again_but_not_through_a_link(folder):
    folder.file.write_bytes(CONTENT)
    store = Store(folder.root)
    store.verify(Model(file="m.safetensors", folder="vae", sha256=SHA))
    assert (await folder.hashes().look([NAME]))[0].sha256 == SHA
    target = folder.root / "real"
    folder.file.rename(target)
    folder.file.symlink_to(target)
    assert (await folder.hashes().look([NAME]))[0].unknown == NOT_YET
    assert folder.read == []


async def test_an_empty_file_has_a_hash_as_any_other(folder):
    folder.file.touch()
    found = await settled(folder.hashes())
    assert (found.size, found.sha256) == (0, hashlib.sha256(b"").hexdigest())


@pytest.mark.parametrize("kind", ["missing", "folder", "pipe", "loop", "dangling"])
async def test_what_is_no_file_is_told_with_its_reason(folder, kind):
    if kind == "folder":
        folder.file.mkdir()
    elif kind == "pipe":
        os.mkfifo(folder.file)
    elif kind == "loop":
        folder.file.symlink_to(folder.file)
    elif kind == "dangling":
        folder.file.symlink_to("nowhere")
    (found,) = await folder.hashes().look([NAME])
    assert found.sha256 == ""
    assert found.unknown not in ("", NOT_YET)


@pytest.mark.parametrize("name", ["../secret", "vae/../../secret", "/etc/hostname", "vae/a\0b"])
async def test_no_name_leads_out_of_the_folder(folder, name):
    (folder.root.parent / "secret").write_text("secret")
    (found,) = await folder.hashes().look([name])
    assert (found.size, found.sha256) == (0, "")
    assert "points outside" in found.unknown


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give links away")
@pytest.mark.parametrize("place", ["file", "folder"])
async def test_a_link_shows_its_maker_nothing_that_only_the_service_can_read(
    folder, tmp_path, place
):
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / folder.file.name).write_bytes(CONTENT)
    if place == "file":
        link = folder.file
        link.symlink_to(secret / link.name)
    else:
        folder.file.parent.rmdir()
        link = folder.file.parent
        link.symlink_to("../secret")
    assert (await settled(folder.hashes())).sha256 == SHA, "the operator's own link"
    os.chown(link, 65534, 65534, follow_symlinks=False)
    found = await settled(folder.hashes())
    assert (found.size, found.sha256) == (0, "")
    assert "another user's link" in found.unknown
    os.chown(secret / folder.file.name, 65534, 65534)
    assert (await settled(folder.hashes())).sha256 == SHA, "its maker's own file"


class Exchange:
    """A user who owns a folder of models, and exchanges what is in it while the service looks there."""

    def __init__(self, folder, root, place):
        self.file, self.aside = folder.file, root / "aside"
        secret = root / "secret"
        secret.mkdir(mode=0o700)
        (secret / self.file.name).write_bytes(SECRET)
        self.file.write_bytes(CONTENT)
        self.place = self.file if place == "file" else self.file.parent
        self.other = root / "other"
        self.other.symlink_to(secret / self.file.name if place == "file" else secret)
        if place == "closed folder":
            # The file is read by every user, as far as its mode says; the folder around it is not.
            self.other.unlink()
            folder.file.parent.rename(self.other)
            secret.rename(folder.file.parent)
            self.file = folder.root / "link"
            self.file.symlink_to(folder.file)
            os.chown(self.file, 65534, 65534, follow_symlinks=False)
        else:
            os.chown(folder.file, 65534, 65534)
            os.chown(self.other, 65534, 65534, follow_symlinks=False)

    def turn(self):
        """Put the other one in place; done again, the one that was there."""
        self.place.rename(self.aside)
        self.other.rename(self.place)
        self.aside.rename(self.other)

    def during(self, work, first, length):
        """Exchange before one call of the system, and back so many calls later; give what is said, and all calls."""
        calls = 0

        def before(_frame, event, called):
            nonlocal calls
            if event == "c_call" and called.__module__ in ("posix", "_io"):
                calls += 1
                if calls in (first, first + length):
                    self.turn()

        sys.setprofile(before)
        try:
            said = work()
        except OSError:
            said = None
        finally:
            sys.setprofile(None)
        if first <= calls < first + length:
            self.turn()
        return said, calls


@pytest.fixture
def open_root():
    """A folder that every user can enter, as pytest's own is not."""
    with tempfile.TemporaryDirectory() as root:
        Path(root).chmod(0o755)
        yield Path(root)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give links away")
@pytest.mark.parametrize("length", [1, 2, 1000], ids=["one call", "two calls", "to the end"])
@pytest.mark.parametrize("place", ["file", "folder", "closed folder"])
def test_what_is_exchanged_while_it_is_looked_at_shows_no_secret(open_root, place, length):
    exchange = Exchange(Folder(open_root), open_root, place)

    def look():
        real, identity = identify(exchange.file)
        return identity.size, sha256_of(real, identity, lambda: False)

    first, calls, seen = 1, 1, set()
    while first <= calls:
        said, calls = exchange.during(look, first, length)
        assert said in (None, (len(CONTENT), SHA), (len(CONTENT), None)), first
        seen.add(said)
        first += 1
    assert first > 5
    # Not that nothing is ever said: what may be is, but where the way is exchanged for good.
    assert (len(CONTENT), SHA) in seen or (place, length) in (
        ("closed folder", 1),
        ("closed folder", 2),
    )


async def test_a_file_that_cannot_be_read_is_told_and_tried_again(folder):
    folder.file.write_bytes(CONTENT)
    hashes = folder.hashes()

    def refused(*_):
        raise PermissionError(13, "Permission denied")

    folder.sha256 = refused
    assert "Permission denied" in (await settled(hashes)).unknown
    folder.sha256 = sha256_of
    assert (await settled(hashes)).sha256 == SHA


async def test_a_folder_that_cannot_be_entered_is_told(folder):
    def refused(_):
        raise PermissionError(13, "Permission denied")

    (found,) = await folder.hashes(identify=refused).look([NAME])
    assert "Permission denied" in found.unknown


async def test_a_folder_that_does_not_answer_delays_a_job_by_no_more_than_its_patience(
    folder, monkeypatch
):
    folder.file.write_bytes(CONTENT)
    answer = threading.Event()
    monkeypatch.setattr(module, "PATIENCE", 0.05)
    hashes = folder.hashes(identify=lambda file: answer.wait() and identify(file))
    for _ in range(3):
        (found,) = await hashes.look([NAME])
        assert found.unknown == SILENT
    answer.set()
    monkeypatch.setattr(module, "PATIENCE", 20.0)
    assert (await hashes.look([NAME]))[0].unknown == NOT_YET


async def test_the_first_folder_that_has_a_file_counts(folder, tmp_path):
    (tmp_path / "more/vae").mkdir(parents=True)
    (tmp_path / "more" / NAME).write_bytes(CONTENT)
    hashes = folder.hashes(tmp_path / "more")
    assert (await hashes.look([NAME]))[0].size == len(CONTENT)
    folder.file.write_bytes(b"1")
    assert (await hashes.look([NAME]))[0].size == 1


async def test_without_a_folder_nothing_is_known_and_the_reason_is_told(tmp_path):
    hashes = Hashes(None, (), tmp_path / "memory")
    assert [each.unknown for each in await hashes.look([NAME])] == [NO_FOLDER]


async def test_a_service_that_ends_does_not_wait_for_a_large_file(folder, monkeypatch):
    folder.file.write_bytes(CONTENT)
    monkeypatch.setattr(module, "CHUNK", 1)
    hashes = folder.hashes()
    begun = threading.Event()

    def slow(path, identity, leaving):
        def meanwhile():
            begun.set()
            while not leaving():
                pass
            return True

        return sha256_of(path, identity, meanwhile)

    folder.sha256 = slow
    await hashes.look([NAME])
    task = asyncio.create_task(hashes.run())
    await asyncio.to_thread(begun.wait)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await hashes.look([NAME]))[0].unknown == NOT_YET
