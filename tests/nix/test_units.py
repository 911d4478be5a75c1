"""The units as text: compared with what was agreed, looked at by systemd itself, and shut tight."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.nix.render import ROOT, build, host, units, write

pytestmark = pytest.mark.system("nix-instantiate", "systemd-analyze")

GOLDEN = Path(__file__).parent / "golden"
EXAMPLES = sorted(path.stem for path in (ROOT / "examples").glob("*.nix"))


def plain(text: str) -> str:
    """Take out what depends on where the checkout lies: the hashes of the store, and those of engines made of them."""
    text = re.sub(r"/nix/store/[a-z0-9]{32}-", "/nix/store/", text)
    return re.sub(
        r"(/zoetrope-engines .*)", lambda line: re.sub("=[0-9a-f]{16}", "=HASH", line[0]), text
    )


@pytest.mark.parametrize("example", EXAMPLES)
def test_units_are_as_agreed(example):
    """After a meant change: `UPDATE_GOLDEN=1 pytest tests/nix/test_units.py`, and read the difference."""
    found = host(f"examples/{example}.nix")
    texts = {name: plain(text) for name, text in found["units"].items()}
    texts |= {f"{name}.tmpfiles": plain(text) for name, text in found["tmpfiles"].items()}
    texts["polkit.rules"] = found["polkit"]
    texts = {name: f"{text.rstrip()}\n" for name, text in texts.items()}
    folder = GOLDEN / example
    if os.environ.get("UPDATE_GOLDEN"):
        for old in folder.rglob("*"):
            if old.is_file():
                old.unlink()
        write(texts, folder)
    agreed = {str(f.relative_to(folder)): f.read_text() for f in folder.rglob("*") if f.is_file()}
    assert texts == agreed


@pytest.fixture(params=EXAMPLES)
def folder(request, tmp_path):
    example = f"examples/{request.param}.nix"
    build(example)  # a program that is not there fails the verification
    texts = units(example)
    write(texts, tmp_path)
    for name in texts:
        # systemd sees an instance through its template.
        if instance := re.fullmatch(r"(zoetrope-comfyui@\w+\.service)\.d/overrides.conf", name):
            (tmp_path / instance[1]).symlink_to("zoetrope-comfyui@.service")
    return tmp_path


def names(folder: Path) -> list[str]:
    found = [p.name for p in folder.iterdir() if p.is_file() and "@." not in p.name]
    assert {"zoetrope.service", "zoetrope-comfyui@0.service"} <= set(found)
    return found


def test_systemd_has_nothing_to_say(folder):
    # It ends with 0 on unknown keys and bad values too, so that a single word is a failure.
    done = subprocess.run(
        ["systemd-analyze", "verify", *(f"./{name}" for name in names(folder))],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert (done.stderr, done.returncode) == ("", 0)


def test_a_wrong_key_would_be_noticed(folder):
    unit = folder / "zoetrope.service"
    unit.write_text(unit.read_text().replace("WatchdogSec=30", "WatchdogSecs=30"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "./zoetrope.service"],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert "WatchdogSecs" in done.stderr


@pytest.mark.parametrize(
    ("unit", "most"),
    [
        ("zoetrope.service", 2.0),
        ("zoetrope-models.service", 2.0),
        ("zoetrope-gpu.service", 3.0),
        ("zoetrope-comfyui@0.service", 4.5),
    ],
)
def test_units_are_shut_tight(folder, unit, most):
    if not (folder / unit).exists():
        assert unit == "zoetrope-gpu.service"  # hosts without a profile have none
        return
    done = subprocess.run(
        [
            "systemd-analyze",
            "security",
            "--offline=true",
            f"--threshold={most * 10:.0f}",
            f"./{unit}",
        ],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-400:]


def test_comfyui_sees_the_card_and_may_compile(folder):
    done = subprocess.run(
        [
            *("systemd-analyze", "security", "--offline=true", "--json=short"),
            "./zoetrope-comfyui@0.service",
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    rows = {row["json_field"]: row for row in json.loads(done.stdout)}
    assert rows["MemoryDenyWriteExecute"]["set"] is False
    assert "char-nvidia" in rows["DeviceAllow"]["description"]
    assert rows["PrivateDevices"]["set"] is False
