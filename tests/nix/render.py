"""Hosts evaluated and their units as text, without nixpkgs: the module over a stand-in for its lib.

By hand, with a shell in ComfyUI's place and this checkout's own zoetrope:

    python -m tests.nix.render examples/minimal.nix FOLDER
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
EVALUATE = ROOT / "tests" / "nix" / "evaluate.nix"
ZOETROPE = ROOT / ".venv" / "bin" / "zoetrope"
# Debian's Nix has neither a cache that it can reach nor a group of builders.
CONFIG = """
build-users-group =
experimental-features = nix-command flakes
sandbox = false
substituters =
"""
ENVIRON = {
    **os.environ,
    "NIX_CONFIG": CONFIG,
    "NIX_SSL_CERT_FILE": os.environ.get("NIX_SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt"),
}


class NixError(Exception):
    """What Nix said when it refused."""


def nix(*words: str | Path) -> str:
    """Run one of Nix' programs; what it prints is the answer."""
    done = subprocess.run(
        [str(word) for word in words], capture_output=True, text=True, env=ENVIRON, cwd=ROOT
    )
    if done.returncode:
        raise NixError(done.stderr)
    return done.stdout


def arguments(
    modules: tuple[str, ...], extra: str, lib: str | None, fakes: bool = True
) -> list[str]:
    """Say which host is meant: module files of the checkout, and a module as a Nix expression."""
    listed = " ".join(f'"{module}"' for module in modules)
    words = ["--arg", "modules", f"[ {listed} ]", "--arg", "extra", extra]
    words += ["--argstr", "zoetrope", str(ZOETROPE), "--arg", "fakes", json.dumps(fakes)]
    return words + (["--arg", "lib", f"import {lib}"] if lib else [])


def host(
    *modules: str, extra: str = "{ }", lib: str | None = None, fakes: bool = True
) -> dict[str, Any]:
    """Evaluate a host: failed assertions, warnings, settings, units, tmpfiles, users, polkit rule.

    Without fakes its packages are those that a host gets which names none.
    """
    words = arguments(modules, extra, lib, fakes)
    facts: dict[str, Any] = json.loads(
        nix("nix-instantiate", "--eval", "--strict", "--json", EVALUATE, "-A", "facts", *words)
    )
    return facts


def rule(kind: str, path: str, mode: str, user: str, group: str) -> str:
    """Write the rule of tmpfiles that makes something, as NixOS does."""
    return f"'{kind}' '{path}' '{mode}' '{user}' '{group}' '-' "


def said(text: str, besides: str = "") -> dict[str, Any]:
    """Evaluate a host with these options of ours, and others besides."""
    ours = f"services.zoetrope = {{ enable = true; {text} }};"
    return host(extra=f"{{ lib, ... }}: {{ {ours} {besides} }}")


def build(*modules: str, extra: str = "{ }", part: str = "closure") -> list[str]:
    """Build what the units and /etc of a host name, the check of its settings included."""
    words = arguments(modules, extra, None)
    return nix("nix-build", "--no-out-link", EVALUATE, "-A", part, *words).split()


def units(*modules: str, extra: str = "{ }") -> dict[str, str]:
    """Render a host's units: text by file name, drop-ins as `unit.d/overrides.conf`."""
    found: dict[str, str] = host(*modules, extra=extra)["units"]
    return found


def write(texts: Mapping[str, str], folder: Path) -> None:
    """Write units the way systemd looks for them."""
    for name, text in texts.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


if __name__ == "__main__":
    build(sys.argv[1])
    write(units(sys.argv[1]), Path(sys.argv[2]))
