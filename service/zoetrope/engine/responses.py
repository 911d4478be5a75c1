"""What ComfyUI's answers mean: pure readings of its queue, history, messages, errors and refusals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..domain.values import Failure
from ..errors import EngineRefused
from ..graphs.graph import Graph
from ..graphs.loaders import LOADERS, loaded
from .protocol import (
    MAX_UPLOAD,
    Cached,
    Event,
    Finished,
    Interrupted,
    Output,
    PromptFailed,
    Queued,
    QueueEntry,
    Started,
    Stats,
    Step,
)

# Inputs whose value is a file on the engine's host: not finding one is the host's matter, not the graph's.
MODEL_INPUTS = frozenset(loader.input for loader in LOADERS.values())


def queue(body: Mapping[str, Any], client_id: str) -> tuple[QueueEntry, ...]:
    """Read the answer of `/queue`: what runs, then what waits, in the order in which it will run."""

    def read(entry: Sequence[Any], *, running: bool) -> QueueEntry:
        extra = entry[3] if len(entry) > 3 and isinstance(entry[3], dict) else {}
        ours = extra.get("client_id") == client_id
        tags = extra.get("zoetrope")
        job = str(tags.get("job", "")) if ours and isinstance(tags, dict) else ""
        return QueueEntry(prompt_id=str(entry[1]), running=running, ours=ours, job=job)

    # ComfyUI lists what waits as its heap has it, which is not the order in which it runs.
    pending = sorted(body.get("queue_pending", []), key=lambda entry: float(entry[0]))
    running = [read(entry, running=True) for entry in body.get("queue_running", [])]
    return (*running, *(read(entry, running=False) for entry in pending))


def queue_place(entries: Sequence[QueueEntry], prompt_id: str) -> Queued | Started | None:
    """Find a prompt in the engine's queue."""
    for ahead, entry in enumerate(entries):
        if entry.prompt_id == prompt_id:
            others = sum(not before.ours for before in entries[:ahead])
            return Started() if entry.running else Queued(ahead, others)
    return None


def queue_length(queue: object) -> int:
    """Count the prompts in the answer of `/queue`, running ones included; what is no list has none."""
    parts = queue if isinstance(queue, dict) else {}
    found = (parts.get("queue_running"), parts.get("queue_pending"))
    return sum(len(part) for part in found if isinstance(part, list))


def ending(entry: Mapping[str, Any]) -> Finished | PromptFailed | Interrupted:
    """Read how a prompt ended from its entry in the history."""
    status = entry.get("status") or {}
    messages = status.get("messages") or []
    # Interrupted and failed runs both say "error"; only the messages tell them apart.
    for kind, data in reversed(messages):
        if kind == "execution_interrupted":
            return Interrupted()
        if kind == "execution_error":
            return PromptFailed(failure(data))
    if status.get("status_str") == "error":
        return PromptFailed(
            Failure(kind="node", message="The engine reports an error without a text.")
        )
    return Finished(outputs(entry.get("outputs") or {}))


def outputs(found: Mapping[str, Any]) -> tuple[Output, ...]:
    """List every file that output nodes name, whatever they call the list it is in."""

    def walk() -> Iterator[Output]:
        for node, kinds in found.items():
            for files in kinds.values():
                if isinstance(files, list):
                    for file in files:
                        if isinstance(file, dict) and isinstance(file.get("filename"), str):
                            yield Output(
                                node,
                                file["filename"],
                                file.get("subfolder") or "",
                                file.get("type") or "output",
                            )

    return tuple(walk())


def message(kind: str, data: Mapping[str, Any]) -> Event | None:
    """Read a WebSocket message about a prompt under way; how it ends is the history's to say."""
    if kind == "execution_start":
        return Started()
    if kind == "execution_cached":
        return Cached(tuple(str(node) for node in data.get("nodes") or ()))
    if kind == "progress_state":
        nodes = data.get("nodes") or {}
        finished = tuple(str(name) for name in nodes if nodes[name].get("state") == "finished")
        for name, node in nodes.items():
            if node.get("state") == "running":
                return Step(str(name), float(node["value"]), float(node["max"]), finished)
        return Step("", finished=finished) if finished else None
    return None


def is_ending(kind: str, data: Mapping[str, Any]) -> bool:
    """Tell whether a message says that its prompt is over, so that the history is worth a look."""
    return kind in ("execution_success", "execution_error", "execution_interrupted") or (
        kind == "executing" and data.get("node") is None
    )


