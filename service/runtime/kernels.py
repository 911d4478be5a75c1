"""The attention kernels that are tested, and how one of them is compared with a reference.

`selftest.py` runs this file as a separate process for each kernel, so that one that crashes or
hangs affects nothing else: `python kernels.py NAME '[{"dtype": …}, …]'`. It needs torch and
the kernel's own package, and nothing of zoetrope. Each finished case is one line of output.
"""

from __future__ import annotations

import json
import math
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

HEAD_DIM = 128  # of every WAN 2.2 14B attention
ROWS = 64  # query rows that are compared with the reference
MARK = "zoetrope-kernel: "  # begins our lines among what libraries print

Call = Callable[[Any, Any, Any], Any]


class Kernel(NamedTuple):
    """One way to compute attention."""

    name: str
    package: str  # the package to import
    wish: str = ""  # the name by which it can be requested
    flag: str = ""  # ComfyUI's flag that selects it; empty: there is none
    quantised: bool = False  # computes in 8 bits by design
    quadratic: bool = False  # holds the whole score matrix in memory
    cpu: bool = False  # works without a CUDA device


# What ComfyUI's flags call (comfy/ldm/modules/attention.py):
#   --use-sage-attention           sageattn(q, k, v, is_causal=False, tensor_layout="NHD"), since v0.33 with
#                                  sm_scale=None and smooth_k=False, and no masked call
#   --use-flash-attention          flash_attn_func(q, k, v, dropout_p=0.0, causal=False)
#   --use-ck-attention             comfy_kitchen.int8_attention(q, k, v, scale=None, attn_mask=None), since v0.33
#   --use-pytorch-cross-attention  scaled_dot_product_attention; torch selects the back-end
# The first two catch every exception, log a line and continue with SDPA: a kernel that does not work
# only costs speed, without an error (ComfyUI #9671). xformers is used without any flag if it is
# installed, and SageAttention's single functions are only called by a node pack's patch node.
KERNELS = (
    Kernel("sdpa", "torch", "sdpa", "--use-pytorch-cross-attention", cpu=True),
    Kernel("sageattn", "sageattention", "sage", "--use-sage-attention", quantised=True),
    Kernel("flash_attn", "flash_attn", "flash", "--use-flash-attention"),
    Kernel("ck_int8", "comfy_kitchen", "ck", "--use-ck-attention", quantised=True),
    Kernel("sdpa-flash", "torch", cpu=True),
    Kernel("sdpa-efficient", "torch"),
    Kernel("sdpa-cudnn", "torch"),
    Kernel("sdpa-math", "torch", quadratic=True, cpu=True),
    Kernel("sageattn_qk_int8_pv_fp16_cuda", "sageattention", quantised=True),
    Kernel("sageattn_qk_int8_pv_fp16_triton", "sageattention", quantised=True),
    Kernel("sageattn_qk_int8_pv_fp8_cuda", "sageattention", quantised=True),
    Kernel("sageattn_qk_int8_pv_fp8_cuda_sm90", "sageattention", quantised=True),
    Kernel("xformers", "xformers"),
)


def load(name: str) -> Call:
    """Import a kernel; the result takes and returns tensors of (batch, tokens, heads, HEAD_DIM)."""
    if name == "flash_attn":
        from flash_attn import flash_attn_func

        return lambda q, k, v: flash_attn_func(q, k, v, dropout_p=0.0, causal=False)
    if name == "xformers":
        import xformers.ops

        return lambda q, k, v: xformers.ops.memory_efficient_attention(q, k, v, attn_bias=None)
    if name == "ck_int8":
        import comfy_kitchen

        if not comfy_kitchen.int8_attention_is_available():
            raise RuntimeError("comfy_kitchen has no int8 attention for this GPU and this torch")

        def ck(q: Any, k: Any, v: Any) -> Any:
            turned = (t.transpose(1, 2) for t in (q, k, v))
            return comfy_kitchen.int8_attention(*turned, scale=None, attn_mask=None).transpose(1, 2)

        return ck
    if name == "sageattn":  # called as ComfyUI does; version 1.x has this name alone
        from sageattention import sageattn

        # smooth_k=False leaves what all keys have in common in the quantised scores: version 1.x
        # does so, 2.x takes the word and smooths all the same.
        return lambda q, k, v: sageattn(
            q, k, v, is_causal=False, tensor_layout="NHD", sm_scale=None, smooth_k=False
        )
    if name.startswith("sageattn_"):
        import sageattention

        chosen = getattr(sageattention, name)
        return lambda q, k, v: chosen(q, k, v, tensor_layout="NHD", is_causal=False)
    return _sdpa(name.removeprefix("sdpa").removeprefix("-"))


