"""A machine with systemd as its first process, in a container of its own, with a host's units."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.nix.render import ROOT, build, host, write
from tests.systemd.image import image

PATIENCE = 60.0
CHECKOUT = "/opt/zoetrope"
PYTHON = f"PYTHONPATH={CHECKOUT}/service:{CHECKOUT}/.venv/lib/python3.11/site-packages"

# A package whose programs come from the checkout: in the machine with Debian's Python, while the host
# is built with this one's.
PACKAGES = f"""
  package = pkgs.writeShellScriptBin "zoetrope" ''
    [ -d {CHECKOUT} ] || exec {ROOT}/.venv/bin/zoetrope "$@"
    export {PYTHON}
    exec /usr/bin/python3 -m zoetrope "$@"
  '';
  preStart = pkgs.writeShellScriptBin "zoetrope-pre-start" ''
    PATH=/usr/bin exec {CHECKOUT}/pre-start.sh "$@"
  '';
  comfyui.package =
    let
      runtime = pkgs.runCommand "comfyui" {{ }} "cp -r ${{{ROOT}/tests/systemd/runtime}} $out";
    in
    runtime
    // {{
      python = "${{runtime}}/python3";
      source = "share/comfyui";
      environment = {{ }};
      meta.mainProgram = "comfyui";
    }};
