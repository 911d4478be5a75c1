"""Runs one prompt after another: walks the graph, keeps what nodes made, tells what happens."""

import threading
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from ...graphs.catalog import Catalog
from ...graphs.document import link_of
from ...graphs.graph import Graph
from . import lists
from .cache import CacheMode, Made, NodeCache, signatures
from .context import Context
from .errors import EngineDied, InterruptedPrompt, NodeFailure, NotSimulated
from .faults import Faults
from .files import Files
from .progress import PromptProgress
from .queue import Outcome, QueuedPrompt
from .schedule import Schedule

Json = dict[str, Any]
#: Gives an event to the socket of one client, or to all if there is none.
Emit = Callable[[str, Json, str | None], None]

#: How soon an ordered slowness notices that it is over.
_LOOK_SECONDS = 0.02
#: Classes that are told their own id, so equal nodes of them are still two.
_UNIQUE = ("VHS_", "ImageResizeKJv2", "PreviewImage")
#: Classes that watch a file in the input folder, and the input that names it.
_WATCHES = {
    "LoadImage": "image",
    "LoadImageMask": "image",
    "LoadLatent": "latent",
    "LoadVideo": "file",
    "VHS_LoadVideo": "video",
    "VHS_LoadVideoFFmpeg": "video",
}


class Executor:
    """The one worker's state: the node cache, the client it works for, the interrupt flag."""

    def __init__(
        self,
        *,
        catalog: Catalog,
        files: Files,
        faults: Faults,
        emit: Emit,
        clock: Callable[[], float],
        step_seconds: float,
        cache: CacheMode,
    ) -> None:
        self.catalog = catalog
        self.files = files
        self.faults = faults
        self.emit = emit
        self.clock = clock
        self.step_seconds = step_seconds
        self.cache = NodeCache(cache)
        self.client_id: str | None = None
        self.current_node: str | None = None
        self.stopping = threading.Event()
        self._interrupt = threading.Event()

    def interrupt(self) -> None:
        """Let the running prompt end at its next step."""
        self._interrupt.set()

    def check_interrupt(self) -> None:
        """Raise if the running prompt should end."""
        if self.stopping.is_set():
            raise EngineDied
        if self._interrupt.is_set():
            self._interrupt.clear()
            raise InterruptedPrompt

    def read_by(self, graph: Graph) -> set[Path]:
        """Name the files that the nodes of a graph load."""
        names = (node.inputs.get(_WATCHES.get(node.class_type, "")) for node in graph.values())
        found = (self.files.find(name) for name in names if isinstance(name, str))
        return {path for path in found if path is not None}

    def run(self, prompt: QueuedPrompt) -> Outcome:
        """Run a prompt to its end, good or bad."""
        # An interrupt that came while nothing ran is not meant for this prompt.
        self._interrupt.clear()
        self.client_id = prompt.extra_data.get("client_id")
        try:
            return _Run(self, prompt).whole()
        finally:
            self.current_node = None


