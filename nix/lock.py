"""Renew the wheels in pins.json: pip resolves what ComfyUI and the node packs need, for the host's Python.

    python nix/lock.py [--keep] [--download FOLDER]

With --keep no version changes that `needs` still admits: new dependencies are added, wheels that nothing depends
on are removed, and a wheel that must move takes along what it alone depends on.
Only `wheels` entries from the package index are rewritten; an operator edits everything else in pins.json
by hand. With --download the files are fetched and hashed too, and a hash that differs from the index's is
an error.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PINS = Path(__file__).parent / "pins.json"
# The checkout's environment is made without pip; the Python that it was made with has one.
PIP = (str(Path(sys.base_prefix) / "bin" / "python3"), "-m", "pip")
# Wheels for older C libraries run on newer ones; nixpkgs' is newer than all of these.
PLATFORMS = [
    *(f"manylinux_2_{minor}_x86_64" for minor in range(35, 4, -1)),
    "manylinux2014_x86_64",
    "manylinux2010_x86_64",
    "manylinux1_x86_64",
]


def wanted(pins: dict[str, Any]) -> list[str]:
    """List what is needed by whom, once each, in a stable order."""
    return sorted({need for needs in pins["needs"].values() for need in needs}, key=str.lower)


def choices(python: str) -> list[str]:
    """Say to pip for which machine it resolves: the host's, whatever this one is."""
    tag = f"cp{python.replace('.', '')}"
    line = ["--python-version", python, "--implementation", "cp", "--only-binary=:all:"]
    for abi in (tag, "abi3", "none"):
        line += ["--abi", abi]
    for platform in PLATFORMS:
        line += ["--platform", platform]
    return line


def pip(*words: str) -> None:
    """Run pip quietly; its own message is the best one when it fails."""
    subprocess.run([*PIP, *words, "--quiet"], check=True)


def moved(pins: dict[str, Any]) -> set[str]:
    """Name the wheels that needs no longer admit, and what only they depend on: that moves with them."""
    wheels = pins["wheels"]
    found = {
        name
        for need in map(Requirement, wanted(pins))
        if (name := canonicalize_name(need.name)) in wheels
        and not need.specifier.contains(wheels[name]["version"], prereleases=True)
    }
    asked = {canonicalize_name(Requirement(need).name) for need in wanted(pins)}
    while True:
        others = asked.union(*(w.get("requires", ()) for n, w in wheels.items() if n not in found))
        theirs = {each for name in found for each in wheels[name].get("requires", ())}
        if theirs - others <= found:
            return found
        found |= theirs - others


def constraints(pins: dict[str, Any]) -> list[str]:
    """Pin every wheel of the index that stays to the version that it has."""
    loose = moved(pins)
    return [
        f"{name}=={wheel['version']}"
        for name, wheel in pins["wheels"].items()
        if wheel["source"] == "PyPI" and name not in loose
    ]


def resolve(needs: list[str], python: str, kept: list[str]) -> list[dict[str, Any]]:
    """Let pip choose a version of each wheel; the answer is its own report."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        limits = Path(folder) / "constraints.txt"
        limits.write_text("\n".join(kept))
        pip(
            *("install", "--dry-run", "--ignore-installed", "--report", str(report)),
            *("--target", str(Path(folder) / "target"), "--constraint", str(limits)),
            *(*choices(python), *needs),
        )
        found: list[dict[str, Any]] = json.loads(report.read_text())["install"]
    return found


def hash_of(file: Path) -> str:
    """Compute a file's SHA-256 in hexadecimal."""
    with file.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def sri(hexadecimal: str) -> str:
    """Write a SHA-256 the way Nix does."""
    return "sha256-" + base64.b64encode(bytes.fromhex(hexadecimal)).decode()


def requires(metadata: dict[str, Any], python: str, extras: dict[str, set[str]]) -> list[str]:
    """Name the distributions that a wheel needs on the host, with the extras that others asked for."""
    host = {key: str(value) for key, value in default_environment().items()} | {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "platform_system": "Linux",
        "sys_platform": "linux",
        "platform_machine": "x86_64",
    }
    found = set()
    own = canonicalize_name(metadata["name"])
    for line in metadata.get("requires_dist", []):
        need = Requirement(line)
        asked = {"", *extras.get(own, set())}
        if need.marker is None or any(need.marker.evaluate(host | {"extra": e}) for e in asked):
            name = canonicalize_name(need.name)
            extras.setdefault(name, set()).update(need.extras)
            found.add(name)
    return sorted(found - {own})


def entries(report: list[dict[str, Any]], python: str, basis: str) -> dict[str, Any]:
    """Turn pip's report into the lock's entries."""
    extras: dict[str, set[str]] = {}
    for item in report:
        name = canonicalize_name(item["metadata"]["name"])
        extras.setdefault(name, set()).update(item.get("requested_extras", []))
    for _ in range(3):  # extras are asked for along chains
        edges = {
            canonicalize_name(item["metadata"]["name"]): requires(item["metadata"], python, extras)
            for item in report
        }
    return {
        name: {
            "version": item["metadata"]["version"],
            "file": item["download_info"]["url"].rpartition("/")[2].partition("#")[0],
            "hash": sri(item["download_info"]["archive_info"]["hashes"]["sha256"]),
            "requires": edges[name],
            "source": "PyPI",
            "basis": basis,
        }
        for item in report
        for name in [canonicalize_name(item["metadata"]["name"])]
    }


def settled(found: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """Keep what a hash rests on where it is still the same file's."""
    same = {
        name: before[name]["basis"]
        for name, entry in found.items()
        if name in before and all(before[name][key] == entry[key] for key in ("file", "hash"))
    }
    return {
        name: entry | {"basis": same.get(name, entry["basis"])} for name, entry in found.items()
    }


def compare(found: dict[str, Any], folder: Path, python: str) -> None:
    """Download every wheel and hash it."""
    pins = [f"{name}=={entry['version']}" for name, entry in found.items()]
    pip("download", "--no-deps", "--dest", str(folder), *choices(python), *pins)
    for name, entry in found.items():
        if sri(hash_of(folder / entry["file"])) != entry["hash"]:
            sys.exit(f"{name}: {entry['file']} does not have the hash that the index names.")


def main() -> None:
    """Rewrite pins.json in place."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--download", metavar="FOLDER", type=Path, help="fetch and hash them too")
    parser.add_argument(
        "--keep", action="store_true", help="change no version that needs still admit"
    )
    options = parser.parse_args()
    download: Path | None = options.download
    pins = json.loads(PINS.read_text())
    python = pins["python"]
    basis = "index" if download is None else "computed = index"
    kept = constraints(pins) if options.keep else []
    found = entries(resolve(wanted(pins), python, kept), python, basis)
    if download is not None:
        compare(found, download, python)
    else:
        found = settled(found, pins["wheels"])
    by_hand = {name: w for name, w in pins["wheels"].items() if w["source"] != "PyPI"}
    pins["wheels"] = dict(sorted((found | by_hand).items()))
    PINS.write_text(json.dumps(pins, indent=2) + "\n")
    print(f"{len(found)} wheels")  # noqa: T201 - the tool's answer


if __name__ == "__main__":
    main()
