"""One command for a person with nixpkgs: what it runs, what it says of what fails and hangs, and what it writes."""

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.nix.render import ROOT

SCRIPT = ROOT / "nix" / "prove.py"

# Takes the words that the real one would, and nothing else; prints as it does: escape codes, carriage returns, no UTF-8.
NIX = """#!/bin/sh
echo "$*" >> "$FAKE/calls"
test "$1" = --version && { echo "nix (Nix) 2.28.3"; exit; }
test "$1 $2" = "--extra-experimental-features nix-command flakes" || { echo "error: experimental feature" >&2; exit 1; }
shift 2
case "$*" in
  "flake check --no-build") key=evaluate ;;
  "flake check") key=check ;;
  "eval --json .#packages.x86_64-linux --apply builtins.attrNames") key=packages ;;
  "build --no-link --print-build-logs .#packages.x86_64-linux."*) key=${4##*.} ;;
  "build --no-link --print-build-logs .#checks.x86_64-linux."*) key=${4##*.} ;;
  *) echo "error: unrecognised arguments: $*" >&2; exit 1 ;;
esac
printf "\\033[35;1mwarning:\\033[0m Git tree is dirty\\n" >&2
if [ -e "$FAKE/$key" ]; then . "$FAKE/$key"; fi
"""
FAILS = r"""
i=0; while [ $i -lt 60 ]; do echo "comfyui> line $i"; i=$((i+1)); done >&2
printf '[1/3 built] building\r[2/3 built] comfyui \377 in %s/x\n' "$HOME" >&2
printf "\033[31;1merror:\033[0m builder for '/nix/store/abc-comfyui.drv' failed with exit code 1;\n" >&2
printf '       last 25 log lines: ```\n' >&2
exit 1
"""
PACKAGES = """echo '["comfyui","default","torch"]'"""


class Checkout:
    """A checkout in a folder, and what stands behind the programs that are called."""

    def __init__(self, folder):
        self.folder, self.fake = folder / "checkout", folder / "fake"
        (self.folder / "nix/checks").mkdir(parents=True)
        (self.folder / "flake.nix").touch()
        lock = {"nodes": {"nixpkgs": {"locked": {"rev": "c0ffee"}}}}
        (self.folder / "flake.lock").write_text(json.dumps(lock))
        self.fake.mkdir()
        (self.folder / ".venv/bin").mkdir(parents=True)
        self.program(self.folder / ".venv/bin/python", "#!/bin/sh\necho 46 passed, 2 skipped in 3s")
        self.program(self.fake / "make", '#!/bin/sh\ntest "$*" = "--silent env"')
        self.program(self.fake / "nix", NIX)
        self.says("packages", PACKAGES)

    def program(self, file, text):
        file.write_text(text)
        file.chmod(0o755)

    def says(self, key, text):
        (self.fake / key).write_text(text)

    def start(self, *words, **more):
        env = {
            "PATH": f"{self.fake}:{os.environ['PATH']}",
            "FAKE": str(self.fake),
            "HOME": str(self.folder.parent),
            "ZOETROPE_NIXPKGS": "/nixpkgs",
            "ZOETROPE_NIXPKGS_LIB": "/nixpkgs/lib",
        }
        return subprocess.Popen(
            [sys.executable, SCRIPT, *words],
            cwd=self.folder,
            # Whoever started the tests may have had its children ignore an interrupt.
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
            env={**env, **more},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *words, **more):
        process = self.start(*words, **more)
        out, err = process.communicate(timeout=120)
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    @property
    def report(self):
        return (self.folder / "build/prove/report.md").read_text()

    def results(self):
        rows = re.findall(r"^\| ([a-z -]+) \| ([a-z ]+) \|", self.report, re.MULTILINE)
        return dict(rows[1:])


def loaded():
    spec = importlib.util.spec_from_file_location("prove", SCRIPT)
    prove = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(prove)
    return prove


@pytest.fixture
def checkout(tmp_path):
    return Checkout(tmp_path)


PROVEN = ("evaluate", "package comfyui", "package torch", "examples", "stand-in", "built")


def test_everything_is_run_once_and_the_report_says_on_what(checkout):
    done = checkout.run()
    assert done.returncode == 0, done.stderr
    results = checkout.results()
    assert {name: results[name] for name in PROVEN} == dict.fromkeys(PROVEN, "passed")
    # Where the machine of the test has no /dev/kvm.
    assert set(results.values()) <= {"passed", "not run"}
    assert "46 passed, 2 skipped in 3s" in checkout.report
    for line in ("- nixpkgs: c0ffee", "- Nix: nix (Nix) 2.28.3", "- zoetrope: not a git checkout"):
        assert line in checkout.report
    calls = (checkout.fake / "calls").read_text()
    assert "packages.x86_64-linux.default" not in calls


