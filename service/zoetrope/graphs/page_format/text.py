"""What is replaced in texts: random parts of prompts, and names and dates in file names."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Final

from . import doubles
from .live import LiveNode

_COMMENTS: Final = re.compile(r"/\*[\s\S]*?\*/|//[^\n\r\u2028\u2029]*")
_ESCAPES: Final = re.compile(r"\\([{}|])")
_REPLACED: Final = re.compile(r"%([^%]+)%")
_DATE: Final = re.compile(r"dd?|MM?|hh?|mm?|ss?|yyy?y?")
_UNSAFE: Final = re.compile(r'[/?<>\\:*|"\x00-\x1f\x7f]')
_DEEPEST: Final = 100

_SAVES: Final = frozenset(
    [
        "SaveImage",
        "SaveAnimatedWEBP",
        "SaveAnimatedPNG",
        "SaveWEBM",
        "SaveAudio",
        "SaveGLB",
        "CLIPSave",
        "VAESave",
        "ModelSave",
        "LoraSave",
        "SaveLatent",
        "VHS_VideoCombine",
    ]
)
_NEW_SAVES: Final = _SAVES | frozenset(
    [
        "SaveVideo",
        "SaveImageAdvanced",
        "SaveSVGNode",
        "SaveAudioMP3",
        "SaveAudioOpus",
        "SaveAudioAdvanced",
    ]
)
_NEWEST_SAVES: Final = _NEW_SAVES | {"Save3DAdvanced", "SaveGaussianSplat", "SavePointCloud"}

_CORE_SAVES: Final = _NEWEST_SAVES - {"VHS_VideoCombine"}

Choose = Callable[[Sequence[str]], str]


def saves(frontend: str) -> frozenset[str]:
    """Name the classes whose file name has its parts replaced."""
    return {"1.27.10": _SAVES, "1.45.20": _NEW_SAVES}.get(frontend, _NEWEST_SAVES)


def prompt(text: str, choose: Choose, depth: int = 0) -> str:
    """Choose the random parts of a prompt, without its comments."""
    text = _COMMENTS.sub("", text)
    found: list[str] = []
    place = 0
    while place < len(text):
        letter = text[place]
        place += 1
        if letter == "\\":
            found.append("\\" + (text[place] if place < len(text) else "undefined"))
            place += 1
        elif letter == "{" and depth < _DEEPEST:
            options, place = _options(text, place)
            found.append(prompt(choose(options), choose, depth + 1))
        else:
            found.append(letter)
    return _ESCAPES.sub(r"\1", "".join(found))


def _options(text: str, place: int) -> tuple[list[str], int]:
    """Split what stands between braces, from behind the opening one."""
    options: list[str] = []
    part: list[str] = []
    depth = 0
    while place < len(text):
        letter = text[place]
        place += 1
        if letter == "\\":
            part.append("\\" + (text[place] if place < len(text) else "undefined"))
            place += 1
            continue
        if letter == "{":
            depth += 1
        elif letter == "}":
            if not depth:
                break
            depth -= 1
        elif letter == "|" and not depth:
            options.append("".join(part))
            part = []
            continue
        part.append(letter)
    return [*options, "".join(part)], place


def replaced(text: str, nodes: Iterable[LiveNode], now: datetime) -> str:
    """Replace `%Node.widget%` and `%date:FORMAT%` in a file's name."""
    everywhere = tuple(nodes)

    def one(match: re.Match[str]) -> str:
        parts = match[1].split(".")
        if len(parts) != 2:
            return date(parts[0][5:], now) if parts[0].startswith("date:") else match[0]
        named = (n for n in everywhere if _name(n) == parts[0])
        titled = (n for n in everywhere if n.title == parts[0])
        node = next(named, None) or next(titled, None)
        widget = node.widget(parts[1]) if node else None
        if widget is None:
            return match[0]
        return _UNSAFE.sub("_", doubles.text(widget.value))

    return _REPLACED.sub(one, text)


def _name(node: LiveNode) -> object:
    """Return the name that texts know a node by; its class gives it one where the page has none."""
    given = node.page.properties.get("Node name for S&R")
    if given is None and node.kind is not None and node.type not in _CORE_SAVES:
        return node.type
    return given


def date(form: str, now: datetime) -> str:
    """Write a date the way that the page's file names do."""
    parts = {"d": now.day, "M": now.month, "h": now.hour, "m": now.minute, "s": now.second}

    def one(match: re.Match[str]) -> str:
        found = match[0]
        if found == "yyyy":
            return f"{now.year}"
        if found == "yy":
            return f"{now.year}"[2:]
        if found[0] in parts:
            return str(parts[found[0]]).rjust(len(found), "0")
        return found

    return _DATE.sub(one, form)
