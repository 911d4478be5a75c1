"""Backups: the ledger and the recipes of its jobs in one file, made while jobs run and checked before they are restored."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import pwd
import re
import shutil
import tarfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import msgspec

from . import __version__
from .durable import flush, sync
from .errors import NotFound, ZoetropeError
from .graphs.versions import INDEX
from .host import trouble
from .settings import Settings
from .store.sqlite.copies import copy, examine, held, replace
from .store.sqlite.place import ASIDE
from .structs import UNREADABLE, primed

FORMAT = 1
MANIFEST = "backup.json"
LEDGER = "ledger.db"
VERSIONS = "recipe-versions"

_VERSION_FILE = re.compile(r"recipe-versions/[0-9a-f]{64}/[^/\0]{1,255}")
_MOST_BYTES = 64 * 1024 * 1024  # of the manifest
_CHUNK = 1 << 20


class BackupError(ZoetropeError):
    """A backup cannot be made, or is none that could be restored."""

    key = "backup"


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup says of itself; it comes first in the file."""

    format: int
    zoetrope: str
    created: float
    schema: int  # of the ledger
    jobs: int
    files: dict[str, str]  # the SHA-256 of every other file


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """What was restored, and where that lies which was there before."""

    backup: Manifest
    unreadable: int
    aside: str


def pack(ledger: Path, versions: Path, target: Path, now: float) -> Manifest:
    """Write a backup of a ledger's copy and the kept recipes, durably and for its owner alone."""
    found = examine(ledger)
    files = {LEDGER: ledger, **_version_files(versions)}
    hashes: dict[str, str] = {}
    for name, file in list(files.items()):
        # A version that no job names may go meanwhile.
        with contextlib.suppress(FileNotFoundError):
            hashes[name] = _sha256(file)
    manifest = Manifest(
        format=FORMAT,
        zoetrope=__version__,
        created=now,
        schema=found.schema,
        jobs=found.jobs,
        files=hashes,
    )
    body = msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"
    with private(target) as stream, tarfile.open(fileobj=stream, mode="w") as tar:
        _add(tar, MANIFEST, io.BytesIO(body), len(body), now)
        for name in hashes:
            with files[name].open("rb") as content:
                _add(tar, name, content, os.fstat(content.fileno()).st_size, now)
    return manifest


def make(settings: Settings, target: Path, now: float) -> Manifest:
    """Make a backup of a state folder whose service does not run."""
    need_owner(settings, "backup FILE")
    with written_whole(target) as part, _folder(settings, "backup") as folder:
        copy(settings.ledger_file, folder / LEDGER)
        return pack(folder / LEDGER, settings.recipe_versions, part, now)


def restore(settings: Settings, file: Path, now: float) -> Restored:
    """Put a backup in the place of the ledger of a service that does not run; the earlier one is kept.

    Killed at any point, the ledger is the one before or the restored one.
    """
    need_owner(settings, "restore FILE")
    with _worded(), held(settings.ledger_file), _folder(settings, "restore") as folder:
        manifest = _unpack(file, folder)
        found = examine(folder / LEDGER)
        _take_versions(folder / VERSIONS, settings.recipe_versions)
        aside = _free(settings.state.path / ASIDE, now)
        replace(settings.ledger_file, folder / LEDGER, aside)
    return Restored(backup=manifest, unreadable=found.unreadable, aside=str(aside))


def read_manifest(file: Path) -> Manifest:
    """Read what a backup says of itself."""
    with _reading(file) as tar:
        return _first(tar, file)


def need_owner(settings: Settings, command: str) -> None:
    """Raise unless this process runs as the user that the service's state belongs to, and name that user."""
    folder = settings.state.path
    try:
        owner = folder.stat().st_uid
    except FileNotFoundError as error:
        raise NotFound(
            f"There is no state folder {folder}.",
            "Name the service's settings file with --config, or check state.path in it; on a new host, start"
            " the service once and stop it.",
            key="state-missing",
        ) from error
    except PermissionError as error:
        raise BackupError(
            f"This user cannot look at the state folder {folder}.",
            f"Run it as the user of the service: sudo -u zoetrope zoetrope {command}",
            key="other-user",
        ) from error
    if os.geteuid() != owner:
        name = _user(owner)
        raise BackupError(
            f"The state folder {folder} belongs to the user {name}, and files that another user"
            " makes there would be in the service's way.",
            f"Run it as that user: sudo -u {name} zoetrope {command}",
            key="other-user",
        )


def need_free(target: Path) -> None:
    """Raise where a backup would replace something else; an earlier backup, or an empty file, it replaces."""
    try:
        if not target.exists() or not target.stat().st_size:
            return
        read_manifest(target)
    except BackupError as error:
        raise BackupError(
            f"{target} is there and is no backup; it is left as it is.",
            "Choose another name, or remove it first.",
        ) from error
    except OSError:
        return  # writing says what is wrong with the place


@contextlib.contextmanager
def written_whole(target: Path) -> Iterator[Path]:
    """Give a hidden name to write to; when the block ends well, the file takes its place, durably."""
    need_free(target)
    part = target.with_name(f".{target.name[:200]}.{uuid.uuid4().hex}.part")
    try:
        yield part
        part.replace(target)
        sync(target.absolute().parent)
    except OSError as error:
        reason = trouble(error)
        raise BackupError(
            f"{target} cannot be written: {reason.sentence if reason else error}",
            "Choose another place, such as a folder of your own.",
        ) from error
    finally:
        part.unlink(missing_ok=True)