def _sdpa(backend: str) -> Call:
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.nn.functional import scaled_dot_product_attention

    named = {
        "flash": SDPBackend.FLASH_ATTENTION,
        "efficient": SDPBackend.EFFICIENT_ATTENTION,
        "cudnn": SDPBackend.CUDNN_ATTENTION,
        "math": SDPBackend.MATH,
    }

    def plain(q: Any, k: Any, v: Any) -> Any:
        turned = (t.transpose(1, 2) for t in (q, k, v))
        return scaled_dot_product_attention(*turned).transpose(1, 2)

    def forced(q: Any, k: Any, v: Any) -> Any:
        with sdpa_kernel([named[backend]]):
            return plain(q, k, v)

    return forced if backend else plain


def inputs(torch: Any, case: dict[str, Any], device: str) -> tuple[Any, Any, Any]:
    """Make seeded queries, keys and values that show what a kernel may get wrong.

    Plain noise would hide errors: over 20 000 keys its softmax is flat, and any average of the values
    is nearly correct. So each head moves its queries further towards the key of their own position than
    the head before: the first heads average over all tokens, the last attend to one. And the keys share a
    large offset, which exact softmax ignores and which 8-bit kernels must subtract first.
    """
    queries, keys, heads = case["queries"], case["keys"], case["heads"]
    source = torch.Generator(device=device).manual_seed(1834)

    def noise(*size: int) -> Any:
        return torch.randn(*size, HEAD_DIM, generator=source, device=device, dtype=dtype)

    dtype = getattr(torch, case["dtype"])
    q, k, v = noise(1, queries, heads), noise(1, keys, heads), noise(1, keys, heads)
    pull = (torch.arange(1, heads + 1, device=device) / heads).to(dtype)[None, None, :, None]
    own = torch.arange(queries, device=device) * keys // queries
    q.mul_(1 - pull / 2).add_(k[:, own] * pull)
    k.add_(4 * noise(1, 1, heads))
    return q, k, v


def sampled(torch: Any, queries: int, device: str) -> Any:
    """Choose evenly spaced query rows, with the first and the last: kernels fail at the partial last tile first."""
    return torch.linspace(0, queries - 1, min(ROWS, queries), device=device).long()


def reference(torch: Any, q: Any, k: Any, v: Any, rows: Any) -> Any:
    """Compute attention for some query rows in fp32, head by head, in the plainest way."""
    heads = []
    for head in range(q.shape[2]):
        scores = q[0, rows, head].float() @ k[0, :, head].float().T * HEAD_DIM**-0.5
        heads.append(scores.softmax(-1) @ v[0, :, head].float())
    return torch.stack(heads, dim=1)


def compare(found: Any, wanted: Any) -> tuple[float, float]:
    """Give the worst cosine and the worst relative L1 distance of any head and of any row.

    The worst, because one wrong head in forty, or a wrong last tile, disappears in an average.
    """
    cosines, distances = [], []
    for one, other in ((found, wanted), (found.transpose(0, 1), wanted.transpose(0, 1))):
        a, b = one.flatten(1), other.flatten(1)
        cosines.append((a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1)).clamp(min=1e-30))
        distances.append((a - b).abs().sum(1) / b.abs().sum(1).clamp(min=1e-30))
    return min(float(c.min()) for c in cosines), max(float(d.max()) for d in distances)


