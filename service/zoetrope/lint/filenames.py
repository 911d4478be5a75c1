"""What the name of a model file tells: family, task, expert, size, distillation, quantisation."""

from __future__ import annotations

import re
from functools import lru_cache

import msgspec

_SEPARATORS = re.compile(r"[-. /\\]+")

# The first that fits wins: a `fun_control` file may carry `i2v` in its name, never the other way round.
_TASKS = (
    ("fun_control", r"fun(?:_a?\d+b)?_control(?!_camera)"),
    ("fun_camera", r"fun(?:_a?\d+b)?(?:_control)?_camera"),
    ("fun_inpaint", r"fun(?:_a?\d+b)?_inp(?:aint)?(?:_|$)"),
    ("vace", r"(?:^|_)vace(?:_|$)"),
    ("animate", r"(?:^|_)animate(?:_|$)"),
    ("s2v", r"(?:^|_)s2v(?:_|$)"),
    ("ti2v", r"(?:^|_)ti2v(?:_|$)"),
    ("i2v", r"(?:^|_)(?:i2v|flf2v)(?:_|$)"),
    ("t2v", r"(?:^|_)t2v(?:_|$)"),
)
_TASK_PATTERNS = tuple((task, re.compile(pattern)) for task, pattern in _TASKS)

_WAN22 = re.compile(r"wan_?2_?2")
_WAN21 = re.compile(r"wan_?2_?1|^lightx2v_[it]2v_14b")
_HIGH = re.compile(r"high_?noise")
_LOW = re.compile(r"low_?noise")
_PLAIN_HIGH = re.compile(r"(?:^|_)high(?:_|$)")
_PLAIN_LOW = re.compile(r"(?:^|_)low(?:_|$)")
_SIZE = re.compile(r"(?:^|_)a?(14b|5b|1_3b|7b|3b)(?:_|$)")
_DISTILLED = re.compile(
    r"lightx2v|lightning|distill|causvid|fusionx|turbo|(?:^|_)\d{1,2}_?steps?(?:_|$)"
)
_GGUF = re.compile(r"(?:^|_)(i?q\d(?:_[01k])?(?:_(?:xxs|xs|s|m|l|xl))?)(?:_gguf|$)")
_FLOAT = re.compile(r"fp8_e5m2|fp8|fp16|bf16|fp32|int8|nvfp4")
_UNQUANTISED = frozenset({"fp16", "bf16", "fp32"})


class Tag(msgspec.Struct, frozen=True, kw_only=True):
    """What a file's name says of it; empty where it says nothing."""

    name: str
    plain: str  # lower case, with `_` between the words: what patterns are held against
    family: str = ""  # wan2.1, wan2.2
    task: str = ""  # i2v, t2v, ti2v, fun_control, fun_inpaint, fun_camera, vace, animate, s2v
    expert: str = ""  # high, low
    size: str = ""  # 14b, 5b, 1_3b, 7b, 3b
    distilled: bool = False
    quantisation: str = ""  # gguf q4_k_m, fp8_e4m3, fp8_e5m2, fp16, bf16 …
    scaled: bool = False

    @property
    def wan(self) -> bool:
        """Whether the name is one of the WAN family."""
        return bool(self.family)

    @property
    def unquantised(self) -> bool:
        """Whether the name says that the weights have 16 or 32 bits, and no scales."""
        return self.quantisation in _UNQUANTISED and not self.scaled

    @property
    def gguf(self) -> bool:
        """Whether it is a GGUF file."""
        return self.quantisation.startswith("gguf")

    @property
    def large(self) -> bool:
        """Whether these are 14B weights of WAN, whose clips have 16 frames a second."""
        return self.wan and self.size == "14b"


@lru_cache(maxsize=4096)
def tag(name: str) -> Tag:
    """Read a file's name, with the folders before it."""
    plain = _SEPARATORS.sub("_", name[-512:].lower()).strip("_")
    stem = re.sub(r"_(?:safetensors|gguf|pth|pt|ckpt|bin)$", "", plain)
    own = _SEPARATORS.sub("_", re.split(r"[/\\]", name[-512:])[-1].lower())
    family = "wan2.2" if _WAN22.search(stem) else "wan2.1" if _WAN21.search(own) else ""
    family = family or ("wan2.1" if _WAN21.search(stem) else "")
    task = next((task for task, pattern in _TASK_PATTERNS if pattern.search(stem)), "")
    expert = _expert(stem)
    size = found[1] if (found := _SIZE.search(stem)) else ""
    if not size and family == "wan2.2" and expert:
        size = "14b"
    return Tag(
        name=name,
        plain=stem,
        family=family,
        task=task,
        expert=expert,
        size=size,
        distilled=bool(_DISTILLED.search(stem)),
        quantisation=_quantisation(stem, gguf=plain.endswith("gguf")),
        scaled="scaled" in stem,
    )


def _expert(stem: str) -> str:
    for high, low in ((_HIGH, _LOW), (_PLAIN_HIGH, _PLAIN_LOW)):
        is_high, is_low = bool(high.search(stem)), bool(low.search(stem))
        if is_high != is_low:
            return "high" if is_high else "low"
    return ""


def _quantisation(stem: str, *, gguf: bool) -> str:
    if gguf:
        return f"gguf {found[1]}" if (found := _GGUF.search(stem)) else "gguf"
    if not (kind := _FLOAT.search(stem)):
        return ""
    return "fp8_e4m3" if kind[0] == "fp8" else kind[0]
