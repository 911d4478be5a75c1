"""ComfyUI's launch flags: which ones a host gets, and which ones its ComfyUI knows."""

from __future__ import annotations

import ast
from collections.abc import Collection, Sequence
from pathlib import Path

# Launch flags by GPU memory in GB; a version that lacks one is started without it.
# 16: the second WAN expert is loaded next to what the first left (ComfyUI #14250), and host memory runs
#     out before GPU memory does: nothing is cached between prompts, and 1 GB stays free.
# 24, 32: ComfyUI's cache shrinks under memory pressure; only the memory of a display is kept free.
# 80: ComfyUI's defaults.
MEMORY = {
    "16": ("--reserve-vram", "1.0", "--cache-none"),
    "24": ("--reserve-vram", "1.0"),
    "32": ("--reserve-vram", "0.7"),
    "80": (),
}
# ComfyUI accepts at most one of each group; an operator's own flag replaces ours.
EXCLUSIVE = (
    {f"--use-{name}-attention" for name in ("split-cross", "quad-cross", "pytorch-cross")}
    | {f"--use-{name}-attention" for name in ("sage", "flash", "ck")},
    {"--cache-ram", "--cache-classic", "--cache-lru", "--cache-none", "--high-ram"},
    {"--gpu-only", "--highvram", "--lowvram", "--novram", "--cpu"},
    {"--reserve-vram"},
    {"--preview-method"},
)


def profile(wanted: str, memory: int | None) -> str:
    """Choose the memory profile: the requested one, or the one for a GPU with so many bytes."""
    if wanted != "auto":
        return wanted
    # A GPU reports a little less than it is sold with; one that reports nothing is the smallest. This
    # runs under ComfyUI's Python, so the service's own table is repeated: a test compares the two.
    size = (memory or 0) / 2**30
    return max((name for name in MEMORY if size >= int(name) * 0.95), default="16", key=int)


def launch(
    kernel: str, *, cpu: bool, memory: str, previews: str, extra: Sequence[str]
) -> list[str]:
    """Put the launch flags together, with that of the attention kernel; the operator's own come last and replace ours."""
    ours: list[list[str]] = [["--cpu"]] if cpu else _pairs(MEMORY[memory])
    ours += [[kernel]] if kernel else []
    ours += [["--preview-method", previews]] if previews else []
    said = {word.partition("=")[0] for word in extra}
    for group in EXCLUSIVE:
        if group & said:
            ours = [words for words in ours if words[0] not in group]
    return [*(word for words in ours for word in words), *extra]


def _pairs(words: Sequence[str]) -> list[list[str]]:
    """Group each flag with its values."""
    groups: list[list[str]] = []
    for word in words:
        if word.startswith("--") or not groups:
            groups.append([word])
        else:
            groups[-1].append(word)
    return groups


def known(comfyui: Path) -> frozenset[str] | None:
    """Read from ComfyUI's own source which flags it takes; none where that cannot be said."""
    try:
        tree = ast.parse((comfyui / "comfy" / "cli_args.py").read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError):
        return None
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
    names = (
        word.value
        for call in calls
        if isinstance(call.func, ast.Attribute) and call.func.attr == "add_argument"
        for word in call.args
        if isinstance(word, ast.Constant) and isinstance(word.value, str)
    )
    return frozenset(name for name in names if name.startswith("--")) or None


def understood(words: Sequence[str], taken: Collection[str] | None) -> tuple[list[str], list[str]]:
    """Part launch words into those of a ComfyUI that takes these flags, with their values, and the other flags."""
    fine: list[str] = []
    dropped: list[str] = []
    for group in _pairs(words):
        flag = group[0].partition("=")[0]
        if taken is None or not flag.startswith("--") or _takes(taken, flag):
            fine += group
        else:
            dropped.append(flag)
    return fine, dropped


def _takes(taken: Collection[str], flag: str) -> bool:
    """Whether a flag is known; a beginning of exactly one is that one, as everywhere with argparse."""
    return flag in taken or sum(name.startswith(flag) for name in taken) == 1
