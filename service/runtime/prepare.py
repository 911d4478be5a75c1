"""Creates ComfyUI's environment on a host without Nix, from the same pins as the flake.

    pre-start.sh --prepare DIR

DIR gets venv/ (every wheel by its hash), ComfyUI/ and packs/ (by git revision), and `environment`, the
variables that pre-start.sh needs. Running it again only applies changes.
"""

from __future__ import annotations

import argparse
import base64
import json
import shutil
import subprocess
import sys
import urllib.parse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PINS = Path(__file__).resolve().parents[2] / "nix" / "pins.json"
GITHUB = "https://github.com"
COMFYUI = "comfyui"  # ComfyUI itself; every other source is a node pack

Pins = dict[str, Any]


class Trouble(Exception):
    """The reason why the environment cannot be created."""


def requirements(pins: Pins, github: str) -> str:
    """Write the pinned wheels as a requirements file with hashes."""
    lines = []
    for name, wheel in sorted(pins["wheels"].items()):
        kind, _, digest = wheel["hash"].partition("-")
        if kind != "sha256":
            raise Trouble(f"The wheel {name} has a hash that is not SHA-256: {wheel['hash']}")
        wanted = f"{name}=={wheel['version']}"
        if wheel["source"] == "GitHub":
            where = f"{wheel['owner']}/{wheel['repo']}/releases/download/{wheel['tag']}"
            wanted = f"{name} @ {github}/{where}/{urllib.parse.quote(wheel['file'])}"
        lines.append(f"{wanted} --hash=sha256:{base64.b64decode(digest).hex()}\n")
    return "".join(lines)


def run(*words: str | Path, quiet: bool = False) -> str:
    """Run a command; its own output explains a failure best."""
    try:
        done = subprocess.run(
            [str(word) for word in words],
            check=True,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if quiet else None,
        )
    except FileNotFoundError as error:
        raise Trouble(f"{words[0]} is not installed") from error
    except subprocess.CalledProcessError as error:
        told = f": {(error.stderr or '').strip()}" if quiet else ""
        raise Trouble(f"`{' '.join(str(w) for w in words)}` failed{told}") from error
    return done.stdout.strip()


def interpreter(wanted: str, given: str | None) -> str:
    """Find a Python of the pinned version."""
    for name in (given,) if given else (f"python{wanted}", "python3"):
        if path := shutil.which(name):
            code = "import sys; print('%d.%d' % sys.version_info[:2])"
            if run(path, "-c", code, quiet=True) == wanted:
                return path
    found = f", but {given} is another version" if given else ""
    raise Trouble(f"Python {wanted} is required{found}: install it, or set it with --python")


def wheels(folder: Path, pins: Pins, python: str, github: str, options: Sequence[str]) -> None:
    """Create the virtual environment; it is created again when the pins have changed."""
    venv, lock = folder / "venv", requirements(pins, github)
    stamp = venv / ".zoetrope-lock"
    if stamp.exists() and stamp.read_text() == lock:
        return
    print(f"{len(pins['wheels'])} wheels into {venv}", flush=True)
    (folder / "requirements.txt").write_text(lock)
    # Without its own pip, so that Debian's split python3-venv package is not needed.
    run(python, "-m", "venv", "--clear", "--without-pip", venv)
    pip = (python, "-m", "pip", "--disable-pip-version-check", "--python", venv / "bin" / "python")
    # The pins are the whole closure, so that pip has nothing to resolve.
    install = ("install", "--quiet", "--require-hashes", "--no-deps", "--only-binary=:all:")
    run(*pip, *install, *options, "-r", folder / "requirements.txt")
    stamp.write_text(lock)


def source(folder: Path, pin: dict[str, str], github: str) -> None:
    """Fetch one source at its revision; the revision is a hash, so it verifies the content."""
    head = folder / ".git"
    if head.exists() and run("git", "-C", folder, "rev-parse", "HEAD", quiet=True) == pin["rev"]:
        return
    print(f"{pin['owner']}/{pin['repo']} at {pin['rev'][:12]} into {folder}", flush=True)
    partial = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    git = ("git", "-C", partial, "-c", "advice.detachedHead=false")
    run(*git, "init", "--quiet", quiet=True)
    address = f"{github}/{pin['owner']}/{pin['repo']}"
    run(*git, "fetch", "--quiet", "--depth", "1", address, pin["rev"], quiet=True)
    run(*git, "checkout", "--quiet", "FETCH_HEAD", quiet=True)
    if (found := run(*git, "rev-parse", "HEAD", quiet=True)) != pin["rev"]:
        raise Trouble(f"{address} gave the revision {found}, not {pin['rev']}")
    if folder.exists():
        shutil.rmtree(folder)
    partial.rename(folder)


def environment(folder: Path, pins: Pins) -> str:
    """Write the variables that pre-start.sh needs."""
    packs = "".join(
        f"{pin['repo']}={folder}/packs/{pin['repo']}\n"
        for name, pin in sorted(pins["sources"].items())
        if name != COMFYUI
    )
    (folder / "node-packs").write_text(packs)
    values = {
        "ZOETROPE_PYTHON": folder / "venv" / "bin" / "python",
        "ZOETROPE_COMFYUI": folder / "ComfyUI",
        "ZOETROPE_NODE_PACKS": folder / "node-packs",
        "ZOETROPE_MIN_DRIVER": pins["driver"],
    }
    return "".join(f"{name}={value}\n" for name, value in values.items())


def prepare(folder: Path, pins: Pins, options: argparse.Namespace) -> None:
    """Create the whole environment."""
    folder.mkdir(parents=True, exist_ok=True)
    python = interpreter(pins["python"], options.python)
    for name, pin in pins["sources"].items():
        part = folder / "ComfyUI" if name == COMFYUI else folder / "packs" / pin["repo"]
        source(part, pin, options.github)
    wheels(folder, pins, python, options.github, options.pip)
    (folder / "environment").write_text(environment(folder, pins))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it as a command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--pins", type=Path, default=PINS, help="another pins.json")
    parser.add_argument("--python", help="the interpreter to use")
    parser.add_argument("--github", default=GITHUB, help="another server for sources and releases")
    parser.add_argument(
        "--pip", action="append", default=[], help="a further argument for pip install"
    )
    options = parser.parse_args(arguments)
    folder: Path = options.folder.resolve()
    try:
        prepare(folder, json.loads(options.pins.read_text()), options)
    except (Trouble, OSError) as trouble:
        print(f"{trouble}.", file=sys.stderr)
        return 1
    print(f"ready; to run pre-start.sh: set -a; . {folder}/environment; set +a")
    return 0


if __name__ == "__main__":
    sys.exit(main())
