"""Which file system a folder lies on, and whether the kernel tells of changes there."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

TABLE = Path("/proc/self/mountinfo")

# On these another machine, or the host of a virtual one, can write without this kernel knowing.
_SILENT = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "virtiofs", "vboxsf", "drvfs", "afs", "ceph"}
    | {"fuse", "fuseblk", "prl_fs", "vmhgfs", "glusterfs", "lustre", "ncpfs", "davfs", "coda"}
)


class Mount(msgspec.Struct, frozen=True):
    """A mount point, its file system's type, and what is mounted there: a disk or a share; "" where nothing tells."""

    point: str
    type: str
    source: str = ""

    @property
    def silent(self) -> bool:
        """Whether changes can happen without an event."""
        return self.type in _SILENT or self.type.startswith("fuse.")


def mount_of(table: str, path: str) -> Mount:
    """Find the mount that a path lies on, in the text of a mountinfo file."""
    found = Mount("/", "unknown")
    for line in table.splitlines():
        left, _, right = line.partition(" - ")
        fields, kinds = left.split(" "), right.split(" ")
        if len(fields) < 5 or not kinds[0]:
            continue
        point = re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), fields[4])
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        # A later mount on the same point hides the earlier one.
        if inside and len(point) >= len(found.point):
            found = Mount(point, kinds[0], kinds[1] if len(kinds) > 1 else "")
    return found


def outermost(table: str, path: str) -> str:
    """Find the highest folder above a path from which on all lies on the same disk or share.

    A sandbox mounts a folder on itself; that is no boundary.
    """
    source = mount_of(table, path).source
    above = path
    for parent in map(str, Path(path).parents):
        if mount_of(table, parent).source != source:
            break
        above = parent
    return above


def mount_id(handle: int) -> str:
    """Give the number of the mount that an open folder lies on; "" if nothing tells."""
    try:
        said = Path(f"/proc/self/fdinfo/{handle}").read_text(encoding="ascii")
    except OSError:
        return ""
    return next((line.split()[1] for line in said.splitlines() if line.startswith("mnt_id:")), "")


def type_of(handle: int, table: str) -> str:
    """Say of which type the file system is that an open folder lies on; "unknown" if nothing tells."""
    number = mount_id(handle)
    for line in table.splitlines():
        left, _, right = line.partition(" - ")
        if number and left.split(" ", 1)[0] == number:
            return right.split(" ", 1)[0] or "unknown"
    return "unknown"


def read_table() -> str:
    """Read this process's mount table; empty where there is none."""
    try:
        return TABLE.read_bytes().decode("utf-8", "surrogateescape")
    except OSError:
        return ""
