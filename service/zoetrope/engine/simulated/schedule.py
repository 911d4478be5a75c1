"""The order in which the nodes of a prompt run, as ComfyUI chooses it."""

from collections.abc import Callable

from ...graphs.document import link_of
from ...graphs.graph import Graph


class Schedule:
    """The nodes that still have to run for some outputs; cached ones are left out."""

    def __init__(
        self,
        graph: Graph,
        outputs: list[str],
        *,
        is_cached: Callable[[str], bool],
        is_output: Callable[[str], bool],
    ) -> None:
        self._is_output = is_output
        #: The nodes that wait, with the ones each waits for; in order of discovery.
        self._needs: dict[str, set[str]] = {}
        self._feeds: dict[str, list[str]] = {}
        for output in outputs:
            # An output runs even when it is cached: its files have to be named again.
            stack = [output]
            while stack:
                node_id = stack.pop()
                if node_id in self._needs:
                    continue
                links = map(link_of, graph[node_id].inputs.values())
                above = [link.node for link in links if link is not None]
                wanted = [n for n in dict.fromkeys(above) if not is_cached(n)]
                self._needs[node_id] = set(wanted)
                for upstream in wanted:
                    self._feeds.setdefault(upstream, []).append(node_id)
                stack += [n for n in above if not is_cached(n)]

    def __bool__(self) -> bool:
        return bool(self._needs)

    def pick(self) -> str:
        """Choose the next node: outputs first, then what leads to one soonest."""
        ready = [node_id for node_id, needs in self._needs.items() if not needs]
        for distance in range(3):
            for node_id in ready:
                if self._leads_to_output(node_id, distance):
                    return node_id
        return ready[0]

    def done(self, node_id: str) -> None:
        """Let the nodes behind a finished one move up."""
        del self._needs[node_id]
        for below in self._feeds.pop(node_id, ()):
            self._needs[below].discard(node_id)

    def _leads_to_output(self, node_id: str, distance: int) -> bool:
        """Say whether an output stands exactly so many links below a node."""
        if distance == 0:
            return self._is_output(node_id)
        return any(self._leads_to_output(n, distance - 1) for n in self._feeds.get(node_id, ()))
