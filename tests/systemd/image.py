"""A Debian with systemd, polkit and Python, made once and kept: what a machine of the tests boots from."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

SUITE = "bookworm"
PACKAGES = ("systemd", "systemd-sysv", "dbus", "libpam-systemd", "polkitd", "python3")
# The module's two users, and a person with a share's group.
USERS = (
    ("groupadd", "--system", "zoetrope"),
    ("groupadd", "--system", "zoetrope-engine"),
    ("groupadd", "--system", "zoetrope-gpu"),
    ("useradd", "--system", "--gid", "zoetrope", "--groups", "users", "zoetrope"),
    ("useradd", "--system", "--gid", "zoetrope-engine", "zoetrope-engine"),
    ("useradd", "--create-home", "--gid", "users", "person"),
)
# Mount points, so that what a service keeps can outlive a boot.
MOUNTED = (
    *("var/lib/zoetrope", "var/lib/zoetrope-engine", "var/lib/zoetrope-gpu"),
    *("opt/zoetrope", "nix/store"),
)


def image() -> Path:
    """Give the image's folder; the first call takes a minute or two."""
    wanted = hashlib.sha256(repr((SUITE, PACKAGES, USERS, MOUNTED)).encode()).hexdigest()[:12]
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "zoetrope-tests"
    home.mkdir(parents=True, exist_ok=True)
    final = home / f"{SUITE}-{wanted}"
    # Tests run side by side; one of them makes it, the others wait.
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not final.exists():
            part = home / f".{final.name}.part"
            shutil.rmtree(part, ignore_errors=True)
            _make(part)
            part.rename(final)
    return final


def _make(folder: Path) -> None:
    done = subprocess.run(
        [
            *("debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}"),
            *(SUITE, str(folder)),
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    for command in USERS:
        subprocess.run(["chroot", str(folder), *command], check=True, capture_output=True)
    for mounted in MOUNTED:
        (folder / mounted).mkdir(parents=True, exist_ok=True)
