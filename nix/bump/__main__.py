"""Move a pin, and prove it: what does not work with this repository is not written.

    python nix/bump comfyui 0.33.3                        fetch, resolve, start, compare, run, write
    python nix/bump comfyui 0.33.3 --source COPY --python COPY/.venv/bin/python --rev R --hash H
    python nix/bump gguf --source TREE --comfyui COPY --python PYTHON --rev R --hash H

COPY is a ComfyUI for tests alone, with the node packs of pins.json in custom_nodes (CONTRIBUTING.md); tiny models are
made in it. Without --source it is fetched with git, and without --python its environment is made by
`pre-start.sh --prepare`, which takes 7 GB. All work is done in a copy of this checkout; the files that a bump changes
are written here after the last step has passed:

  source         version, revision and hash: computed by Nix where the source is whole, else as published (--hash, --basis)
  requirements   what it asks of Python, against what the pin asked for
  wheels         resolved anew; only what the needs no longer admit may move
  start          the engine starts on the CPU and says its version
  catalogue      its nodes are recorded and compared with the pinned ones
  recipes        every shipped graph fits the recorded nodes
  tests          pins, requirements and recipes of this repository
  runs           the contract with the simulated engine, and every recipe with tiny models

Exit codes: 0 written, or would be with --try; 1 a step failed and nothing is written; 2 usage.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "service/runtime"))
import candidate
import flags
import lock
import publish
from stop import Stopped
from trees import copy_checkout, fetch, graphs, nix_hash, place, whole_revision
from trial import check, end, free_port, prepare, wait_for

ROOT = Path(__file__).resolve().parents[2]
PINS = "nix/pins.json"
RECORD = "tests/nix/requirements.toml"
CATALOGS = "service/zoetrope/graphs/catalogs"
VERSION_OF = "service/zoetrope/graphs/catalog.py"
TESTS = (
    "tests/nix/test_pins.py",
    "tests/nix/test_requirements.py",
    "tests/recipes",
    "tests/graphs",
)
SHOWN = 15  # changes of nodes, and lines of a test that failed


def say(text: str) -> None:
    """Print at once: the steps take minutes."""
    print(text, flush=True)  # noqa: T201 - the tool's answer


class Bump:
    """One bump, in a copy of the checkout."""

    def __init__(self, options: argparse.Namespace, work: Path) -> None:
        self.options = options
        self.work = work
        self.tree = work / "checkout"
        self.pins: candidate.Pins = json.loads((ROOT / PINS).read_text())
        self.name: str = options.source_name
        self.report: list[str] = []
        self.wrote: list[str] = []
        self.catalogue = b""

    def run(self) -> None:
        """Take every step; a Stopped says which one failed."""
        copy_checkout(ROOT, self.tree)
        steps: list[tuple[str, Callable[[], None]]] = [
            ("source", self.source),
            ("requirements", self.requirements),
            ("wheels", self.wheels),
        ]
        for name, step in steps:
            self._take(name, step)
        engine = self._take("start", self.start)
        try:
            for name, step in (
                ("catalogue", self.catalog),
                ("recipes", self.recipes),
                ("tests", self.tests),
                ("runs", self.runs),
            ):
                self._take(name, step)
        finally:
            end(engine)

    def _take(self, name: str, step: Callable[[], Any]) -> Any:
        began = time.monotonic()
        say(f"{name:<13} …")
        try:
            found = step()
        except subprocess.CalledProcessError as error:
            what = " ".join(Path(word).name for word in error.cmd[:4])
            why = f"`{what} …` ended with code {error.returncode}; its own words are above"
            raise Stopped(f"{name}: {why}") from error
        except (ValueError, OSError) as error:
            raise Stopped(f"{name}: {error}") from error
        except Stopped as error:
            raise Stopped(f"{name}: {error}") from error
        say(f"{name:<13} ok, {time.monotonic() - began:.0f} s")
        return found

    def note(self, text: str) -> None:
        """Put a line into the report."""
        self.report.append(text)
        say(f"              {text}")

    def put(self, path: str, text: str | bytes) -> None:
        """Change a file of the copy; it is written here at the end."""
        data = text.encode() if isinstance(text, str) else text
        (self.tree / path).write_bytes(data)
        if path not in self.wrote:
            self.wrote.append(path)

    # ---- the steps

    def source(self) -> None:
        """Find the tree, its revision and its hash."""
        options, pin = self.options, self.pins["sources"][self.name]
        folder = options.source or fetch(
            self.pins, self.name, options.rev or f"v{options.version}", options.remote, self.work
        )
        self.folder = Path(folder).resolve()
        self.comfyui = self.folder if self.name == "comfyui" else Path(options.comfyui).resolve()
        if self.name == "comfyui":
            said = publish.comfyui_version(self.folder) or "no ComfyUI"
            if said != options.version:
                raise Stopped(f"the tree says that it is {said}, not {options.version}")
        rev = options.rev or whole_revision(self.folder)
        if rev is None:
            raise Stopped(
                "the tree is no whole checkout of git: give --rev, and --hash as published"
            )
        computed = None if options.hash else nix_hash(self.folder)
        hash_ = options.hash or computed
        if hash_ is None:
            raise Stopped(
                "Nix is not here to compute the hash: give --hash as published, with --basis"
            )
        if not re.fullmatch(r"sha256-[A-Za-z0-9+/]{43}=", hash_):
            raise Stopped(f"{hash_!r} is not a hash as Nix writes it: sha256-…")
        basis = "computed" if computed else options.basis
        if not basis:
            raise Stopped("say where the published hash was read: --basis 'published, …'")
        self.pin = {"rev": rev, "hash": hash_, "basis": basis}
        if options.version:
            self.pin["version"] = options.version
        self.note(
            f"{self.name}: {pin.get('version', '')} {pin['rev'][:8]} -> {options.version or ''} {rev[:8]}"
        )
        self.note(f"hash {hash_} ({basis})")

    def requirements(self) -> None:
        """Read what it asks of Python."""
        text = (self.tree / RECORD).read_text()
        record = tomllib.loads(text)
        before = record["sources"][self.name]["files"]
        files = {}
        for name in before:
            if not (self.folder / name).is_file():
                raise Stopped(f"the tree has no {name}")
            files[name] = candidate.requirements((self.folder / name).read_text())
        out = {n for e in record["left_out"] if e["source"] == self.name for n in e["names"]}
        out |= {
            lock.canonicalize_name(lock.Requirement(n).name) for n in self.pins["needs"]["kernels"]
        }
        instead = {name: e["name"] for e in record["instead"] for name in e["of"]}
        asked = [line for lines in files.values() for line in lines]
        raised = {
            lock.canonicalize_name(lock.Requirement(entry["need"]).name): entry["need"]
            for entry in record.get("raised", ())
            if entry["source"] == self.name
        }
        found = (_renamed(need, instead) for need in candidate.needs(asked, out))
        self.needs = list(
            dict.fromkeys(raised.get(lock.Requirement(need).name, need) for need in found)
        )
        self.put(RECORD, candidate.recorded(text, self.name, self.pin["rev"], files))
        old = [line for lines in before.values() for line in lines]
        for line in candidate.changed(old, asked):
            self.note(f"asks for {line}")

    def wheels(self) -> None:
        """Resolve what is needed; only what its needs no longer admit moves."""
        made = candidate.moved(self.pins, self.name, self.pin, self.needs)
        python = made["python"]
        report = lock.resolve(lock.wanted(made), python, lock.constraints(made))
        found = lock.entries(report, python, "index")
        found = lock.settled(found, self.pins["wheels"])
        by_hand = {name: w for name, w in made["wheels"].items() if w["source"] != "PyPI"}
        for name in sorted(found.keys() | (made["wheels"].keys() - by_hand.keys())):
            old, new = made["wheels"].get(name, {}), found.get(name, {})
            if old.get("version") != new.get("version"):
                self.note(
                    f"wheel {name} {old.get('version', 'none')} -> {new.get('version', 'none')}"
                )
        made["wheels"] = dict(sorted((found | by_hand).items()))
        self.put(PINS, json.dumps(made, indent=2) + "\n")

    def start(self) -> subprocess.Popen[bytes]:
        """Start the engine on the CPU, with tiny models."""
        python = self.options.python or prepare(self.tree, self.work)
        ours = {word for words in flags.MEMORY.values() for word in words if word.startswith("--")}
        _, unknown = flags.understood(sorted(ours), flags.known(self.comfyui))
        if unknown:
            self.note(
                f"it does not know {', '.join(unknown)} of ours: pre-start.sh leaves that out"
            )
        if self.name != "comfyui":
            place(
                self.folder, self.comfyui / "custom_nodes" / self.pins["sources"][self.name]["repo"]
            )
        if not self.options.keep_models:
            make = [python, str(self.tree / "tests/comfyui/tiny/make.py"), str(self.comfyui)]
            check(make, self.tree, self.work / "models.log")
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        log = self.work / "engine.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [python, "main.py", "--cpu", "--port", str(port), "--disable-auto-launch"],
                cwd=self.comfyui,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        try:
            self.version = self._version()
            wait_for(self.url, process, log, self.version)
        except BaseException:
            end(process)
            raise
        return process

    def catalog(self) -> None:
        """Record the nodes, and say what changed in those that our recipes use."""
        from tests.comfyui import record
        from zoetrope.graphs import catalog as signatures
        from zoetrope.graphs.drift import drift

        old = signatures.load()
        info, folders = record.ask(self.url, "/object_info"), record.listed(self.url)
        found = record.shipped(info, self.version, folders, old)
        there = {node.pack for node in found.nodes.values()}
        packs = {
            pin["repo"]: pin["rev"][:8]
            for name, pin in (self.pins["sources"] | {self.name: self._moved()}).items()
            if name != "comfyui"
        }
        kept = [repo for repo in packs if repo not in there]
        for repo in kept:
            self.note(f"{repo} is not there: its nodes are kept as recorded before")
        here = {repo: rev for repo, rev in packs.items() if repo in there}
        self.found = record.with_packs(found, old, here, kept)
        ours = {n["class_type"] for _, graph in graphs(self.tree) for n in graph.values()}
        changes = drift(old, self.found, ours)
        others = len(drift(old, self.found)) - len(changes)
        self.note(
            f"{len(self.found.nodes)} nodes; changes of ours {len(changes)}, of others {others}"
        )
        for change in changes[:SHOWN]:
            self.note(f"{change.node}: {change.what}")
        self.put(f"{CATALOGS}/{self.version}.json", signatures.encode(self.found))
        if self.name == "comfyui":
            code = (self.tree / VERSION_OF).read_text()
            self.put(VERSION_OF, candidate.pinned(code, self.version))

    def _moved(self) -> dict[str, str]:
        """The bumped source with its new revision."""
        found: dict[str, str] = self.pins["sources"][self.name] | self.pin
        return found

    def _version(self) -> str:
        """The version of ComfyUI that has to answer; a pack is tried in the one whose nodes are pinned."""
        from zoetrope.graphs.catalog import PINNED

        return str(self.options.version) if self.name == "comfyui" else PINNED

    def recipes(self) -> None:
        """Check every shipped graph against the recorded nodes, as ComfyUI does before it queues one."""
        from zoetrope.graphs.fit import faults
        from zoetrope.graphs.graph import Node

        wrong = []
        for place_, graph in graphs(self.tree):
            nodes = {key: Node(n["class_type"], n["inputs"]) for key, n in graph.items()}
            for key, node in nodes.items():
                signature = self.found.nodes.get(node.class_type)
                if signature is None:
                    wrong.append(f"{place_} {key}: there is no node {node.class_type}")
                    continue
                wrong += [
                    f"{place_} {key}.{each.input}: {each.kind} {each.value!r} {each.told}".rstrip()
                    for each in faults(node, signature, nodes, self.found, lambda _: None)
                ]
        if wrong:
            raise Stopped(f"{len(wrong)} inputs do not fit: " + "; ".join(wrong[:SHOWN]))

    def tests(self) -> None:
        """Run what this repository says of its pins and recipes."""
        self.run_tests("tests", *TESTS, "-n", "2")

    def runs(self) -> None:
        """Run the contract, and every recipe with tiny models."""
        if self.options.no_runs:
            self.note("not run: --no-runs was given; nothing will be written")
            return
        self.run_tests("runs", "tests/comfyui", "-m", "engine", url=self.url)

    def run_tests(self, name: str, *words: str, url: str = "") -> None:
        """Run tests of the copy; their failures stop the bump."""
        log = self.work / f"{name}.log"
        env = {**os.environ, "PYTHONPATH": str(self.tree / "service")}
        env |= {"ZOETROPE_COMFYUI_URL": url} if url else {}
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words]
        with log.open("wb") as out:
            done = subprocess.run(
                command, cwd=self.tree, env=env, stdout=out, stderr=out, check=False
            )
        said = log.read_text(errors="replace").splitlines()
        if done.returncode:
            failed = [line for line in said if line.startswith(("FAILED", "ERROR"))]
            raise Stopped("\n  ".join([f"see {log}", *(failed or said)[-SHOWN:]]))
        self.note(said[-1] if said else "")

    def write(self) -> None:
        """Put what was changed into the checkout."""
        for path in self.wrote:
            shutil.copyfile(self.tree / path, ROOT / path)


def _renamed(line: str, instead: dict[str, str]) -> str:
    name = lock.canonicalize_name(lock.Requirement(line).name)
    return line.replace(name, instead[name], 1) if name in instead else line


def main(arguments: list[str] | None = None) -> int:
    """Run a bump as a command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = sorted(json.loads((ROOT / PINS).read_text())["sources"])
    parser.add_argument("source_name", metavar="SOURCE", choices=names, help=", ".join(names))
    parser.add_argument("version", nargs="?", help="the version; of a pack that has one")
    parser.add_argument("--source", type=Path, help="a local tree, in place of fetching it")
    parser.add_argument(
        "--comfyui", type=Path, help="for a pack: the ComfyUI for tests to try it in"
    )
    parser.add_argument("--python", help="a Python with what this ComfyUI imports")
    parser.add_argument("--rev", help="the revision, where the tree does not say it")
    parser.add_argument("--hash", help="the published hash, where Nix cannot compute it")
    parser.add_argument("--basis", default="", help="where the published hash was read")
    parser.add_argument("--remote", default="https://github.com", help=argparse.SUPPRESS)
    parser.add_argument(
        "--keep-models", action="store_true", help="the tiny models are there already"
    )
    parser.add_argument(
        "--no-runs", action="store_true", help="leave out the last step, and write nothing"
    )
    parser.add_argument(
        "--try", dest="only_try", action="store_true", help="take every step, write nothing"
    )
    options = parser.parse_args(arguments)
    if options.source_name == "comfyui" and not options.version:
        parser.error("say the version: comfyui 0.33.3")
    if options.source_name != "comfyui" and not options.comfyui:
        parser.error("a pack is tried in a ComfyUI for tests: --comfyui FOLDER")
    work = Path(tempfile.mkdtemp(prefix="zoetrope-bump-"))
    bump = Bump(options, work)
    try:
        bump.run()
    except Stopped as why:
        say(
            f"\nNothing is written. {why}\n  next: fix what is named, or keep the pinned version; the logs are in {work}"
        )
        return 1
    if options.no_runs or options.only_try:
        say(
            f"\nNothing is written, as you asked. It would change: {', '.join(bump.wrote)}. All is in {work}"
        )
        return 0
    bump.write()
    shutil.rmtree(work, ignore_errors=True)
    say("\n" + "\n".join(["Written: " + ", ".join(bump.wrote), "", "What changed:", *bump.report]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
