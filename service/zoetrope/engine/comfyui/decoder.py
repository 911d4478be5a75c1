"""What ComfyUI says over HTTP, decoded: bytes in, values out; a wrong answer is the engine's failure and says what is wrong.

What we need has to be as ComfyUI writes it; what we do not need is not looked at, so that newer
versions and node packs may add what they like.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from ...graphs.catalog import Catalog, from_object_info
from ...graphs.graph import Graph
from ...graphs.loaders import loaded
from ..protocol import (
    MAX_UPLOAD,
    Finished,
    Interrupted,
    Output,
    PromptFailed,
    Queued,
    QueueEntry,
    Started,
    Stats,
)
from .answer import count, is_name, line, parsed, storable, wrong
from .failure import failure

Ending = Finished | PromptFailed | Interrupted


class _Prompt(msgspec.Struct, array_like=True):
    number: int | float
    id: str
    graph: Any = None
    extra_data: Any = None


class _Queue(msgspec.Struct):
    queue_running: list[_Prompt]
    queue_pending: list[_Prompt]


class _Said(msgspec.Struct, array_like=True):
    kind: str
    data: dict[str, Any]


class _Status(msgspec.Struct):
    status_str: str | None = None
    messages: list[_Said] | None = None


class _Entry(msgspec.Struct):
    outputs: dict[str, Any] | None = None
    status: _Status | None = None


class _Uploaded(msgspec.Struct):
    name: str
    subfolder: str | None = None


class _System(msgspec.Struct):
    comfyui_version: Any = ""
    python_version: Any = ""
    pytorch_version: Any = ""


class _Device(msgspec.Struct):
    name: Any = ""
    type: Any = ""
    vram_total: Any = 0
    vram_free: Any = 0
    torch_vram_free: Any = 0


class _Stats(msgspec.Struct):
    system: _System
    devices: list[_Device] | None = None
    simulated: Any = msgspec.UNSET
    rehearsal: Any = msgspec.UNSET  # what an earlier zoetrope's simulated engine says


class _Features(msgspec.Struct):
    max_upload_size: Any = 0


def queue(data: bytes, client_id: str) -> tuple[QueueEntry, ...]:
    """Read the answer of `/queue`: what runs, then what waits, in the order in which it will run."""
    what = "its queue"
    found = parsed(data, _Queue, what)

    def entry(prompt: _Prompt, *, running: bool) -> QueueEntry:
        if not is_name(prompt.id):
            raise wrong(what, "a prompt without an id")
        extra = prompt.extra_data if isinstance(prompt.extra_data, dict) else {}
        ours = extra.get("client_id") == client_id
        tags = extra.get("zoetrope")
        job = line(tags.get("job"), 80) if ours and isinstance(tags, dict) else ""
        return QueueEntry(prompt_id=prompt.id, running=running, ours=ours, job=job)

    # ComfyUI lists what waits as its heap has it, which is not the order in which it runs. Numbers are
    # compared as they are, since a huge integer has no float; NaN has no place, so it goes last.
    pending = sorted(found.queue_pending, key=lambda p: (p.number != p.number, p.number))
    running = [entry(prompt, running=True) for prompt in found.queue_running]
    return (*running, *(entry(prompt, running=False) for prompt in pending))


def queue_place(entries: Sequence[QueueEntry], prompt_id: str) -> Queued | Started | None:
    """Find a prompt in the engine's queue."""
    for ahead, entry in enumerate(entries):
        if entry.prompt_id == prompt_id:
            others = sum(not before.ours for before in entries[:ahead])
            return Started() if entry.running else Queued(ahead, others)
    return None


def history(data: bytes, prompt_id: str) -> Ending | None:
    """Read how a prompt ended from `/history/{id}`; None while the engine says nothing of it."""
    what = "its history"
    found = parsed(data, dict[str, _Entry], what)
    if not found:
        return None
    if prompt_id not in found:
        # Not to be read as "unknown": the prompt would be sent, and made, again.
        raise wrong(what, "another prompt than asked for")
    return ending(found[prompt_id], what)


