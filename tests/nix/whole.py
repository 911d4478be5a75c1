"""A whole package set, named by ZOETROPE_NIXPKGS: what is evaluated and built of it, and the record of that.

    ZOETROPE_NIXPKGS       what `import` takes: a checkout of nixpkgs, or a derivative of it
    ZOETROPE_NIXPKGS_LIB   the `lib` of nixpkgs, where that of the derivative is another
    ZOETROPE_SOURCES       a folder of source trees by their names in pins.json, in the place of those that cannot be fetched
    ZOETROPE_WITHOUT       wheels that cannot be fetched, separated by blanks

Nix' own settings are those of the machine, or of NIX_CONFIG.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from tests.nix.render import ROOT, NixError

EXPRESSION = ROOT / "tests" / "nix" / "built.nix"
FEATURES = "experimental-features = nix-command flakes"
LAST_LINES = 40


class Step:
    """One line of the record: what was done, and whatever else there is to say of it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.said = ""


class Record:
    """The log of a run: a line for each step as it ends, and a summary."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._file: TextIO = (folder / "log.txt").open("w")
        self._passed = self._failed = 0
        self._begin = time.monotonic()

    def say(self, line: str) -> None:
        """Write a line at once: a run that is cut off keeps what it showed."""
        self._file.write(f"{line}\n")
        self._file.flush()

    @contextmanager
    def step(self, name: str) -> Iterator[Step]:
        """Time a step, and say how it ended."""
        step, begin = Step(name), time.monotonic()
        try:
            yield step
        except BaseException:
            self._failed += 1
            self.say(f"FAILED {name}: after {time.monotonic() - begin:.1f} s")
            raise
        self._passed += 1
        said = f": {step.said}" if step.said else ""
        self.say(f"passed {name}{said}: {time.monotonic() - begin:.1f} s")

    def close(self) -> None:
        """Write the summary."""
        took = (time.monotonic() - self._begin) / 60
        self.say(f"{self._passed} steps passed, {self._failed} failed, in {took:.1f} minutes")
        self._file.close()


class Whole:
    """The package set, and what it is asked for."""

    def __init__(self, record: Record) -> None:
        self.nixpkgs = Path(os.environ["ZOETROPE_NIXPKGS"]).resolve()
        lib, sources = os.environ.get("ZOETROPE_NIXPKGS_LIB"), os.environ.get("ZOETROPE_SOURCES")
        self.without = os.environ.get("ZOETROPE_WITHOUT", "").split()
        self.sources = Path(sources).resolve() if sources else None
        self._record = record
        self._common = ["--arg", "nixpkgs", str(self.nixpkgs)]
        if lib:
            self._common += ["--arg", "lib", f"import {Path(lib).resolve()}"]

    def injected(self) -> list[str]:
        """Name the source trees that no fetcher brings."""
        return sorted(path.name for path in self.sources.iterdir()) if self.sources else []

    def _words(self, modules: tuple[str, ...], extra: str, default: bool) -> list[str]:
        listed = " ".join(f'"{module}"' for module in modules)
        words = [*self._common, "--arg", "modules", f"[ {listed} ]", "--arg", "extra", extra]
        if default:
            return words
        if self.sources:
            words += ["--arg", "sources", str(self.sources)]
        return [*words, "--arg", "without", "[ " + " ".join(map(json.dumps, self.without)) + " ]"]

    def _run(self, name: str, *words: str) -> str:
        log = self._record.folder / f"{name.replace('/', '-')}.nix.log"
        environ = {"NIX_CONFIG": FEATURES, **os.environ}
        with log.open("w") as file:
            done = subprocess.run(
                words, stdout=subprocess.PIPE, stderr=file, text=True, env=environ, cwd=ROOT
            )
        if done.returncode:
            lines = log.read_text(errors="replace").splitlines()[-LAST_LINES:]
            raise NixError("\n".join(lines))
        return done.stdout

    def ask(self, what: str, *modules: str, extra: str = "{ }", default: bool = True) -> Any:
        """Evaluate; by default nothing is injected or left out: what a host gets that names none of it."""
        words = self._words(modules, extra, default)
        command = ("nix-instantiate", "--eval", "--strict", "--json", str(EXPRESSION), "-A", what)
        return json.loads(self._run(f"eval-{what}", *command, *words))

    def instantiate(self, what: str, *modules: str, default: bool = True) -> list[str]:
        """Say what would be built: the derivations' paths."""
        words = self._words(modules, "{ }", default)
        return self._run(
            f"drv-{what}", "nix-instantiate", str(EXPRESSION), "-A", what, *words
        ).split()

    def build(self, what: str, *modules: str, extra: str = "{ }") -> list[Path]:
        """Build, with what cannot be fetched injected or left out."""
        words = self._words(modules, extra, False)
        command = ("nix-build", "--no-out-link", "--keep-going", str(EXPRESSION), "-A", what)
        return [Path(path) for path in self._run(f"build-{what}", *command, *words).split()]
