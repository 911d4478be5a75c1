"""ComfyUI's install check, over package trees made here: no torch and no Nix are needed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.nix.render import ROOT

CHECK = ROOT / "nix" / "packages" / "install_check.py"
# What the pinned wheels hold, as far as the check looks.
KITCHEN = ("comfy_kitchen/__init__.py", "comfy_kitchen/backends/cuda/_C.abi3.so")
AIMDO = ("comfy_aimdo/control.py", "comfy_aimdo/aimdo.so", "comfy_aimdo/aimdo_rocm.so")
WHEELS = (*KITCHEN, *AIMDO)


def tree(folder: Path, *files: str, cuda: str | None = "13.0") -> Path:
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    torch = folder / "torch"
    torch.mkdir(parents=True)
    (torch / "__init__.py").write_text("from . import version\n")
    (torch / "version.py").write_text(f"cuda = {cuda!r}\n")
    return folder


def check(*folders: Path) -> tuple[int, str]:
    """Run it in a Python that has these folders and the standard library alone."""
    done = subprocess.run(
        [sys.executable, "-S", str(CHECK), "13.0"],
        env={"PYTHONPATH": os.pathsep.join(map(str, folders)), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize("aimdo", [(), ("comfy_aimdo/__init__.py",)], ids=["namespace", "regular"])
def test_packages_with_their_libraries_pass(tmp_path, aimdo):
    assert check(tree(tmp_path, *WHEELS, *aimdo)) == (0, "")


def test_a_namespace_of_two_folders_passes_with_the_library_in_one(tmp_path):
    whole = tree(tmp_path / "a", *KITCHEN, "comfy_aimdo/more.py")
    other = tmp_path / "b" / "comfy_aimdo"
    other.mkdir(parents=True)
    (other / "aimdo.so").touch()
    assert check(whole, tmp_path / "b") == (0, "")


def test_a_tree_of_links_passes(tmp_path):
    """An environment of Nix links each package's folder to the store."""
    stored = tree(tmp_path / "store", *WHEELS)
    linked = tmp_path / "env"
    linked.mkdir()
    for package in stored.iterdir():
        (linked / package.name).symlink_to(package)
    assert check(linked) == (0, "")


@pytest.mark.parametrize("aimdo", [(), ("comfy_aimdo/__init__.py",)], ids=["namespace", "regular"])
@pytest.mark.parametrize(
    ("lost", "words"),
    [
        ("comfy_aimdo/aimdo.so", "comfy_aimdo lacks its library aimdo.so"),
        (
            "comfy_kitchen/backends/cuda/_C.abi3.so",
            "comfy_kitchen lacks its library backends/cuda/_C*.so",
        ),
    ],
)
def test_a_lacking_library_is_named(tmp_path, aimdo, lost, words):
    folder = tree(tmp_path, *WHEELS, *aimdo)
    (folder / lost).unlink()
    code, said = check(folder)
    assert code == 1
    assert words in said
    assert said.count("lacks") == 1
    assert str(tmp_path) in said


def test_all_that_is_lacking_is_said_at_once(tmp_path):
    code, said = check(tree(tmp_path, "comfy_kitchen/__init__.py", cuda="12.8"))
    assert code == 1
    assert "comfy_aimdo is not installed" in said
    assert "comfy_kitchen lacks its library" in said
    assert "torch is built for CUDA 12.8, not 13.0" in said


def test_a_module_of_the_name_is_no_package(tmp_path):
    code, said = check(tree(tmp_path, *KITCHEN, "comfy_aimdo.py"))
    assert code == 1
    assert "comfy_aimdo lacks its library" in said


def test_a_torch_without_cuda_is_told(tmp_path):
    code, said = check(tree(tmp_path, *WHEELS, cuda=None))
    assert code == 1
    assert "torch is built without CUDA, not for 13.0" in said