def failure(data: Mapping[str, Any]) -> Failure:
    """Read an `execution_error`."""
    text = str(data.get("exception_message") or "").strip()
    exception = str(data.get("exception_type") or "")
    return Failure(
        kind=_kind(exception, text),
        message=_first_lines(text) or exception or "The engine gives no reason.",
        node=str(data.get("node_id") or ""),
        node_type=str(data.get("node_type") or ""),
        exception=exception,
    )


def refusal(status: int, body: Any) -> EngineRefused | None:
    """Read the answer to a submission: None when all of the graph was taken."""
    answer = body if isinstance(body, dict) else {}
    errors = [
        (node, one, found.get("class_type", ""))
        for node, found in (answer.get("node_errors") or {}).items()
        for one in found.get("errors", [])
    ]
    if status == 200 and not errors:
        return None
    if errors:
        # One bad output of two is answered with 200: the other half would run without it.
        told = "; ".join(
            f"{kind or 'node'} {node}: {one.get('message', '')} ({one.get('details', '')})"
            for node, one, kind in errors[:3]
        )
        missing = all(
            one.get("type") == "value_not_in_list"
            and (one.get("extra_info") or {}).get("input_name") in MODEL_INPUTS
            for _, one, _ in errors
        )
        if missing:
            return EngineRefused(
                f"The engine is missing a model file: {_cut(told)}",
                "Put the file into the engine's models folder; the job resumes by itself.",
                key="model-missing",
            )
        return EngineRefused(f"The engine rejected the workflow: {_cut(told)}", key="graph-refused")
    error = answer.get("error") or {}
    kind = error.get("type", "") if isinstance(error, dict) else ""
    text = error.get("message", "") if isinstance(error, dict) else str(error)
    if kind == "missing_node_type" or "does not exist" in text:
        return EngineRefused(
            f"The engine is missing a node: {_cut(text)}",
            "Install the node pack; the job resumes by itself.",
            key="node-missing",
        )
    if status >= 500:
        return EngineRefused(
            f"The engine answered {status} to the submission.",
            "See the log of the engine.",
            key="engine-error",
        )
    told = " ".join(p for p in (text, str(error.get("details", "")) if kind else "") if p)
    return EngineRefused(
        f"The engine rejected the workflow ({status} {kind}): {_cut(told)}", key="graph-refused"
    )


def unchecked_models(graph: Graph) -> list[tuple[str, tuple[str, ...]]]:
    """List the files of a graph that the engine does not check itself, each with where it may be listed."""
    return [(name, loader.listings) for loader, name in loaded(graph) if loader.listings]


def stats(body: Mapping[str, Any], features: Mapping[str, Any]) -> Stats:
    """Read `/system_stats`, and `/features` where the engine has it."""
    system = body.get("system") or {}
    device = (body.get("devices") or [{}])[0]
    return Stats(
        version=str(system.get("comfyui_version", "")),
        device=str(device.get("name", "")),
        vram_total=int(device.get("vram_total") or 0),
        vram_free=int(device.get("vram_free") or 0),
        python=str(system.get("python_version", "")),
        torch=str(system.get("pytorch_version", "")),
        simulated="simulated" in body or "rehearsal" in body,
        max_upload=int(features.get("max_upload_size") or MAX_UPLOAD),
        # On these, ComfyUI gives the free memory of the whole host here.
        pool_free=0
        if device.get("type") in ("cpu", "mps")
        else int(device.get("torch_vram_free") or 0),
    )


def _kind(exception: str, text: str) -> str:
    low = text.lower()
    # The class was torch.cuda.OutOfMemoryError before it moved to torch itself.
    if exception.endswith("OutOfMemoryError") or "cuda out of memory" in low:
        return "oom"
    if exception == "MemoryError" or "defaultcpuallocator" in low or "alloc_cpu" in low:
        return "host-oom"
    # After these the CUDA context is lost; only a new process helps (ComfyUI #15271, #14756, #9533).
    if exception.endswith("AcceleratorError") or "cuda error" in low or "cublas_status" in low:
        return "cuda"
    if exception == "ModuleNotFoundError":
        return "package"
    model_words = (
        "could not detect model type",
        "failed to download",
        "tried all urls",
        "error(s) in loading state_dict",
    )
    if "SafetensorError" in exception or any(words in low for words in model_words):
        return "model"
    if exception == "FileNotFoundError" or "no such file" in low:
        return "file"
    return "node"


def _first_lines(text: str) -> str:
    return _cut(" ".join(line.strip() for line in text.splitlines()[:2] if line.strip()))


def _cut(text: str, limit: int = 400) -> str:
    return text if len(text) <= limit else f"{text[: limit - 3]}..."
