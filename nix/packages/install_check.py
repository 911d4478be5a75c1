"""Say what a Python lacks that ComfyUI would miss only in the middle of a job.

    python install_check.py CUDA

A wheel may import well without its native half (utensils/comfyui-nix #66), and torch may have been swapped
for one without CUDA by an override elsewhere. Ends with 1 and a line for each thing that is lacking.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

# Where ComfyUI's own companions look for their libraries, below their package.
LIBRARIES = {
    "comfy_aimdo": "aimdo.so",
    "comfy_kitchen": "backends/cuda/_C*.so",
}


def lacking(package: str, library: str) -> str | None:
    """Say that a package has no such library, wherever its folders are."""
    spec = importlib.util.find_spec(package)
    if spec is None:
        return f"{package} is not installed"
    # A package without __init__.py has no file of its own, and may have several folders.
    folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
    if any(any(folder.glob(library)) for folder in folders):
        return None
    looked = ", ".join(map(str, folders)) or f"{spec.origin}, which is no package"
    return f"{package} lacks its library {library} in {looked}"


def misbuilt(wanted: str) -> str | None:
    """Say that torch is not for the CUDA that the kernels are for."""
    import torch

    built: str | None = torch.version.cuda
    if built == wanted:
        return None
    return (
        f"torch is built for CUDA {built}, not {wanted}"
        if built
        else f"torch is built without CUDA, not for {wanted}"
    )


def main(cuda: str) -> None:
    """Look at everything before ending, so that one build says all of it."""
    found = [misbuilt(cuda), *(lacking(package, file) for package, file in LIBRARIES.items())]
    sentences = [sentence for sentence in found if sentence]
    if sentences:
        sys.exit("\n".join(sentences))


if __name__ == "__main__":
    main(sys.argv[1])