def measure(torch: Any, call: Call, case: dict[str, Any], device: str) -> dict[str, Any]:
    """Run one case: is it finite, how near is it to the reference, how long does it take?"""
    q, k, v = inputs(torch, case, device)
    began = time.perf_counter()
    found = call(q, k, v)
    _wait(torch, device)
    slow = time.perf_counter() - began > 5.0  # then one timing must do
    finite = bool(torch.isfinite(found).all())
    if found.shape != q.shape:
        raise ValueError(f"the result has the shape {tuple(found.shape)}, not {tuple(q.shape)}")
    rows = sampled(torch, q.shape[1], device)
    cosine, distance = compare(found[0, rows].float(), reference(torch, q, k, v, rows))
    finite = finite and math.isfinite(cosine) and math.isfinite(distance)
    del found
    times = [_timed(torch, call, (q, k, v), device) for _ in range(1 if slow else 3)]
    return {
        **case,
        "finite": finite,
        "cosine": round(cosine, 6) if finite else None,
        "rel_l1": round(distance, 6) if finite else None,
        "ms": round(statistics.median(times), 3),
    }


def _wait(torch: Any, device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def _timed(torch: Any, call: Call, tensors: tuple[Any, Any, Any], device: str) -> float:
    if device != "cuda":
        began = time.perf_counter()
        call(*tensors)
        return (time.perf_counter() - began) * 1000
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    call(*tensors)
    end.record()
    torch.cuda.synchronize()
    return float(start.elapsed_time(end))


def host() -> dict[str, Any]:
    """Describe the machine as torch sees it."""
    import torch

    found: dict[str, Any] = {"torch": torch.__version__, "cuda": torch.version.cuda, "card": ""}
    if torch.cuda.is_available():
        about = torch.cuda.get_device_properties(0)
        free, _ = torch.cuda.mem_get_info()
        found |= {
            "card": about.name,
            "capability": f"{about.major}.{about.minor}",
            "memory": about.total_memory,
            "free": free,
        }
    return found


def choice(torch: Any, case: dict[str, Any], device: str) -> str:
    """Say which back-end torch selects for SDPA; a fallback to `math` is slow, and silent."""
    q, k, v = (t.transpose(1, 2) for t in inputs(torch, case, device))
    backends = torch.nn.attention.SDPBackend
    try:
        taken = torch._fused_sdp_choice(q, k, v)  # noqa: SLF001 - torch shows it nowhere else
    except (AttributeError, RuntimeError):
        return ""
    names = {int(getattr(backends, name).value): name for name in backends.__members__}
    return f"torch selects {names.get(int(taken), taken)}".lower()


def main(name: str, cases: list[dict[str, Any]], load: Callable[[str], Call] = load) -> None:
    """Measure one kernel and print a line for each case, or one with the reason why there are no more."""

    def say(**words: Any) -> None:
        print(MARK + json.dumps(words), flush=True)

    try:
        if name == "host":
            say(**host())
            return
        import torch

        device = "cuda" if torch.cuda.is_available() else "cpu"
        torch.set_float32_matmul_precision("highest")  # the reference is fp32, not TF32
        with torch.inference_mode():
            call = load(name)
            for case in cases:
                say(begun=case)
                say(case=measure(torch, call, case, device))
            if name == "sdpa":
                say(note=choice(torch, cases[0], device))
    except Exception as error:  # the user needs to read whatever a kernel raises
        kind = "memory" if type(error).__name__ == "OutOfMemoryError" else "error"
        words = " ".join(str(error).split()) or type(error).__name__
        say(error=f"{type(error).__name__}: {words}"[:300], kind=kind)


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
