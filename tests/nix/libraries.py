"""Which libraries the pinned wheels need and do not bring, as their ELF headers say; `libraries.json` is the record of it.

After wheels have changed, with those of `nix-build` or of `nix/lock.py --download FOLDER`, and binutils:

    python -m tests.nix.libraries WHEEL…
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

from tests.nix.render import ROOT

FILE = ROOT / "tests" / "nix" / "libraries.json"
# Of the C library, which every program has.
OF_LIBC = re.compile(r"(ld-linux-x86-64|lib(c|m|mvec|dl|rt|pthread|util|resolv))\.so\.\d+")
OURS = re.compile(r"^[0-9a-z]{32}-(?=.*\.whl$)")


def needed(wheel: Path) -> tuple[set[str], set[str]]:
    """Read what the libraries of a wheel need of others, and which it brings."""
    needs: set[str] = set()
    brings: set[str] = set()
    with zipfile.ZipFile(wheel) as archive, tempfile.TemporaryDirectory() as folder:
        for name in archive.namelist():
            if ".so" not in Path(name).name:
                continue
            brings.add(Path(name).name)
            file = archive.extract(name, folder)
            done = subprocess.run(
                ["readelf", "--dynamic", "--wide", file], capture_output=True, text=True
            )
            Path(file).unlink()
            needs |= set(re.findall(r"\(NEEDED\)[^\[]*\[([^\]]+)\]", done.stdout))
    return {name for name in needs - brings if not OF_LIBC.fullmatch(name)}, brings


def record(wheels: Iterable[Path]) -> dict[str, dict[str, list[str]]]:
    """Read them all; of what one brings only that is kept which another needs."""
    read = {
        OURS.sub("", wheel.name): needed(wheel) for wheel in wheels if "-any.whl" not in wheel.name
    }
    wanted = {name for needs, _ in read.values() for name in needs}
    return {
        file: {"needs": sorted(needs), "brings": sorted(brings & wanted)}
        for file, (needs, brings) in sorted(read.items())
    }


if __name__ == "__main__":
    FILE.write_text(json.dumps(record(map(Path, sys.argv[1:])), indent=1) + "\n")