"""


class Machine:
    """Boots from the image with everything in memory but what a host keeps on its disk."""

    def __init__(
        self,
        folder: Path,
        settings: str = "",
        *,
        binds: Mapping[Path, str] | None = None,
        found: Mapping[str, Any] | None = None,
        **more_units: str,
    ) -> None:
        """Evaluate a host, unless it was found already; `binds` are seen in it at these paths, `more_units` are unit files beside its own."""
        self._binds = dict(binds or {})
        self.folder = folder
        self.srv = folder / "srv"
        self.units = folder / "units"
        if found is None:
            extra = f"{{ pkgs, lib, ... }}: {{ services.zoetrope = {{ {PACKAGES} {settings} }}; }}"
            found = host(extra=extra)
            build(extra=extra)
        assert found["failed"] == []
        folder.mkdir(exist_ok=True)
        self.etc: dict[str, str] = found["etc"]
        self.polkit: str = found["polkit"]
        write(found["units"] | more_units, self.units)
        self._link_wanted()
        self.tmpfiles = folder / "tmpfiles"
        write({f"{name}.conf": text for name, text in found["tmpfiles"].items()}, self.tmpfiles)
        for kept in ("srv", "state", "engine-state", "gpu-state"):
            (folder / kept).mkdir(exist_ok=True)
        self._nspawn: subprocess.Popen[bytes] | None = None
        self._leader = 0

    def _link_wanted(self) -> None:
        wants = self.units / "multi-user.target.wants"
        wants.mkdir()
        for unit in self.units.glob("*.service"):
            if "WantedBy=multi-user.target" in unit.read_text().splitlines():
                (wants / unit.name).symlink_to(f"../{unit.name}")
        if (self.units / "zoetrope-gpu.socket").exists():
            sockets = self.units / "sockets.target.wants"
            sockets.mkdir()
            (sockets / "zoetrope-gpu.socket").symlink_to("../zoetrope-gpu.socket")

    def boot(self) -> None:
        """Start it, and wait until systemd is at work."""
        etc = self.folder / "etc"
        for name, source in self.etc.items():
            file = etc / name
            file.parent.mkdir(parents=True, exist_ok=True)
            if not file.exists():
                file.symlink_to(source)
        rules = self.folder / "rules"
        rules.mkdir(exist_ok=True)
        (rules / "10-host.rules").write_text(self.polkit)
        binds = {
            ROOT: CHECKOUT,
            "/nix/store": "/nix/store",
            self.units: "/run/systemd/system",
            etc / "zoetrope": "/etc/zoetrope",
            rules: "/etc/polkit-1/rules.d",
            self.tmpfiles: "/etc/tmpfiles.d",
        }
        kept = {
            self.srv: "/srv",
            self.folder / "state": "/var/lib/zoetrope",
            self.folder / "engine-state": "/var/lib/zoetrope-engine",
            self.folder / "gpu-state": "/var/lib/zoetrope-gpu",
            **self._binds,
        }
        log = (self.folder / "console.log").open("ab")
        self._nspawn = subprocess.Popen(
            [
                *("systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--console=pipe"),
                *("--boot", f"--directory={image()}", "--volatile=overlay", "--private-network"),
                *(f"--bind-ro={source}:{target}" for source, target in binds.items()),
                *(f"--bind={source}:{target}" for source, target in kept.items()),
                f"--machine=zoetrope-{os.getpid()}-{id(self) % 10_000}",
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        log.close()
        self._leader = self.until(self._first_process, "systemd to start")
        self.until(lambda: self.systemctl("is-system-running") != "offline", "systemd to answer")

    def change_settings(self, old: str, new: str) -> None:
        """Put other settings in the place of the host's, as the next switch would."""
        file = self.folder / "etc/zoetrope/zoetrope.toml"
        text = file.read_text()
        assert old in text
        file.unlink()
        file.write_text(text.replace(old, new))

    def _first_process(self) -> int:
        assert self._nspawn is not None
        assert self._nspawn.poll() is None, (self.folder / "console.log").read_text()[-2000:]
        found = subprocess.run(
            ["pgrep", "-P", str(self._nspawn.pid), "-x", "systemd"], capture_output=True, text=True
        )
        return int(found.stdout or 0)

    def run(self, *words: str, user: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command in it, as root or as somebody else."""
        become = ("runuser", "-u", user, "--") if user else ()
        return subprocess.run(
            ["nsenter", "-t", str(self._leader), "-a", *become, *words],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )

    def systemctl(self, *words: str) -> str:
        """Ask systemd; whatever the exit code, the words count."""
        done = self.run("systemctl", "--no-pager", *words)
        return (done.stdout + done.stderr).strip()

    def show(self, unit: str, name: str) -> str:
        """Read one property of a unit."""
        return self.systemctl("show", "--value", "-p", name, unit)

    def journal(self, unit: str) -> str:
        """Read what a unit has said."""
        return self.run("journalctl", "--no-pager", "-o", "cat", "-u", unit).stdout

    def get(self, path: str, *, token: str = "", port: int = 8190) -> tuple[int, str]:
        """Ask the page of the machine from its own network, which is all that is its own of the program."""
        done = subprocess.run(
            [
                *("nsenter", "-t", str(self._leader), "-n", "curl", "--disable", "--noproxy", "*"),
                *("--silent", "--show-error", "--max-time", "10", "--write-out", "\n%{http_code}"),
                *(("--header", f"Authorization: Bearer {token}") if token else ()),
                f"http://127.0.0.1:{port}{path}",
            ],
            capture_output=True,
            text=True,
        )
        body, _, status = done.stdout.rpartition("\n")
        return int(status or 0), body or done.stderr

    def jobs(self) -> list[dict[str, Any]]:
        """List the jobs; none while the page is not there."""
        status, body = self.get("/api/v1/jobs")
        return list(json.loads(body)["jobs"]) if status == 200 else []

    def until(self, condition: Callable[[], Any], what: str, patience: float = PATIENCE) -> Any:
        """Wait for something to come true."""
        deadline = time.monotonic() + patience
        while not (found := condition()):
            if time.monotonic() > deadline:
                raise AssertionError(f"waited in vain for: {what}\n{self.plight()}")
            time.sleep(0.1)
        return found

    def plight(self) -> str:
        """Say how everything is, for a test that fails."""
        units = ("zoetrope.service", "zoetrope-comfyui@0.service", "zoetrope-engines.service")
        states = [self.systemctl("status", "-n", "30", "-l", unit) for unit in units]
        return "\n".join([*states, (self.folder / "console.log").read_text()[-1000:]])

    def cut(self) -> None:
        """End it as a power cut does: no unit hears of it."""
        if self._nspawn is None:
            return
        if self._leader:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._leader, signal.SIGKILL)
        else:  # it did not come as far as a first process
            os.killpg(self._nspawn.pid, signal.SIGKILL)
        try:
            self._nspawn.wait(timeout=40)
        except subprocess.TimeoutExpired:
            os.killpg(self._nspawn.pid, signal.SIGKILL)
            self._nspawn.wait()
        self._nspawn, self._leader = None, 0

    def stop(self) -> None:
        """Switch it off as a person would; what hangs is ended."""
        if self._nspawn is None:
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.run("systemctl", "poweroff")
        try:
            self._nspawn.wait(timeout=40)
        except subprocess.TimeoutExpired:
            os.killpg(self._nspawn.pid, signal.SIGKILL)
            self._nspawn.wait()
        self._nspawn = None
