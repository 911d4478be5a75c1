"""Proves on a machine with nixpkgs what the tests of a plain checkout cannot: that all of it evaluates, builds and boots.

    nix run .#prove                  in a checkout of zoetrope
    nix run .#prove -- --list        what would be run
    nix run .#prove -- --only vm     one part; may be repeated

It runs `nix flake check`, builds every package, boots a whole host in a virtual machine (nix/checks/vm.nix), compares the tests'
stand-in with the real nixpkgs, starts the ComfyUI that was built and has it make a video, and writes a report that can be pasted into an issue.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

SYSTEM = "x86_64-linux"
NEEDS = """It needs
  - Linux on x86_64 and Nix 2.8 or newer; it turns on flakes for itself
  - the cache of nixpkgs, GitHub and the Python package index in reach: 3.5 GB of wheels and what nixpkgs brings
  - {room} GB free where the Nix store is; there are {free} GB
  - /dev/kvm for the virtual machine: {kvm}
It takes half an hour to two hours on a machine with a good network (an estimate: it was never measured over nixpkgs itself).
Nothing but the Nix store, .venv and the folder of the report is written. Interrupt it with Ctrl-C: the report then says how far it came.
"""
ROOM = 30
LAST_LINES = 30
BEAT = 30.0  # seconds from one sign of life to the next
GRACE = 10.0  # seconds for a command to end by itself
FEATURES = ("--extra-experimental-features", "nix-command flakes")
_CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07")


class Part(NamedTuple):
    """One command, and how long it may take."""

    name: str
    command: tuple[str, ...]
    minutes: float
    skip: str = ""  # why it cannot run here
    sign: str = ""  # what its last line has to match besides


class Ran(NamedTuple):
    """How a part ended."""

    part: Part
    result: str  # passed, failed, timed out, not run or interrupted
    seconds: float = 0.0
    why: str = ""
    last: tuple[str, ...] = ()


def nix(*words: str) -> tuple[str, ...]:
    """Write a command of Nix that works without flakes in its settings."""
    return ("nix", *FEATURES, *words)


def plan(packages: Sequence[str], *, kvm: bool) -> list[Part]:
    """List the parts, cheap ones first, so that a mistake is known early."""
    build = ("build", "--no-link", "--print-build-logs")
    return [
        Part("evaluate", nix("flake", "check", "--no-build"), 20),
        *(
            Part(f"package {name}", nix(*build, f".#packages.{SYSTEM}.{name}"), 90)
            for name in packages
        ),
        Part("examples", nix(*build, f".#checks.{SYSTEM}.examples"), 30),
        Part(
            "vm",
            nix(*build, f".#checks.{SYSTEM}.vm"),
            60,
            "" if kvm else "there is no /dev/kvm that this user can open",
        ),
        Part(
            "flake check", nix("flake", "check"), 90, "" if kvm else "it includes the vm, see there"
        ),
        tests("stand-in", "tests/nix --ignore tests/nix/test_built.py", 30, "ZOETROPE_NIXPKGS_LIB"),
        # The same packages as above, and what was built is started: build/built/log.txt says the steps.
        tests("built", "tests/nix/test_built.py", 120, "ZOETROPE_NIXPKGS"),
    ]


def tests(name: str, which: str, minutes: float, variable: str) -> Part:
    """Run tests of the checkout that need nixpkgs; that all of them are skipped proves nothing."""
    script = f"make --silent env && exec .venv/bin/python -m pytest -q -m nixpkgs {which}"
    here = bool(os.environ.get(variable))
    skip = "" if here else f"{variable} names nothing of nixpkgs; nix run .#prove sets it"
    return Part(name, ("sh", "-c", script), minutes, skip, r"\b[1-9]\d* passed")


def tail(log: Path) -> tuple[str, ...]:
    """Read the last lines that a command wrote, as a person would have seen them."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 64 * 1024))
        text = file.read().decode(errors="replace")
    lines = [plain(line.rsplit("\r", 1)[-1]) for line in text.replace("\r\n", "\n").split("\n")]
    return tuple([line for line in lines if line.strip()][-LAST_LINES:])


