"""What ComfyUI says over its WebSocket, decoded: events are a hint, so what cannot be read is no event."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec

from ...errors import WrongAnswer
from ...structs import primed
from ..protocol import Cached, Interrupted, Output, PromptFailed, Started, Step
from .answer import NO_ANSWER, is_name, line, parsed
from .decoder import files
from .failure import failure

WHAT = "a prompt under way"


class Executed(msgspec.Struct, frozen=True):
    """An output node has written these files."""

    outputs: tuple[Output, ...]


class Over(msgspec.Struct, frozen=True):
    """The prompt has ended: well, or `how` else, as far as this says it; the history says the rest."""

    how: PromptFailed | Interrupted | None = None
    well: bool = False


Said = Started | Cached | Step | Executed | Over


class _Message(msgspec.Struct):
    type: str
    data: dict[str, Any]


class _Node(msgspec.Struct):
    state: str
    value: float = 0.0
    max: float = 0.0


class _Nodes(msgspec.Struct):
    nodes: dict[str, _Node] = {}


def event(text: str | bytes) -> tuple[str, Said] | None:
    """Read one message: the prompt that it names and what it says of it; None for all other messages."""
    try:
        message = parsed(text, _Message, WHAT)
        prompt_id = message.data.get("prompt_id")
        if not is_name(prompt_id):
            return None  # status messages and those of other programs name no prompt
        said = _said(message.type, message.data)
    except WrongAnswer:
        return None
    return (prompt_id, said) if said is not None else None


def _said(kind: str, data: Mapping[str, Any]) -> Said | None:
    match kind:
        case "execution_start":
            return Started()
        case "execution_cached":
            nodes = data.get("nodes")
            known = nodes if isinstance(nodes, list) else ()
            return Cached(tuple(node for node in known if is_name(node)))
        case "progress_state":
            return _step(data)
        case "executed":
            output = data.get("output")
            found = {str(data.get("node")): output} if isinstance(output, dict) else {}
            return Executed(tuple(files(found, WHAT)))
        case "execution_success":
            return Over(well=True)
        case "execution_error":
            return Over(PromptFailed(failure(data)))
        case "execution_interrupted":
            return Over(Interrupted())
        case "executing" if data.get("node") is None:
            return Over()
    return None


def _step(data: Mapping[str, Any]) -> Step | None:
    try:
        nodes = msgspec.convert(data, primed(_Nodes)).nodes
    except NO_ANSWER as error:
        raise WrongAnswer(str(error)) from error
    finished = tuple(n for n, node in nodes.items() if node.state == "finished" and is_name(n))
    for name, node in nodes.items():
        if node.state == "running":
            most = _positive(node.max)
            return Step(line(name), min(most, _positive(node.value)), most, finished)
    return Step("", finished=finished) if finished else None


def _positive(value: float) -> float:
    """Give a number that can be counted with; 0 for NaN, the infinite and what is below it."""
    return max(0.0, value) if math.isfinite(value) else 0.0
