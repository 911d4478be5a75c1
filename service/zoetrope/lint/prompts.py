"""The texts behind a sampler's conditioning, and what can be read from them without a model."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from .graph_view import GraphView
from .stages import SamplerStage

Side = Literal["positive", "negative"]

_DEEPEST = 64
_MOST_READ = 20_000

# Bounded, and begun at a number's first digit alone: long rows of digits are then no trap.
_SECOND = r"(?<![\d.])(\d{1,6}(?:\.\d{1,3})?)"
_BEAT = re.compile(
    rf"{_SECOND}\s*(?:-|\u2013|to)\s*{_SECOND}\s*s(?:ec(?:onds?)?)?\b", re.IGNORECASE
)
_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")
_WIDE = re.compile(r"[぀-ヿ㐀-鿿가-힯]")


class Prompt(msgspec.Struct, frozen=True):
    """One text that conditions a sampler; None where it is not known."""

    node: str
    input: str
    text: str | None


def texts(view: GraphView, stage: SamplerStage, side: Side) -> tuple[Prompt, ...]:
    """Find the texts behind one side of a sampler's conditioning."""
    if stage.runtime == "wrapper":
        start = [(stage.node, "text_embeds", side)]
    else:
        guider = view.source(stage.node, "guider")
        holder = guider.node if guider else stage.node
        plain = view.class_of(holder) == "BasicGuider"
        if plain and side == "negative":
            return ()
        start = [(holder, "conditioning" if plain else side, side)]
    return tuple(_follow(view, start))


def under_nag(view: GraphView, node_id: str) -> tuple[Prompt, ...]:
    """Find the texts that a NAG node steers away from."""
    if view.class_of(node_id) == "WanVideoApplyNAG":
        # It takes what its encoder was given as a positive text.
        return tuple(_follow(view, [(node_id, "nag_text_embeds", "positive")]))
    return tuple(_follow(view, [(node_id, "conditioning", "negative")]))


def _follow(view: GraphView, waiting: list[tuple[str, str, Side]]) -> list[Prompt]:
    found: list[Prompt] = []
    seen: set[tuple[str, str]] = set()
    while waiting and len(seen) < _DEEPEST:
        node_id, name, side = waiting.pop()
        link = view.source(node_id, name)
        if link is None or (link.node, side) in seen:
            continue
        seen.add((link.node, side))
        class_type = view.class_of(link.node)
        if class_type == "ConditioningZeroOut":
            continue
        if class_type == "CLIPTextEncode":
            found.append(Prompt(link.node, "text", view.text(link.node, "text")))
            continue
        if class_type == "WanVideoTextEncodeSingle":
            if side == "positive":
                found.append(Prompt(link.node, "prompt", view.text(link.node, "prompt")))
            continue
        if class_type in {"WanVideoTextEncode", "WanVideoTextEncodeCached"}:
            # The second output of the cached one has the negative text where others have a positive one.
            prompt = f"{'negative' if link.slot == 1 else side}_prompt"
            found.append(Prompt(link.node, prompt, view.text(link.node, prompt)))
            continue
        signature = view.catalog.get(class_type)
        if signature is None:
            continue
        outputs = signature.output_names
        output = outputs[link.slot] if 0 <= link.slot < len(outputs) else ""
        if side in signature.inputs and (output == side or class_type == "WanVideoTextEmbedBridge"):
            waiting.append((link.node, side, side))
            continue
        kinds = {"CONDITIONING", "WANVIDEOTEXTEMBEDS"}
        nag = {"nag_text_embeds"}
        waiting += [
            (link.node, key, side)
            for key, item in signature.inputs.items()
            if item.type in kinds and key not in nag and key != _other(side)
        ]
    return found


def _other(side: Side) -> Side:
    return "negative" if side == "positive" else "positive"


def last_beat(text: str) -> float | None:
    """Give the second at which the last beat of a prompt ends; None if it has no beats."""
    ends = [float(found[2]) for found in _BEAT.finditer(text[:_MOST_READ])]
    return max(ends, default=None)


def estimated_tokens(text: str) -> int:
    """Guess a text's tokens from below: one a word, and one for two wide characters."""
    wide = len(_WIDE.findall(text))
    return len(_WORD.findall(_WIDE.sub(" ", text))) + wide // 2
