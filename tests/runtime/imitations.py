"""Attention kernels that are right or broken in known ways; runs under a Python with torch.

    python imitations.py NAME CASES

answers as kernels.py does, for kernels that exist only here.
"""

from __future__ import annotations

import ctypes
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "service" / "runtime"))
import kernels
import torch
from torch.nn.functional import pad

SCALE = kernels.HEAD_DIM**-0.5


def plainly(q, k, v, scale=SCALE, softmax=lambda scores: scores.softmax(-1)):
    """Compute in fp32 and round the result, as an exact kernel does."""
    heads = []
    for head in range(q.shape[2]):
        scores = q[0, :, head].float() @ k[0, :, head].float().T * scale
        heads.append(softmax(scores) @ v[0, :, head].float())
    return torch.stack(heads, dim=1)[None].to(q.dtype)


def int8(x, block):
    """Round rows to 8 bits with one scale for each block of them."""
    rows = len(x)
    blocks = pad(x, (0, 0, 0, -rows % block)).view(-1, block, x.shape[-1])
    scale = blocks.abs().amax((1, 2), keepdim=True) / 127
    return ((blocks / scale).round() * scale).view(-1, x.shape[-1])[:rows]


def fp8(x):
    return x.to(torch.float8_e4m3fn).float()


def quantised(q, k, v, values="fp8", scale=SCALE):
    """Imitate SageAttention 2: int8 scores with the keys' mean taken out, fp8 or fp16 values."""
    heads = []
    for head in range(q.shape[2]):
        keys = k[0, :, head].float()
        scores = int8(q[0, :, head].float(), 32) @ int8(keys - keys.mean(0), 64).T * scale
        weights = torch.exp(scores - scores.amax(-1, keepdim=True))
        total = weights.sum(-1, keepdim=True)
        worth = v[0, :, head].float()
        if values == "fp8":
            size = worth.abs().amax(0, keepdim=True) / 448
            mixed = fp8(weights * 448) @ fp8(worth / size) * size / 448
        else:
            mixed = weights.half().float() @ worth.half().float()
        heads.append(mixed / total)
    return torch.stack(heads, dim=1)[None].to(q.dtype)


def spoiled(place, value):
    def call(q, k, v):
        found = plainly(q, k, v)
        found[place] = value
        return found

    return call


def swapped_heads(q, k, v):
    found = plainly(q, k, v)
    return found[:, :, [1, 0, *range(2, found.shape[2])]]


def raising(q, k, v):
    raise RuntimeError("CUDA error: no kernel image is available for execution on the device")


def starving(q, k, v):
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


LAST = (0, -1)  # the last row of all heads
CALLS = {
    "right": plainly,
    "right-int8-fp16": lambda q, k, v: quantised(q, k, v, "fp16"),
    "right-int8-fp8": quantised,
    "scale": lambda q, k, v: plainly(q, k, v, SCALE * 1.1),
    "int8-scale": lambda q, k, v: quantised(q, k, v, scale=SCALE * 1.1),
    "no-scale": lambda q, k, v: plainly(q, k, v, 1.0),
    "softmax-over-queries": lambda q, k, v: plainly(q, k, v, softmax=lambda s: s.softmax(0)),
    "no-tail": lambda q, k, v: plainly(q, k[:, :-64], v[:, :-64]),
    "shifted": lambda q, k, v: plainly(q, k, v.roll(1, 1)),
    "swapped-heads": swapped_heads,
    "doubled": lambda q, k, v: plainly(q, k, v) * 2,
    "zeros": lambda q, k, v: torch.zeros_like(q),
    "zero-last-row": spoiled(LAST, 0.0),
    "nan": spoiled((0, 5, 0, 0), float("nan")),
    "infinite": spoiled(LAST, float("inf")),
    "turned": lambda q, k, v: plainly(q, k, v).transpose(1, 2),
    "raises": raising,
    "starves": starving,
    "crashes": lambda q, k, v: ctypes.string_at(0),
    "hangs": lambda q, k, v: time.sleep(600),
}

if __name__ == "__main__":
    kernels.main(sys.argv[1], json.loads(sys.argv[2]), CALLS.__getitem__)
