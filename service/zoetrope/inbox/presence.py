"""Whether the inbox is there, is still the same folder, and lies on a file system that tells of changes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

from ..errors import Reason, ZoetropeError
from ..mounts import Mount, mount_of, read_table
from .scan import probe
from .stability import FileStat


class InboxMissing(ZoetropeError):
    """The inbox is not there, or not the one that it was."""

    key = "inbox-missing"


class Presence:
    """Remembers which folder the inbox was; every method blocks on the file system."""

    def __init__(
        self,
        root: str,
        mounts: Callable[[], str] = read_table,
        identify: Callable[[], None] = lambda: None,
    ) -> None:
        self._root = root
        self._mounts = mounts
        self._identify = identify  # raises where it is not the inbox of an earlier start
        self._home: Mount | None = None
        self.mount = Mount("/", "unknown")
        self.identity: tuple[int, int] | None = None  # None while it is absent

    def check(self) -> bool:
        """Look whether the inbox is there; true if it is another folder than at the last look."""
        try:
            found = os.stat(self._root)  # noqa: PTH116  the root may hold bytes that Path would change
        except OSError as error:
            self.identity = None
            raise absent(self._root, error) from error
        identity = (found.st_dev, found.st_ino)
        if identity == self.identity:
            return False
        mount = mount_of(self._mounts(), self._root)
        if self._home is not None and len(mount.point) < len(self._home.point):
            self.identity = None
            # An empty folder where a share was mounted is not an empty inbox.
            raise InboxMissing(
                f"{self._home.point}, which holds the inbox, is no longer mounted.",
                "Mount it again; pictures are taken as soon as it is back.",
                key="inbox-unmounted",
            )
        self.identity = None
        self._identify()
        self._home = self.mount = mount
        self.identity = identity
        return True

    def probe(self, paths: Iterable[str]) -> dict[str, FileStat | None] | None:
        """Look at files by opening them; None where the inbox is not the folder of the last check any more."""
        found = probe(self._root, paths)
        return found if self._is_same() else None

    def _is_same(self) -> bool:
        try:
            found = os.stat(self._root)  # noqa: PTH116  as above
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == self.identity

    def silent_folders(self, devices: dict[str, int]) -> frozenset[str]:
        """Find the folders of the inbox that lie on another file system, one without events."""
        if self.identity is None:
            return frozenset()
        here = self.identity[0]
        others = [folder for folder, device in devices.items() if device != here]
        if not others:
            return frozenset()
        table = self._mounts()
        return frozenset(f for f in others if mount_of(table, f"{self._root}/{f}").silent)


def absent(root: str, error: OSError) -> InboxMissing:
    """Say what an error at the inbox itself means."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return InboxMissing(
            f"The inbox {root} is not there.",
            "Make the folder, or mount what holds it; pictures are taken as soon as it is back.",
        )
    return InboxMissing(
        f"The inbox {root} cannot be read ({error.strerror}).",
        "Give the service read, write and search permission on it.",
        key="inbox-unreadable",
    )


def crowded(files: int, folders: int) -> Reason:
    """Say that there is more than is looked at."""
    return Reason(
        "inbox-crowded",
        f"The inbox holds more than {files} files or {folders} folders; the rest is read later.",
        "Move away what is not meant for zoetrope.",
    )


def hanging(root: str) -> Reason:
    """Say that the inbox's file system does not answer."""
    return Reason(
        "inbox-hangs",
        f"The file system of {root} does not answer.",
        "Check the share's server and the network; a restart of the service cannot help.",
    )


def waiting(root: str) -> Reason:
    """Say that the inbox is not looked at because other work has the service's threads."""
    return Reason(
        "inbox-waits",
        f"{root} is not looked at: the service's threads are all busy with other work.",
        "Wait; if this stays, look whether the disks of outbox and state folder respond.",
    )