def plain(line: str) -> str:
    """Leave out colours, and who ran it."""
    line = _CODES.sub("", line).rstrip()
    home = str(Path.home())
    return line.replace(home, "~") if len(home) > 1 else line


def run(part: Part, log: Path, limit: float, say: Callable[[str], None]) -> Ran:
    """Run a part in its own session, with signs of life; what takes too long is ended with all that it started."""
    if part.skip:
        return Ran(part, "not run", why=part.skip)
    begin = time.monotonic()
    code: int | None = None
    interrupted = False
    process: subprocess.Popen[bytes] | None = None
    with log.open("wb") as file:
        try:
            process = subprocess.Popen(
                part.command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            while code is None and (left := begin + limit - time.monotonic()) > 0:
                try:
                    code = process.wait(min(BEAT, left))
                except subprocess.TimeoutExpired:
                    shown = (tail(log) or ("nothing printed yet",))[-1]
                    say(f"    {span(time.monotonic() - begin)}: {shown[:100]}")
        except OSError as error:
            return Ran(part, "failed", why=f"{part.command[0]}: {error.strerror}")
        except KeyboardInterrupt:
            interrupted = True
        finally:
            if process is not None:
                end(process)
    took, last = time.monotonic() - begin, tail(log)
    if interrupted:
        return Ran(part, "interrupted", took, last=last)
    if code is None:
        return Ran(part, "timed out", took, f"it was not done after {span(limit)}", last)
    if code:
        return Ran(part, "failed", took, f"exit code {code}", last)
    if part.sign and not (last and re.search(part.sign, last[-1])):
        return Ran(part, "failed", took, "it ended without showing anything", last)
    return Ran(part, "passed", took, last[-1] if part.sign else "")


def end(process: subprocess.Popen[bytes]) -> None:
    """End a command and what it started; after a moment without asking."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(GRACE)
        except ProcessLookupError:
            break
        except subprocess.TimeoutExpired:
            continue
    process.wait()


def span(seconds: float) -> str:
    """Say a time as people do."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def answer(*command: str) -> str:
    """Ask a program for one line about itself; empty where there is none."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip().partition("\n")[0] if done.returncode == 0 else ""


def versions(checkout: Path) -> dict[str, str]:
    """Say what was tested, and on what."""
    dirty = answer("git", "-C", str(checkout), "status", "--porcelain", "-uno")
    revision = answer("git", "-C", str(checkout), "rev-parse", "HEAD") or "not a git checkout"
    try:
        nodes = json.loads((checkout / "flake.lock").read_text())["nodes"]
        nixpkgs = nodes["nixpkgs"]["locked"]["rev"]
    except (OSError, ValueError, KeyError, TypeError):
        nixpkgs = "unknown"
    return {
        "zoetrope": revision + (", with changes" if dirty else ""),
        "nixpkgs": nixpkgs,
        "Nix": answer("nix", "--version") or "unknown",
        "system": answer("nixos-version") or f"not NixOS: {platform.release()}",
        "cores": str(os.cpu_count()),
    }


def report(facts: dict[str, str], ran: Sequence[Ran], left: Sequence[Part]) -> str:
    """Write all that was found as Markdown."""
    counted = [each.result for each in ran]
    names = dict.fromkeys((*counted, *(["not run"] if left else [])))
    numbers = {
        name: counted.count(name) + (len(left) if name == "not run" else 0) for name in names
    }
    head = ", ".join(f"{number} {name}" for name, number in numbers.items())
    lines = [f"### nix run .#prove: {head}", ""]
    lines += [f"- {name}: {value}" for name, value in facts.items()]
    lines += ["", "| part | result | time | |", "|---|---|---|---|"]
    for each in ran:
        why = each.why.replace("|", "\\|")
        lines.append(f"| {each.part.name} | {each.result} | {span(each.seconds)} | {why} |")
    lines += [f"| {part.name} | not run | | |" for part in left]
    for each in ran:
        if each.result not in ("passed", "not run"):
            fence = "`" * (3 + max((line.count("`") for line in each.last), default=0))
            command = " ".join(word for word in each.part.command if word not in FEATURES)
            lines += ["", f"**{each.part.name}** (`{command}`), its last lines:", "", fence]
            lines += [*(each.last or ("nothing was printed",)), fence]
    return "\n".join(lines) + "\n"


def packages() -> tuple[list[str], Ran | None]:
    """Ask the flake for its packages; what went wrong where it has no answer."""
    command = nix("eval", "--json", f".#packages.{SYSTEM}", "--apply", "builtins.attrNames")
    part = Part("packages", command, 20)
    begin = time.monotonic()
    try:
        done = subprocess.run(command, capture_output=True, timeout=part.minutes * 60, check=False)
        names = json.loads(done.stdout) if done.returncode == 0 else None
    except subprocess.TimeoutExpired:
        return [], Ran(part, "timed out", time.monotonic() - begin)
    except ValueError:
        names = None
    if not isinstance(names, list):
        said = [plain(line) for line in done.stderr.decode(errors="replace").splitlines()]
        took = time.monotonic() - begin
        return [], Ran(
            part, "failed", took, f"exit code {done.returncode}", tuple(said[-LAST_LINES:])
        )
    # `default` is one of the others.
    return [str(name) for name in names if name != "default"], None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the parts, one after the other, whatever becomes of those before."""
    parser = argparse.ArgumentParser(
        prog="nix run .#prove --",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Exit codes: 0 all that ran passed, 1 something failed, 2 it cannot be run here, 130 interrupted.",
    )
    parser.add_argument("--list", action="store_true", help="only say what would be run")
    parser.add_argument("--only", metavar="PART", action="append", help="only this part")
    parser.add_argument("--limit", metavar="MINUTES", type=float, help="for each part")
    parser.add_argument("--out", metavar="FOLDER", type=Path, default=Path("build/prove"))
    options = parser.parse_args(arguments)
    checkout = Path.cwd()

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)  # noqa: T201 - what a person sees

    if not (checkout / "flake.nix").is_file() or not (checkout / "nix/checks").is_dir():
        say("Run it in a checkout of zoetrope: here is no flake.nix with nix/checks.")
        return 2
    if shutil.which("nix") is None:
        say("There is no nix on the PATH. Install Nix, or start it as: nix run .#prove")
        return 2
    kvm = os.access("/dev/kvm", os.R_OK | os.W_OK)
    store = Path("/nix/store") if Path("/nix/store").is_dir() else Path("/")
    free = shutil.disk_usage(store).free // 10**9
    say(NEEDS.format(room=ROOM, free=free, kvm="it is there" if kvm else "it is not there"))
    names, broken = packages()
    parts = plan(names, kvm=kvm)
    if options.only:
        unknown = [name for name in options.only if name not in {part.name for part in parts}]
        if unknown:
            say(f"There is no part {', '.join(unknown)}. Parts: {', '.join(p.name for p in parts)}")
            return 2
        parts = [part for part in parts if part.name in options.only]
    if options.list:
        listed = "\n".join(f"{part.name:<32} {' '.join(part.command)}" for part in parts)
        print(listed)  # noqa: T201 - the tool's answer
        return 0 if broken is None else 1
    options.out.mkdir(parents=True, exist_ok=True)
    written = options.out / "report.md"
    facts = versions(checkout)
    ran = [broken] if broken else []
    for number, part in enumerate(parts):
        say(f"[{number + 1}/{len(parts)}] {part.name}")
        log = options.out / f"{part.name.replace(' ', '-')}.log"
        minutes = part.minutes if options.limit is None else options.limit
        done = run(part, log, minutes * 60, say)
        ran.append(done)
        why = f": {done.why}" if done.why else ""
        say(f"    {done.result} in {span(done.seconds)}{why}")
        # After each part: a power cut then takes one.
        written.write_text(report(facts, ran, parts[number + 1 :]))
        if done.result == "interrupted":
            break
    say(f"The report is {written}, with the whole logs next to it.")
    results = {each.result for each in ran}
    return 130 if "interrupted" in results else int(bool(results & {"failed", "timed out"}))


if __name__ == "__main__":
    sys.exit(main())