def test_what_it_needs_and_how_long_it_takes_is_said_before_anything_is_run(checkout):
    done = checkout.run("--only", "evaluate")
    needs, first = done.stderr.index("It takes half an hour"), done.stderr.index("[1/1] evaluate")
    assert done.stderr.index("GB free where the Nix store is") < needs < first
    helped = checkout.run("--help")
    assert (helped.returncode, "--only PART" in helped.stdout) == (0, True)
    listed = checkout.run("--list").stdout
    assert all(name in listed for name in (*PROVEN, "vm", "flake check"))
    assert checkout.run("--only", "engine").returncode == 2


def test_a_failure_stops_nothing_and_its_last_lines_are_fit_for_an_issue(checkout):
    checkout.says("comfyui", FAILS)
    done = checkout.run()
    assert done.returncode == 1
    results = checkout.results()
    assert (results["package comfyui"], results["package torch"]) == ("failed", "passed")
    assert checkout.report.startswith("### nix run .#prove: ")
    assert "1 failed" in checkout.report.splitlines()[0]
    assert "error: builder for '/nix/store/abc-comfyui.drv' failed" in checkout.report
    assert "\x1b" not in checkout.report
    # Only what was left on the screen of a line that was written over; and nobody's home.
    assert "[2/3 built] comfyui � in ~/x" in checkout.report
    assert "[1/3 built]" not in checkout.report
    assert "comfyui> line 59" in checkout.report
    assert "comfyui> line 5\n" not in checkout.report
    # Its own fence does not end ours.
    assert checkout.report.count("``````") == 2
    assert "line 5\n" in (checkout.folder / "build/prove/package-comfyui.log").read_text(
        errors="replace"
    )


def test_what_hangs_is_ended_with_all_that_it_started(checkout, monkeypatch):
    prove, begun = loaded(), checkout.fake / "child"
    script = f"echo waiting for a lock; sleep 1000 & echo $! > {begun}.part; mv {begun}.part {begun}; wait"
    # An hour passes as soon as it has begun.
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + 3600 * begun.exists())
    monkeypatch.setattr(prove, "time", clock)
    monkeypatch.setattr(prove, "BEAT", 0.01)
    said = []
    part = prove.Part("package torch", ("sh", "-c", script), 1)
    ran = prove.run(part, checkout.fake / "log", 1800, said.append)
    assert (ran.result, ran.last) == ("timed out", ("waiting for a lock",))
    assert ran.why == "it was not done after 30 min 00 s"
    child = int(begun.read_text())
    end = time.monotonic() + 30
    while _runs(child) and time.monotonic() < end:
        time.sleep(0.01)
    assert not _runs(child)
    assert "its last lines" in prove.report({}, [ran], [])


def _runs(process):
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def test_an_interruption_leaves_a_report_of_what_was_done(checkout):
    checkout.says("torch", 'mkfifo "$FAKE/gate"; touch "$FAKE/began"; read x < "$FAKE/gate"')
    process = checkout.start()
    end = time.monotonic() + 180
    while not (checkout.fake / "began").exists() and time.monotonic() < end:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=180)
    assert process.returncode == 130
    results = checkout.results()
    assert (results["package comfyui"], results["package torch"]) == ("passed", "interrupted")
    assert results["examples"] == results["stand-in"] == "not run"


def test_a_flake_that_does_not_evaluate_is_reported_and_the_rest_tried(checkout):
    checkout.says("packages", "echo 'error: attribute lib missing' >&2; exit 1")
    done = checkout.run("--only", "evaluate")
    assert done.returncode == 1
    assert checkout.results() == {"packages": "failed", "evaluate": "passed"}
    assert "attribute lib missing" in checkout.report


@pytest.mark.parametrize(
    ("part", "variable"), [("stand-in", "ZOETROPE_NIXPKGS_LIB"), ("built", "ZOETROPE_NIXPKGS")]
)
def test_tests_that_were_all_skipped_prove_nothing(checkout, part, variable):
    checkout.program(checkout.folder / ".venv/bin/python", "#!/bin/sh\necho 48 skipped in 1s")
    assert checkout.run("--only", part).returncode == 1
    assert checkout.results() == {part: "failed"}
    assert checkout.run("--only", part, **{variable: ""}).returncode == 0
    assert checkout.results() == {part: "not run"}


def test_without_nix_or_outside_of_a_checkout_it_says_so(checkout):
    (checkout.fake / "nix").unlink()
    done = checkout.run(PATH=str(checkout.fake))
    assert (done.returncode, "Install Nix" in done.stderr) == (2, True)
    (checkout.folder / "flake.nix").unlink()
    done = checkout.run()
    assert (done.returncode, "Run it in a checkout" in done.stderr) == (2, True)


def test_the_virtual_machine_is_only_tried_where_there_can_be_one():
    prove = loaded()
    for kvm in (True, False):
        skipped = {part.name for part in prove.plan(["torch"], kvm=kvm) if part.skip}
        assert {"vm", "flake check"} & skipped == (set() if kvm else {"vm", "flake check"})
