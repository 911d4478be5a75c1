"""Holds memory of the GPU until its input is closed, so that what runs beside it has a smaller card.

python tests/gpu/truth/balloon.py 16      leaves 16 GiB free
"""

from __future__ import annotations

import sys


def main() -> None:
    """Take memory by plain allocations, say how much is left, and wait."""
    import torch

    leave = float(sys.argv[1]) * 2**30
    held = []
    for piece in (2**30, 2**26):
        while torch.cuda.mem_get_info()[0] - piece >= leave:
            held.append(torch.empty(piece, dtype=torch.uint8, device="cuda"))
    print(torch.cuda.mem_get_info()[0] / 2**30, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