def ending(entry: _Entry, what: str) -> Ending:
    """Read how a prompt ended from its entry in the history."""
    status = entry.status or _Status()
    # Interrupted and failed runs both say "error"; only the messages tell them apart.
    for said in reversed(status.messages or []):
        if said.kind == "execution_interrupted":
            return Interrupted()
        if said.kind == "execution_error":
            return PromptFailed(failure(said.data))
    if status.status_str == "error":
        return PromptFailed(
            failure({"exception_message": "The engine reports an error without a text."})
        )
    return Finished(tuple(files(entry.outputs or {}, what)))


def files(outputs: Mapping[str, Any], what: str) -> Iterator[Output]:
    """List every file that output nodes name, whatever they call the list it is in."""
    for node, kinds in outputs.items():
        if not isinstance(kinds, dict) or not is_name(node):
            raise wrong(what, "a node without outputs")
        for kind in kinds.values():
            for file in kind if isinstance(kind, list) else ():
                if isinstance(file, dict) and "filename" in file:
                    yield _output(node, file, what)


def _output(node: str, file: dict[str, Any], what: str) -> Output:
    name, subfolder = file["filename"], file.get("subfolder") or ""
    if not is_name(name) or not name or not is_name(subfolder):
        raise wrong(what, "a file without a name")
    kind = file.get("type") or "output"
    return Output(node, name, subfolder, kind if is_name(kind) else "output")


def uploaded(data: bytes, name: str, subfolder: str) -> str:
    """Read under which name graphs reach a file that was uploaded under one."""
    what = "the upload"
    found = parsed(data, _Uploaded, what)
    if not found.name or not is_name(found.name):
        raise wrong(what, "a file without a name")
    # ComfyUI numbers a name that another file has; any other name is another file, perhaps another user's.
    stem, dot, ending = name.rpartition(".")
    numbered = rf"{re.escape(stem)}(?: \(\d{{1,9}}\))?{re.escape(dot + ending)}"
    if not re.fullmatch(numbered, found.name) or found.subfolder != subfolder:
        raise wrong(what, "another file's name")
    return f"{subfolder}/{found.name}"


def listing(data: bytes) -> frozenset[str]:
    """Read the names, without folders, of the files that `/models/{folder}` lists."""
    found = parsed(data, list[Any], "its models")
    return frozenset(path.rpartition("/")[2] for path in found if isinstance(path, str))


def unchecked_models(graph: Graph) -> list[tuple[str, tuple[str, ...]]]:
    """List the files of a graph that the engine does not check itself, each with where it may be listed."""
    return [(name, loader.listings) for loader, name in loaded(graph) if loader.listings]


def stats(data: bytes) -> Stats:
    """Read `/system_stats`."""
    found = parsed(data, _Stats, "itself")
    device = (found.devices or [_Device()])[0]
    return Stats(
        version=line(found.system.comfyui_version, 80),
        device=line(device.name, 200),
        vram_total=count(device.vram_total),
        vram_free=count(device.vram_free),
        python=line(found.system.python_version, 200),
        torch=line(found.system.pytorch_version, 80),
        simulated=found.simulated is not msgspec.UNSET or found.rehearsal is not msgspec.UNSET,
        # On these, ComfyUI gives the free memory of the whole host here.
        pool_free=None if device.type in ("cpu", "mps") else count(device.torch_vram_free),
    )


def cuda_bytes(data: bytes) -> int | None:
    """Read the memory of the first CUDA device out of `/system_stats`; None without one."""
    found = parsed(data, _Stats, "itself")
    sizes = [count(device.vram_total) for device in found.devices or () if device.type == "cuda"]
    return sizes[0] if sizes else None


def max_upload(data: bytes) -> int:
    """Read how much `/features` says that one upload may have."""
    return count(parsed(data, _Features, "its features").max_upload_size) or MAX_UPLOAD


def object_info(data: bytes, version: str) -> Catalog:
    """Read the signatures of `/object_info`; a node whose signature is none is left out."""
    what = "its nodes"
    return from_object_info(storable(parsed(data, dict[str, Any], what), what), comfyui=version)
