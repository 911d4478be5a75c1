"""The answer to a submission: whether all of the graph was taken, and if not, whose matter that is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from ...errors import EngineRefused, WrongAnswer
from ...graphs.graph import Node
from ...graphs.loaders import LOADERS
from .answer import failing, line, parsed, wrong

WHAT = "the submission"

# Of the engine's input folder: everything that is uploaded goes there.
SUBFOLDER = "zoetrope"

# Inputs whose value is a file on the engine's host: not finding one is the host's matter, not the graph's.
MODEL_INPUTS = frozenset(loader.input for loader in LOADERS.values())

# With these ComfyUI itself judges a graph: not valid, too large. All others are of what is around it.
JUDGED = (400, 413)


class _Error(msgspec.Struct):
    type: str = ""
    message: str = ""
    details: Any = ""
    extra_info: Any = None


class _NodeErrors(msgspec.Struct):
    errors: list[_Error] = []
    class_type: Any = ""


class _Answer(msgspec.Struct):
    prompt_id: str | None = None
    error: _Error | str | None = None
    node_errors: dict[str, _NodeErrors] | None = None


def refusal(
    status: int, data: bytes, prompt_id: str, graph: Mapping[str, Node]
) -> EngineRefused | None:
    """Read the answer to `POST /prompt`: None when all of the graph was taken under our id."""
    if status not in (200, *JUDGED):
        # Whatever stands at the address does not work: no word about the graph.
        raise failing(status, WHAT)
    try:
        answer = parsed(data, _Answer, WHAT)
    except WrongAnswer:
        if status == 413:  # of aiohttp itself, in plain text
            return EngineRefused(
                f"The workflow is too large for the engine: {line(data.decode(errors='replace'))}",
                key="graph-refused",
            )
        raise
    if errors := [
        (node, found.class_type, one)
        for node, found in (answer.node_errors or {}).items()
        for one in found.errors
    ]:
        # One bad output of two is answered with 200: the other half would run without it.
        return _of_nodes(errors, graph)
    if status == 200:
        if answer.prompt_id is None:
            raise wrong(WHAT, "no id of a prompt")
        if answer.prompt_id != prompt_id:
            return EngineRefused(
                "The engine queued the prompt under an id of its own, so it cannot be followed.",
                "Update ComfyUI: older versions do not take ids.",
                key="engine-old",
            )
        return None
    error = answer.error if isinstance(answer.error, _Error) else _Error(message=answer.error or "")
    if error.type == "missing_node_type" or "does not exist" in error.message:
        return EngineRefused(
            f"The engine is missing a node: {line(error.message)}",
            "Install the node pack; the job resumes by itself.",
            key="node-missing",
        )
    if answer.error is None and answer.node_errors is None:
        raise wrong(WHAT, f"{status} without a reason")
    said = " ".join(part for part in (line(error.message), line(error.details)) if part)
    return EngineRefused(
        f"The engine rejected the workflow ({status} {line(error.type, 80)}): {line(said)}",
        key="graph-refused",
    )


def _of_nodes(errors: list[tuple[str, Any, _Error]], graph: Mapping[str, Node]) -> EngineRefused:
    said = "; ".join(
        f"{line(kind, 80) or 'node'} {line(node, 80)}: {line(one.message)} ({line(one.details)})"
        for node, kind, one in errors[:3]
    )
    missing = all(
        one.type == "value_not_in_list" and _input_of(one) in MODEL_INPUTS for _, _, one in errors
    )
    if missing:
        return EngineRefused(
            f"The engine is missing a model file: {line(said)}",
            "Put the file into the engine's models folder; the job resumes by itself.",
            key="model-missing",
        )
    if all(_is_upload(node, one, graph) for node, _, one in errors):
        return EngineRefused(
            f"A file that was uploaded is not there any more: {line(said)}",
            "See what empties the engine's input folder, or whether part of it is a link to elsewhere:"
            " from 0.33 on ComfyUI follows none.",
            key="upload-lost",
        )
    return EngineRefused(f"The engine rejected the workflow: {line(said)}", key="graph-refused")


def _input_of(error: _Error) -> str:
    """Name the input that an error is about, where it says so."""
    name = error.extra_info.get("input_name") if isinstance(error.extra_info, dict) else ""
    return name if isinstance(name, str) else ""


def _is_upload(node_id: str, error: _Error, graph: Mapping[str, Node]) -> bool:
    """Whether an error says that a file is not there which the engine has taken from us a moment ago."""
    if error.type not in ("custom_validation_failed", "value_not_in_list"):
        return False
    node = graph.get(node_id)
    value = node.inputs.get(_input_of(error)) if node is not None else None
    return isinstance(value, str) and value.startswith(f"{SUBFOLDER}/")
