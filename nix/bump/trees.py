"""The trees of a bump: the new source, fetched or local, its revision and hash, and the copy of this checkout."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import candidate
from stop import Stopped


def copy_checkout(root: Path, target: Path) -> None:
    """Copy what git tracks, as it is on the disk."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=root, capture_output=True, check=True
    ).stdout
    for name in listed.decode().split("\0"):
        file = root / name
        if name and file.is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, target / name)


def graphs(tree: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """List the shipped graphs with their names."""
    for file in sorted((tree / "workflows").glob("*/*.json")):
        graph = json.loads(file.read_text())
        nodes = {k: n for k, n in graph.items() if isinstance(n, dict) and "class_type" in n}
        yield f"{file.parent.name}/{file.name}", nodes


def whole_revision(folder: Path) -> str | None:
    """Give the revision of a checkout that is clean and whole; else None."""
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        top = _git(folder, "rev-parse", "--show-toplevel")
        if Path(top).resolve() == folder and not _git(folder, "status", "--porcelain", "-uno"):
            return _git(folder, "rev-parse", "HEAD")
    return None


def nix_hash(folder: Path) -> str | None:
    """Compute the hash of what git holds of a whole tree; None without Nix."""
    if shutil.which("nix") is None or whole_revision(folder) is None:
        return None
    with tempfile.TemporaryDirectory() as place_:
        archive = Path(place_) / "tree.tar"
        _git(folder, "archive", "--output", str(archive), "HEAD")
        target = Path(place_) / "tree"
        target.mkdir()
        subprocess.run(["tar", "xf", str(archive), "-C", str(target)], check=True)
        nix = ["nix", "--extra-experimental-features", "nix-command", "hash", "path", "--sri"]
        return subprocess.run(
            [*nix, str(target)], capture_output=True, text=True, check=True
        ).stdout.strip()


def fetch(pins: candidate.Pins, name: str, ref: str, remote: str, work: Path) -> Path:
    """Fetch the new source with git; of ComfyUI, the pinned node packs into it as well."""
    pin = pins["sources"][name]
    target = work / "source"
    clone(
        f"{remote}/{pin['owner']}/{pin['repo']}",
        ref,
        target,
    )
    if name == "comfyui":
        for other, pack in pins["sources"].items():
            if other != "comfyui":
                place_ = target / "custom_nodes" / pack["repo"]
                clone(f"{remote}/{pack['owner']}/{pack['repo']}", pack["rev"], place_)
    return target


def clone(url: str, ref: str, target: Path) -> None:
    """Fetch one revision or tag, and nothing of its history."""
    target.mkdir(parents=True)
    _git(target, "init", "--quiet")
    try:
        _git(target, "fetch", "--quiet", "--depth", "1", url, ref)
    except subprocess.CalledProcessError as error:
        why = (error.stderr or "").strip().splitlines()[-1:]
        raise Stopped(
            f"{url} {ref} cannot be fetched: {' '.join(why)}. Give a local --source."
        ) from error
    _git(target, "checkout", "--quiet", "FETCH_HEAD")


def _git(folder: Path, *words: str) -> str:
    return subprocess.run(
        ["git", *words], cwd=folder, capture_output=True, text=True, check=True
    ).stdout.strip()


def place(folder: Path, target: Path) -> None:
    """Put a pack's tree where ComfyUI loads it."""
    if target.resolve() == folder:
        return
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(folder, target, ignore=shutil.ignore_patterns(".git"))
