"""The file format of latents: a length, a JSON header, and the numbers."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Tensors = Mapping[str, npt.NDArray[np.float32]]


def write_tensors(path: Path, tensors: Tensors, tags: Mapping[str, str]) -> None:
    """Write tensors with text tags; only the owner may read the file, as ComfyUI has it."""
    header: dict[str, Any] = {"__metadata__": dict(tags)}
    offset = 0
    for name, tensor in tensors.items():
        end = offset + tensor.nbytes
        entry = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [offset, end]}
        header[name] = entry
        offset = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for tensor in tensors.values():
            file.write(np.ascontiguousarray(tensor, dtype="<f4").tobytes())


def read_tensors(path: Path) -> tuple[dict[str, npt.NDArray[np.float32]], dict[str, str]]:
    """Read a file's 32-bit tensors and its tags."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    tags: dict[str, str] = header.pop("__metadata__", {})
    body = memoryview(data)[8 + length :]
    tensors = {
        name: np.frombuffer(
            body[entry["data_offsets"][0] : entry["data_offsets"][1]], dtype="<f4"
        ).reshape(entry["shape"])
        for name, entry in header.items()
        if entry["dtype"] == "F32"
    }
    return tensors, tags
