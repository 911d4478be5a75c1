"""ComfyUI's launch flags: which ones a host gets, who asked for them, and which ones its ComfyUI knows."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from flag_request import Asked

# Launch flags by GPU memory in GB; a version that lacks one is started without it.
# 16: the second WAN expert is loaded next to what the first left (ComfyUI #14250): 1 GB stays free.
# 24, 32: only the memory of a display is kept free. --vram-headroom would keep as much free on top of what the display
#     already holds, and no run has shown that this is needed.
# 80: ComfyUI's defaults.
# What is cached between prompts takes the host's memory and not the GPU's: the service's sums decide it (the budget),
# and where no service asks, ComfyUI's own cache, which shrinks under pressure.
MEMORY = {
    "16": ("--reserve-vram", "1.0"),
    "24": ("--reserve-vram", "1.0"),
    "32": ("--reserve-vram", "0.7"),
    "80": (),
}
# ComfyUI accepts at most one of each of the first; of the others the last would win, whoever gave it. A flag that
# comes first in the order of who asks keeps those of its group out.
EXCLUSIVE = (
    {f"--use-{name}-attention" for name in ("split-cross", "quad-cross", "pytorch-cross")}
    | {f"--use-{name}-attention" for name in ("sage", "flash", "ck")},
    {"--cache-ram", "--cache-classic", "--cache-lru", "--cache-none", "--high-ram"},
    {"--gpu-only", "--highvram", "--lowvram", "--novram", "--cpu"},
    {"--async-offload", "--disable-async-offload"},
    {"--enable-dynamic-vram", "--disable-dynamic-vram"},
    {"--enable-assets", "--disable-assets"},
)
# Nothing is downloaded or indexed while jobs run; given to the versions that have them.
WHERE_KNOWN = ("--disable-assets", "--offline")

_NUMBER = re.compile(r"[0-9]{1,4}(\.[0-9]{1,3})?")
_COUNT = re.compile(r"[1-9][0-9]{0,3}")
_NOTHING = re.compile("(?!)")
# What the service may ask for: flags of memory and speed, with the least and the most values and what one looks like.
# Nothing with an address, a path or a door: whoever took the service over would have ComfyUI with it.
ASKABLE: Mapping[str, tuple[int, int, re.Pattern[str]]] = {
    "--cache-ram": (0, 2, _NUMBER),
    "--cache-lru": (1, 1, _COUNT),
    "--reserve-vram": (1, 1, _NUMBER),
    "--vram-headroom": (1, 1, _NUMBER),
    "--async-offload": (0, 1, _COUNT),
    **dict.fromkeys(
        (
            *("--cache-none", "--cache-classic", "--high-ram", "--lowvram", "--novram"),
            *("--disable-pinned-memory", "--disable-dynamic-vram", "--disable-async-offload"),
            *("--disable-smart-memory", "--disable-cuda-malloc", "--disable-mmap", "--fast-disk"),
            *("--disable-cuda-graphs", "--disable-triton-backend", "--disable-nvml-pressure"),
            *("--disable-fast-disk", "--disable-comfy-compiler"),
            *(f"--use-{name}-attention" for name in ("pytorch-cross", "sage", "flash", "ck")),
        ),
        (0, 0, _NOTHING),
    ),
}


class Choice(NamedTuple):
    """What became of one flag that was asked for, and why."""

    by: str
    words: tuple[str, ...]
    state: str  # used, overruled or rejected
    why: str


def profile(wanted: str, memory: int | None) -> str:
    """Choose the memory profile: the requested one, or the one for a GPU with so many bytes."""
    if wanted != "auto":
        return wanted
    # A GPU reports a little less than it is sold with; one that reports nothing is the smallest. This
    # runs under ComfyUI's Python, so the service's own table is repeated: a test compares the two.
    size = (memory or 0) / 2**30
    return max((name for name in MEMORY if size >= int(name) * 0.95), default="16", key=int)


def ours(
    kernel: str, *, cpu: bool, memory: str, previews: str, taken: Collection[str] | None
) -> list[str]:
    """Put our own launch flags together, with that of the attention kernel."""
    words = ["--cpu"] if cpu else list(MEMORY[memory])
    words += [kernel] if kernel else []
    words += ["--preview-method", previews] if previews else []
    return [*words, *(flag for flag in WHERE_KNOWN if taken is not None and flag in taken)]


def launch(
    own: Sequence[str],
    asked: Sequence[Asked],
    extra: Sequence[str],
    *,
    taken: Mapping[str, Arity] | None,
    kernels: Collection[str] = (),
) -> tuple[list[str], list[Choice]]:
    """Put all launch flags together, and say what became of each that the service asked for.

    The operator's own stand as they are and come first in rank, then what is asked for in its order, then ours.
    `kernels` are the flags of the attention kernels that the self-test found correct.
    """
    held = {_whole(words[0], taken): ("the operator's own", words) for words in _pairs(extra)}
    choices: list[Choice] = []
    won: list[Sequence[str]] = []
    for by, words, reason in asked:
        state, why = "rejected", _fault(words, taken, kernels)
        if not why and (other := _rival(words[0], held)) is not None:
            state, why = "overruled", f"{other[0]} {' '.join(other[1])} comes first"
        if not why:
            state, why = "used", reason
            held[words[0]] = (f"that of the {by},", list(words))
            won.insert(0, words)
        choices.append(Choice(by, words, state, why))
    kept = [words for words in _pairs(own) if _rival(words[0], held) is None]
    return [*(word for words in (*kept, *won) for word in words), *extra], choices


def _rival(
    flag: str, held: Mapping[str, tuple[str, Sequence[str]]]
) -> tuple[str, Sequence[str]] | None:
    """Find what stands in a flag's way: itself, or another of its group."""
    group = next((group for group in EXCLUSIVE if flag in group), {flag})
    return next((held[name] for name in held if name in group), None)