class _Run:
    """One prompt on its way."""

    def __init__(self, executor: Executor, prompt: QueuedPrompt) -> None:
        self.executor = executor
        self.prompt = prompt
        self.files = executor.files
        self.faults = executor.faults
        self._messages: list[tuple[str, Json]] = []
        self._executed: list[str] = []
        self._ui: dict[str, Made] = {}
        self._progress = PromptProgress(prompt.prompt_id, self._send)
        self._names: dict[str, str] = {}
        self._values: dict[str, tuple[object, ...]] = {}

    def whole(self) -> Outcome:
        """Run every node that has to run."""
        from . import nodes  # The nodes bring numpy, Pillow and PyAV: not before the first prompt.

        graph, cache = self.prompt.graph, self.executor.cache
        self._message("execution_start", prompt_id=self.prompt.prompt_id)
        self._names = signatures(
            graph, self._watched, lambda class_type: class_type.startswith(_UNIQUE)
        )
        cache.begin(self._names)
        cached = [n for n in graph if cache.get(self._names[n])]
        self._message("execution_cached", nodes=cached, prompt_id=self.prompt.prompt_id)
        for node_id in cached:
            self._keep(node_id)
        schedule = Schedule(
            graph,
            self.prompt.outputs,
            is_cached=lambda n: cache.get(self._names[n]) is not None,
            is_output=lambda n: self.executor.catalog.nodes[graph[n].class_type].output_node,
        )
        success = True
        while success and schedule:
            node_id = schedule.pick()
            success = self._node(node_id, nodes.REGISTRY)
            schedule.done(node_id)
        if success:
            self._message("execution_success", prompt_id=self.prompt.prompt_id)
        return Outcome(
            success=success,
            messages=self._messages,
            outputs={n: made.ui for n, made in self._ui.items()},
            meta={n: made.meta for n, made in self._ui.items()},
        )

    def check_interrupt(self) -> None:
        """Raise if the prompt should end."""
        self.executor.check_interrupt()

    def check_end(self) -> None:
        """Raise if the process ends."""
        if self.executor.stopping.is_set():
            raise EngineDied

    def step(self, context: Context, value: int, maximum: int) -> None:
        """Take one step of a node."""
        faults, executor = self.executor.faults, self.executor
        if faults.at_step("exit", context.class_type, value):
            raise EngineDied
        if faults.at_step("wedged", context.class_type, value):
            executor.stopping.wait()
            raise EngineDied
        if faults.at_step("drop", context.class_type, value):
            executor.emit("", {"drop": True}, None)
        if (slow := faults.active("slow")) is not None:
            self._linger(slow.seconds)
        elif executor.step_seconds:
            executor.stopping.wait(executor.step_seconds)
        self.count(context, value, maximum)

    def _linger(self, seconds: float) -> None:
        """Take as long as an ordered slowness asks for, unless it is withdrawn or the prompt should end."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and self.executor.faults.active("slow"):
            self.executor.stopping.wait(min(left, _LOOK_SECONDS))
            self.executor.check_interrupt()

    def count(self, context: Context, value: int, maximum: int) -> None:
        """Tell how far a node is."""
        self.executor.check_interrupt()
        node_id = context.node_id
        self._progress.update(node_id, value, maximum)
        self._send(
            "progress",
            {
                "value": value,
                "max": maximum,
                "prompt_id": self.prompt.prompt_id,
                "node": node_id,
            },
        )

    def _watched(self, class_type: str, inputs: Json) -> str:
        """Name the content that a loading node depends on."""
        name = inputs.get(_WATCHES.get(class_type, ""))
        return self.executor.files.digest(name) if isinstance(name, str) else ""

    def _keep(self, node_id: str) -> Made | None:
        """Take a node's outputs from the cache, for the nodes below it."""
        made = self.executor.cache.get(self._names[node_id])
        if made:
            self._values[node_id] = made.values
        return made

    def _node(self, node_id: str, registry: "dict[str, Any]") -> bool:
        """Run one node, or name again what it made before; say whether to go on."""
        made = self._keep(node_id)
        if made:
            # Without a client no one is told, and the history stays without the old names.
            if self.executor.client_id is not None:
                self._tell_output(node_id, made.ui)
                if made.ui is not None:
                    self._ui[node_id] = made
            self._progress.finish(node_id)
            return True
        given: Json | None = None
        try:
            self._progress.start(node_id)
            given = self._inputs(node_id)
            made = self._call(node_id, given, registry)
        except InterruptedPrompt:
            self._message("execution_interrupted", **self._blame(node_id))
            return False
        except Exception as problem:  # Whatever a node raises ends its prompt, not the engine.
            self._message("execution_error", **self._blame(node_id), **self._report(problem, given))
            return False
        if made.ui is not None:
            self._ui[node_id] = made
            self._tell_output(node_id, made.ui)
        self.executor.cache.put(self._names[node_id], made)
        self._values[node_id] = made.values
        self._progress.finish(node_id)
        self._executed.append(node_id)
        return True

    def _call(self, node_id: str, given: Json, registry: "dict[str, Any]") -> Made:
        """Run the function that plays a node."""
        executor = self.executor
        class_type = self.prompt.graph[node_id].class_type
        executor.current_node = node_id
        self._send(
            "executing",
            {"node": node_id, "display_node": node_id, "prompt_id": self.prompt.prompt_id},
        )
        executor.check_interrupt()
        executor.faults.before_node(class_type)
        function = registry.get(class_type)
        if function is None:
            raise NotSimulated(f"The simulated engine does not support {class_type}.")
        play = partial(function, Context(self, node_id, class_type))
        result = lists.call(class_type, play, given)
        meta = {
            "node_id": node_id,
            "display_node": node_id,
            "parent_node": None,
            "real_node_id": node_id,
        }
        ui = dict(result.ui) if result.ui is not None else None
        return Made(result.values, ui, meta if ui is not None else None)

    def _inputs(self, node_id: str) -> Json:
        """Collect a node's inputs: values as they stand, links from the nodes above."""
        node = self.prompt.graph[node_id]
        known = self.executor.catalog.nodes[node.class_type].inputs
        given: Json = {}
        for name, value in node.inputs.items():
            if (link := link_of(value)) is not None:
                values = self._values.get(link.node, ())
                given[name] = values[link.slot] if link.slot < len(values) else None
            elif name in known or "." in name or node.class_type.startswith("VHS_"):
                given[name] = value
        return given

    def _tell_output(self, node_id: str, ui: Json | None) -> None:
        self._send(
            "executed",
            {
                "node": node_id,
                "display_node": node_id,
                "output": ui,
                "prompt_id": self.prompt.prompt_id,
            },
        )

    def _blame(self, node_id: str) -> Json:
        """Say where a prompt ended."""
        return {
            "prompt_id": self.prompt.prompt_id,
            "node_id": node_id,
            "node_type": self.prompt.graph[node_id].class_type,
            "executed": list(self._executed),
        }

    def _report(self, problem: Exception, given: Json | None) -> Json:
        """Describe an exception as ComfyUI does."""
        kind = type(problem)
        plain = kind.__module__ == "builtins"
        name = kind.__qualname__ if plain else f"{kind.__module__}.{kind.__qualname__}"
        tips = ""
        if isinstance(problem, NodeFailure):
            name, tips = problem.type_name, problem.tips
        return {
            "exception_message": f"{problem}\n{tips}",
            "exception_type": name,
            "traceback": traceback.format_tb(problem.__traceback__),
            "current_inputs": {k: [_printed(v)] for k, v in (given or {}).items()},
            "current_outputs": list(self.prompt.graph),
        }

    def _message(self, event: str, **data: Any) -> None:
        """Tell the client something that the history keeps too."""
        data["timestamp"] = int(self.executor.clock() * 1000)
        self._messages.append((event, data))
        if self.executor.client_id is not None or event == "execution_interrupted":
            self.executor.emit(event, data, self.executor.client_id)

    def _send(self, event: str, data: Json) -> None:
        """Tell the client something; without one, no one is told."""
        if self.executor.client_id is not None:
            self.executor.emit(event, data, self.executor.client_id)


def _printed(value: object) -> object:
    """Print a node's input for an error report."""
    if value is None or isinstance(value, int | float | bool | str):
        return value
    return str(value)
