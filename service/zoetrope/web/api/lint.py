"""What would go wrong in a graph, or in what a ticket would become, over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import msgspec
from aiohttp import web

from ...errors import Reason, RecipeError, Rejected
from ...graphs.document import read
from ...inbox import ticket as tickets
from ...jobs.lint_gate import LintGate
from ...jobs.memory_gate import MemoryGate
from ...jobs.preflight import Preflight, check_graph, check_ticket
from ...runtime import Runtime
from ...structs import primed
from ..endpoint import JSON, Endpoint, check, raw_json, read_json, reply
from ..forms import TicketForm, values
from ..lint_queue import LintQueue
from ..problems import BadRequest

MOST_BYTES = 8 * 1024 * 1024
HOW = (
    'Send {"graph": {...}} with the graph in API format, or {"ticket": {...}} with the keys of a'
    " ticket."
)

Edge = Annotated[float, msgspec.Meta(ge=1, le=65_535)]  # to JSON 640.0 is a whole number as well


class PictureForm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How large the picture is, after its EXIF orientation is applied."""

    width: Edge
    height: Edge

    @property
    def size(self) -> tuple[int, int]:
        """Both edges in whole pixels."""
        return round(self.width), round(self.height)


class LintRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A graph in API format or a ticket, and what else is known.

    The tags say what is meant by a graph; a ticket's recipe has its own. Without `memory_gb` both
    are read for the GPUs of all engines.
    """

    graph: dict[str, Any] | None = None
    ticket: TicketForm | None = None
    picture: PictureForm | None = None
    memory_gb: Annotated[float, msgspec.Meta(gt=0, le=1024)] | None = None
    tags: tuple[str, ...] = ()


# One of the two, and never both; what a graph's tags say, a ticket's recipe says itself.
OBJECT, NOTHING = {"type": "object"}, {"type": "null"}
EITHER = [
    {"required": ["graph"], "properties": {"graph": OBJECT, "ticket": NOTHING}},
    {
        "required": ["ticket"],
        "properties": {"ticket": OBJECT, "graph": NOTHING, "tags": {"maxItems": 0}},
    },
]


class LintApi:
    """The request for a reading."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        # A ticket names a recipe of this host, so its lint is short, and waits for no stranger's graph.
        self._graphs, self._tickets = LintQueue(), LintQueue()

    def endpoints(self) -> list[Endpoint]:
        """Give the addresses of this area."""
        return [
            Endpoint(
                method="POST",
                path="/api/v1/lint",
                handler=self.lint,
                gives={JSON: Preflight},
                takes={
                    JSON: Annotated[LintRequest, msgspec.Meta(extra_json_schema={"oneOf": EITHER})]
                },
                needs_body=True,
                problems=(400, 413, 415),
            )
        ]

    async def lint(self, request: web.Request) -> web.Response:
        """Read a graph, or those of a ticket, as every job's are read before an engine gets them."""
        large = request.clone(client_max_size=MOST_BYTES)
        raw = await read_json(large, how=HOW)
        ticket = raw.get("ticket")
        if isinstance(ticket, dict):
            # Besides its own keys a ticket has the recipe's parameters, which no struct can name.
            try:
                values(ticket, how=HOW)
            except Rejected as error:
                return reply(Preflight(refusal=error.reason))
            raw["ticket"] = {}
        check(raw, LintRequest, how=HOW)
        asked = msgspec.convert(raw, primed(LintRequest))
        if (asked.graph is None) == (asked.ticket is None):
            many = "neither a graph nor a ticket" if asked.graph is None else "both of them"
            raise BadRequest(f"Either a graph or a ticket is checked; the body has {many}.", HOW)
        cards = self._cards(asked)
        if (graph := asked.graph) is not None:
            return raw_json(
                await self._graphs.run(request, lambda gone: self._graph(asked, graph, cards, gone))
            )
        assert isinstance(ticket, dict)
        if asked.tags:
            raise BadRequest("A ticket has no tags; those of its recipe apply.", HOW, key="tags")
        return raw_json(
            await self._tickets.run(request, lambda gone: self._ticket(asked, ticket, cards, gone))
        )

    def _graph(
        self,
        asked: LintRequest,
        graph: dict[str, Any],
        cards: dict[str, float],
        gone: Callable[[], bool],
    ) -> bytes:
        from ...lint.facts import PictureFacts, RecipeFacts, pinned_context

        try:
            document = read(graph, "The graph")
        except RecipeError as error:
            reason = Reason("graph-value", error.reason.sentence, "Fix the graph.")
            return msgspec.json.encode(Preflight(refusal=reason))
        size = asked.picture.size if asked.picture is not None else None
        context = pinned_context(
            recipe=RecipeFacts(tags=frozenset(asked.tags)),
            picture=PictureFacts(width=size[0], height=size[1]) if size is not None else None,
            ignore=self._runtime.settings.lint.ignore,
        )
        gate = LintGate(self._runtime.settings)
        return msgspec.json.encode(check_graph(gate, document, context, cards, gone))

    def _cards(self, asked: LintRequest) -> dict[str, float]:
        """Give the memory of every engine's GPU; 0 where it is not known."""
        if asked.memory_gb is not None:
            return {"": asked.memory_gb}
        conductor = self._runtime.conductor
        workers = conductor.status().workers if conductor is not None else ()
        return (
            {"": 0.0}
            if not workers
            else {
                worker.name: worker.stats.gigabytes if worker.stats else 0.0 for worker in workers
            }
        )

    def _versions(self) -> dict[str, str]:
        """Give the version of every engine's ComfyUI, as far as it is known."""
        conductor = self._runtime.conductor
        workers = conductor.status().workers if conductor is not None else ()
        return {worker.name: worker.stats.version for worker in workers if worker.stats}

    def _ticket(
        self,
        asked: LintRequest,
        said: dict[str, Any],
        cards: dict[str, float],
        gone: Callable[[], bool],
    ) -> bytes:
        settings, recipes = self._runtime.settings, self._runtime.need_recipes()
        size = asked.picture.size if asked.picture is not None else None
        try:
            recipe = tickets.find(recipes, said, "", settings.recipes.default)
            ticket = tickets.resolve(said, recipe)
            gate, memory = LintGate(settings), MemoryGate(settings).finding
            versions = self._versions()
            found = check_ticket(gate, recipe, ticket, cards, size, gone, memory, versions)
        except (RecipeError, Rejected) as error:
            # To whoever asked what would become of it, this is the answer.
            found = Preflight(refusal=error.reason)
        return msgspec.json.encode(found)