def _fault(
    words: Sequence[str], taken: Mapping[str, Arity] | None, kernels: Collection[str]
) -> str:
    """Say why a flag that the service asks for is not given; nothing where it may be."""
    flag, *values = words
    if flag not in ASKABLE:
        return "it is none that the service may ask for"
    least, most, pattern = ASKABLE[flag]
    if not least <= len(values) <= most or not all(pattern.fullmatch(value) for value in values):
        return "its values are none that the service may ask for"
    if taken is None:
        return "which flags this ComfyUI takes cannot be read"
    if flag not in taken:
        return "this ComfyUI does not know it"
    if not taken[flag].least <= len(values) <= taken[flag].most:
        return "this ComfyUI takes another number of values"
    if flag in EXCLUSIVE[0] and flag not in kernels:
        return "the self-test did not find this kernel correct"
    return ""


def _pairs(words: Sequence[str]) -> list[list[str]]:
    """Group each flag with its values."""
    groups: list[list[str]] = []
    for word in words:
        if word.startswith("--") or not groups:
            groups.append([word])
        else:
            groups[-1].append(word)
    return groups


class Arity(NamedTuple):
    """How many values a flag takes."""

    least: int
    most: int


_MANY = 99
_NARGS = {"?": Arity(0, 1), "*": Arity(0, _MANY), "+": Arity(1, _MANY)}


def known(comfyui: Path) -> dict[str, Arity] | None:
    """Read from ComfyUI's own source which flags it takes, and with how many values; none where that cannot be said."""
    try:
        tree = ast.parse((comfyui / "comfy" / "cli_args.py").read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError):
        return None
    found = {name: arity for call in ast.walk(tree) for name, arity in _flags(call)}
    return found or None


def _flags(call: ast.AST) -> Iterator[tuple[str, Arity]]:
    """Give the flags that a call of add_argument makes."""
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
        return
    if call.func.attr != "add_argument":
        return
    said = {
        word.arg: word.value.value
        for word in call.keywords
        if word.arg and isinstance(word.value, ast.Constant)
    }
    nargs = said.get("nargs")
    if str(said.get("action", "")).startswith(("store_", "count", "help", "version")):
        arity = Arity(0, 0)
    elif isinstance(nargs, int):
        arity = Arity(nargs, nargs)
    else:
        arity = _NARGS.get(str(nargs), Arity(1, 1))
    for word in call.args:
        if (
            isinstance(word, ast.Constant)
            and isinstance(word.value, str)
            and word.value[:2] == "--"
        ):
            yield word.value, arity


def understood(words: Sequence[str], taken: Collection[str] | None) -> tuple[list[str], list[str]]:
    """Part launch words into those of a ComfyUI that takes these flags, with their values, and the other flags."""
    fine: list[str] = []
    dropped: list[str] = []
    for group in _pairs(words):
        flag = group[0].partition("=")[0]
        if taken is None or not flag.startswith("--") or _whole(flag, taken) in taken:
            fine += group
        else:
            dropped.append(flag)
    return fine, dropped


def _whole(word: str, taken: Collection[str] | None) -> str:
    """Give the flag that a word names; a beginning of exactly one is that one, as everywhere with argparse."""
    flag = word.partition("=")[0]
    if taken is None or flag in taken:
        return flag
    named = [name for name in taken if name.startswith(flag)]
    return named[0] if len(named) == 1 else flag
