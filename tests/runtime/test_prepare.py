"""The environment without Nix: real pip and git, with a local place for wheels and sources."""

import base64
import hashlib
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import prepare
import pytest

ROOT = Path(__file__).parents[2]
VERSION = f"{sys.version_info[0]}.{sys.version_info[1]}"
# The interpreter below the virtual environment of the tests: that one has no pip.
PYTHON = str(Path(sys.base_prefix) / "bin" / f"python{VERSION}")


def sri(data):
    return "sha256-" + base64.b64encode(hashlib.sha256(data).digest()).decode()


def wheel(folder, name, version, says):
    """Make the smallest wheel there is."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}-{version}-py3-none-any.whl"
    about = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(f"{name}.py", f"SAYS = {says!r}\n")
        archive.writestr(
            f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
        archive.writestr(
            f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{about}/RECORD", f"{name}.py,,\n")
    return {"version": version, "file": file.name, "hash": sri(file.read_bytes())}


class Upstream:
    """What stands in for the index and for GitHub."""

    def __init__(self, folder):
        self.folder, self.index = folder / "github", folder / "index"
        here = {"source": "PyPI", "basis": "index"}
        release = {"source": "GitHub", "owner": "someone", "repo": "wheels", "tag": "v1"}
        files = self.folder / "someone/wheels/releases/download/v1"
        self.pins = {
            "python": VERSION,
            "driver": 580,
            "sources": {
                "comfyui": self.source("Comfy-Org", "ComfyUI", "main.py"),
                "gguf": self.source("city96", "ComfyUI-GGUF", "__init__.py"),
            },
            "wheels": {
                "zt-plain": wheel(self.index, "zt_plain", "1.0", "plain") | here,
                "zt-kernel": wheel(files, "zt_kernel", "2.0+cu130torch2.11", "kernel") | release,
            },
        }
        self.file = folder / "pins.json"

    def git(self, repo, *words):
        name = ("-c", "user.name=x", "-c", "user.email=x@localhost")
        done = subprocess.run(
            ["git", "-C", repo, *name, *words], check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    def source(self, owner, repo, file):
        folder = self.folder / owner / repo
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / ".git").exists():
            self.git(folder, "init", "--quiet")
            # As GitHub does: a revision may be asked for by its hash.
            self.git(folder, "config", "uploadpack.allowAnySHA1InWant", "true")
        (folder / file).write_text(str(len(list(folder.iterdir()))))
        self.git(folder, "add", ".")
        self.git(folder, "commit", "--quiet", "--allow-empty", "-m", "one more")
        return {"owner": owner, "repo": repo, "rev": self.git(folder, "rev-parse", "HEAD")}

    def prepare(self, target, *words):
        self.file.write_text(json.dumps(self.pins))
        return prepare.main(
            [
                *(str(target), "--pins", str(self.file), "--python", PYTHON),
                *("--github", self.folder.as_uri(), "--pip=--no-index"),
                *(f"--pip=--find-links={self.index}", *words),
            ]
        )


@pytest.fixture
def upstream(tmp_path):
    return Upstream(tmp_path)


def says(target, module):
    python = target / "venv/bin/python"
    code = f"import {module}; print({module}.SAYS)"
    return subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout


def test_an_environment_is_made_of_wheels_and_sources(upstream, tmp_path, capsys):
    target = tmp_path / "made"
    assert upstream.prepare(target) == 0
    assert (says(target, "zt_plain"), says(target, "zt_kernel")) == ("plain\n", "kernel\n")
    assert (target / "ComfyUI/main.py").exists()
    assert (target / "packs/ComfyUI-GGUF/__init__.py").exists()
    told = dict(line.split("=", 1) for line in (target / "environment").read_text().splitlines())
    assert Path(told["ZOETROPE_PYTHON"]).exists()
    assert told["ZOETROPE_MIN_DRIVER"] == "580"
    packs = Path(told["ZOETROPE_NODE_PACKS"]).read_text()
    assert packs == f"ComfyUI-GGUF={target}/packs/ComfyUI-GGUF\n"
    assert "ready" in capsys.readouterr().out


def test_once_more_only_what_has_changed_is_done(upstream, tmp_path, capsys):
    target = tmp_path / "made"
    upstream.prepare(target)
    kept = target / "venv/kept"
    kept.touch()
    capsys.readouterr()
    assert upstream.prepare(target) == 0
    assert capsys.readouterr().out.startswith("ready")
    upstream.pins["sources"]["gguf"] = upstream.source("city96", "ComfyUI-GGUF", "new.py")
    assert upstream.prepare(target) == 0
    assert (target / "packs/ComfyUI-GGUF/new.py").exists()
    assert kept.exists()
    upstream.pins["wheels"]["zt-plain"] |= wheel(upstream.index, "zt_plain", "1.1", "newer")
    assert upstream.prepare(target) == 0
    assert says(target, "zt_plain") == "newer\n"
    assert not kept.exists()


@pytest.mark.parametrize("name", ["zt-plain", "zt-kernel"])
def test_a_wheel_with_another_hash_is_never_installed(upstream, tmp_path, capfd, name):
    upstream.pins["wheels"][name]["hash"] = sri(b"something else")
    target = tmp_path / "made"
    assert upstream.prepare(target) == 1
    assert not (target / "venv/.zoetrope-lock").exists()
    assert not (target / "environment").exists()
    assert "hash" in capfd.readouterr().err.lower()


def test_a_revision_that_is_not_there_leaves_the_old_source(upstream, tmp_path, capfd):
    target = tmp_path / "made"
    upstream.prepare(target)
    upstream.pins["sources"]["comfyui"]["rev"] = "0" * 40
    assert upstream.prepare(target) == 1
    assert "Comfy-Org/ComfyUI" in capfd.readouterr().err
    assert (target / "ComfyUI/main.py").exists()


def test_a_python_of_another_version_is_refused(upstream, tmp_path, capsys):
    upstream.pins["python"] = "3.2"
    assert upstream.prepare(tmp_path / "made") == 1
    assert f"Python 3.2 is required, but {PYTHON} is another version" in capsys.readouterr().err


def test_a_hash_of_another_kind_is_refused(upstream):
    upstream.pins["wheels"]["zt-plain"]["hash"] = "sha512-AAAA"
    with pytest.raises(prepare.Trouble, match="not SHA-256"):
        prepare.requirements(upstream.pins, "https://example")


def test_pre_start_leads_there_and_is_told_what_it_needs(upstream, tmp_path):
    upstream.file.write_text(json.dumps(upstream.pins))
    words = ["--pins", upstream.file, "--python", PYTHON, "--github", upstream.folder.as_uri()]
    words += ["--pip=--no-index", f"--pip=--find-links={upstream.index}"]
    done = subprocess.run(
        [ROOT / "pre-start.sh", "--prepare", tmp_path / "made", *words],
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"set -a; . {tmp_path}/made/environment; set +a" in done.stdout


def test_the_flakes_own_pins_make_a_file_in_which_everything_has_its_hash():
    if not prepare.PINS.exists():
        pytest.skip("nix/pins.json is not in this checkout")
    pins = json.loads(prepare.PINS.read_text())
    lines = prepare.requirements(pins, prepare.GITHUB).splitlines()
    assert len(lines) == len(pins["wheels"])
    for line in lines:
        assert re.search(r"^[a-z0-9.-]+(==\S+| @ https://\S+) --hash=sha256:[0-9a-f]{64}$", line), (
            line
        )
