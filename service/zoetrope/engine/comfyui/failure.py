"""What an error of the engine's means: its text decides which fallbacks there are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ...domain.values import Failure
from .answer import line
from .submission import SUBFOLDER

# The reason stands at the beginning; what follows are printed tensors, or a log.
_BEGINNING = 20_000

_MODEL_WORDS = (
    "could not detect model type",
    "failed to download",
    "tried all urls",
    "error(s) in loading state_dict",
)

# Weights are read from files into pinned host memory: where that cannot be had these are raised, sometimes
# with an out-of-memory error of CUDA while the GPU is nearly empty (ComfyUI #14250, #14126, #15255, #14281).
_PINNED_WORDS = (
    "hostbuffer.",
    "hostbuf_",
    "cudahostregister",
    "cudahostalloc",
    "pinned memory",
    "pin_memory",
)
# As the operating system says it to Python, PIL and PyAV, as ffmpeg and Rust's safetensors print it, and what
# torch makes of a write that failed.
_FULL_WORDS = (
    "[errno 28]",
    "[errno 122]",
    "[winerror 112]",
    "os error 28)",
    "os error 122)",
    "no space left on device",
    "disk quota exceeded",
    "database or disk is full",
    "pytorchstreamwriter failed",
    ". unexpected pos ",
)
_READ_ONLY_WORDS = ("[errno 30]", "os error 30)", "read-only file system")
# What was uploaded is called by its content.
_UPLOAD = re.compile(rf"/{SUBFOLDER}/[0-9a-f]{{24}}\b")
_HOST_WORDS = ("defaultcpuallocator", "alloc_cpu", "cannot allocate memory")


def failure(data: Mapping[str, Any]) -> Failure:
    """Read an `execution_error`; one that lacks what ComfyUI says is a failure all the same."""
    text = data.get("exception_message")
    text = text[:_BEGINNING].strip() if isinstance(text, str) else line(text)
    exception = line(data.get("exception_type"), 200)
    lines = [part for part in text.split("\n", 2)[:2] if part.strip()]
    return Failure(
        kind=kind_of(exception, text),
        message=line(" ".join(lines)) or exception or "The engine gives no reason.",
        node=line(data.get("node_id"), 200),
        node_type=line(data.get("node_type"), 200),
        exception=exception,
    )


def kind_of(exception: str, text: str) -> str:
    """Tell what is behind an exception of ComfyUI's, by its class and words."""
    low = text.lower()
    # Whatever class the libraries wrap it in.
    if any(words in low for words in _FULL_WORDS):
        return "engine-disk-full"
    if any(words in low for words in _READ_ONLY_WORDS):
        return "engine-read-only"
    # Before the GPU's own: its words stand in these texts as well.
    if any(words in low for words in _PINNED_WORDS):
        return "pinned-memory"
    # The class was torch.cuda.OutOfMemoryError before it moved to torch itself.
    if exception.endswith("OutOfMemoryError") or "cuda out of memory" in low:
        return "oom"
    if exception == "MemoryError" or any(words in low for words in _HOST_WORDS):
        return "host-oom"
    # After these the CUDA context is lost; only a new process helps (ComfyUI #15271, #14756, #9533).
    if exception.endswith("AcceleratorError") or "cuda error" in low or "cublas_status" in low:
        return "cuda"
    if exception == "ModuleNotFoundError":
        return "package"
    if "SafetensorError" in exception or any(words in low for words in _MODEL_WORDS):
        return "model"
    if exception == "FileNotFoundError" or "no such file" in low:
        # It was there when the prompt was taken: another program empties the input folder.
        return "upload-lost" if _UPLOAD.search(text) else "file"
    return "node"
