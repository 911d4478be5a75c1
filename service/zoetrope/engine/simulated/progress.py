"""The progress_state messages of one prompt: every node so far, again and again."""

from collections.abc import Callable
from typing import Any

Send = Callable[[str, dict[str, Any]], None]


class PromptProgress:
    """What each node of the running prompt has done."""

    def __init__(self, prompt_id: str, send: Send) -> None:
        self._prompt_id = prompt_id
        self._send = send
        self._nodes: dict[str, dict[str, Any]] = {}

    def start(self, node_id: str) -> None:
        """A node begins."""
        self._set(node_id, 0.0, 1.0, "running")

    def update(self, node_id: str, value: float, maximum: float) -> None:
        """A node has come so far."""
        self._set(node_id, value, maximum, "running")

    def finish(self, node_id: str) -> None:
        """A node is done, or was done before."""
        maximum = self._nodes[node_id]["max"] if node_id in self._nodes else 1
        self._set(node_id, maximum, maximum, "finished")

    def _set(self, node_id: str, value: float, maximum: float, state: str) -> None:
        self._nodes[node_id] = {
            "value": value,
            "max": maximum,
            "state": state,
            "node_id": node_id,
            "prompt_id": self._prompt_id,
            "display_node_id": node_id,
            "parent_node_id": None,
            "real_node_id": node_id,
        }
        # A message is encoded later, on another thread: it gets its own copy.
        nodes = {key: dict(entry) for key, entry in self._nodes.items()}
        self._send("progress_state", {"prompt_id": self._prompt_id, "nodes": nodes})