@contextlib.contextmanager
def private(file: Path) -> Iterator[IO[bytes]]:
    """Open a new file that only its owner can read, and flush it when the block ends well."""
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(handle, "wb") as stream:  # noqa: PTH123 - a descriptor
        yield stream
        flush(stream)


def _unpack(file: Path, folder: Path) -> Manifest:
    """Take a backup apart; nothing but what its manifest names, and only as it was packed."""
    with _reading(file) as tar:
        manifest = _first(tar, file)
        missing = dict(manifest.files)
        while (member := tar.next()) is not None:
            expected = missing.pop(member.name, None)
            content = tar.extractfile(member) if member.isreg() else None
            if expected is None or content is None or not _belongs(member.name):
                raise _broken(file, f"{member.name[:100]!r} does not belong in it")
            if _write(content, folder / member.name) != expected:
                raise _broken(file, f"{member.name[:100]} is damaged")
    if missing or LEDGER not in manifest.files:
        raise _broken(file, f"it lacks {next(iter(missing), LEDGER)}")
    return manifest


@contextlib.contextmanager
def _reading(file: Path) -> Iterator[tarfile.TarFile]:
    try:
        with file.open("rb") as stream, tarfile.open(fileobj=stream, mode="r:") as tar:
            yield tar
    except (tarfile.TarError, EOFError, *UNREADABLE) as error:
        raise _broken(file, str(error) or "it is cut off") from error
    except FileNotFoundError as error:
        raise NotFound(f"There is no {file}.", "Check its path.", key="backup-missing") from error
    except PermissionError as error:
        name = _user(os.geteuid())
        raise BackupError(
            f"{error.filename or file} cannot be read by the user {name}.",
            f"Give that user a copy: install -o {name} -m 600 {file} /tmp/backup.tar",
            key="backup-closed",
        ) from error


def _first(tar: tarfile.TarFile, file: Path) -> Manifest:
    member = tar.next()
    body = tar.extractfile(member) if member is not None and member.isreg() else None
    if member is None or member.name != MANIFEST or body is None:
        raise _broken(file, "it does not begin with a manifest")
    manifest = msgspec.json.decode(body.read(_MOST_BYTES), type=primed(Manifest))
    if manifest.format > FORMAT:
        raise _broken(file, "a newer zoetrope made it")
    return manifest


def _take_versions(found: Path, versions: Path) -> None:
    """Add the recipe versions that are not kept yet; none that is there is touched."""
    if not found.is_dir():
        return
    versions.mkdir(exist_ok=True)
    for version in sorted(found.iterdir()):
        sync(version)
        known = versions / version.name
        if not (known / INDEX).is_file():
            shutil.rmtree(known, ignore_errors=True)  # what a crash left of it
            version.rename(known)
    sync(versions)


def _belongs(name: str) -> bool:
    return name == LEDGER or (
        _VERSION_FILE.fullmatch(name) is not None and name.rpartition("/")[2] not in (".", "..")
    )


def _version_files(versions: Path) -> dict[str, Path]:
    """List the files of the kept recipes, by their names in a backup."""
    try:
        folders = sorted(versions.iterdir())
    except FileNotFoundError:
        return {}
    found = {
        f"{VERSIONS}/{folder.name}/{file.name}": file
        for folder in folders
        if re.fullmatch(r"[0-9a-f]{64}", folder.name) and folder.is_dir()
        for file in sorted(folder.iterdir())
        if file.is_file()
    }
    return {name: file for name, file in found.items() if _belongs(name)}


def _add(tar: tarfile.TarFile, name: str, content: IO[bytes], size: int, now: float) -> None:
    member = tarfile.TarInfo(name)
    member.size = size
    member.mtime = int(now)
    member.mode = 0o600
    tar.addfile(member, content)


def _write(content: IO[bytes], target: Path) -> str:
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with private(target) as made:
        while chunk := content.read(_CHUNK):
            digest.update(chunk)
            made.write(chunk)
    return digest.hexdigest()


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


@contextlib.contextmanager
def _folder(settings: Settings, what: str) -> Iterator[Path]:
    """Make a folder next to the ledger, and clear it away, with what a killed run left of one."""
    state = settings.state.path
    if what == "restore":  # of which there is one at a time
        for left in state.glob(".restore-*.part"):
            shutil.rmtree(left, ignore_errors=True)
    folder = state / f".{what}-{uuid.uuid4().hex}.part"
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _worded() -> Iterator[None]:
    """Say in words what an error of the operating system means."""
    try:
        yield
    except OSError as error:
        reason = trouble(error)
        said = reason.sentence if reason is not None else f"{error}."
        raise BackupError(
            f"The backup cannot be restored: {said}",
            "Fix that, and restore it again; the ledger is the one that it was.",
        ) from error


def _free(folder: Path, now: float) -> Path:
    name = time.strftime("%Y-%m-%d-%H%M%S", time.localtime(now))
    names = (name, *(f"{name}-{number}" for number in range(2, 100)))
    return next(folder / each for each in names if not (folder / each).exists())


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"#{uid}"


def _broken(file: Path, why: str) -> BackupError:
    return BackupError(
        f"{file} is no whole backup of zoetrope: {why}.", "Take another one.", key="backup-broken"
    )
