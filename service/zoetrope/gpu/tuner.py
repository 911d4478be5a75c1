"""Between the queue and the GPUs: asks the helper for clocks while work runs, measures it, tells how it went.

No job ever fails for it. A helper that is not there, or says no, leaves the GPU at stock, and the health
check says so.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

import msgspec

from ..domain.usage import STOCK, Usage
from ..engine.restart import died_by_itself
from ..errors import Reason
from ..settings import EngineSettings, GpuSettings
from . import wire
from .bounds import LONGEST_SENTENCE, LONGEST_STAGE
from .canary import Canary
from .card import Card
from .client import HelperClient
from .faults import GpuError
from .profile import declared
from .usage import UsageMeter
from .watch import Watch

log = logging.getLogger("zoetrope.gpu")

# Between two questions how the GPUs stand, so that what a user or the driver did is seen.
ASK_SECONDS = 15.0

# Failures behind which clocks can be that are too bold, and what they are called at the helper.
SUSPICIOUS: dict[str, wire.TroubleKind] = {"crash": "engine", "cuda": "engine"}
# The same for what a finished video looks like: NaNs come out black, wrong sums as noise.
SUSPICIOUS_LOOKS = frozenset({"black", "noise"})


class Metering(msgspec.Struct, frozen=True):
    """One stage at work on a card."""

    card: Card
    meter: UsageMeter


class Tuner:
    """Clocks and measurements of the GPUs that engines work on."""

    def __init__(
        self,
        settings: GpuSettings,
        engines: Sequence[EngineSettings],
        watch: Watch,
        client: HelperClient | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.watch = watch
        self.states: dict[str, wire.CardState] = {}
        self.problem: Reason | None = None  # why the helper is not there, or what it rejects
        self._settings = settings
        self._engines = {engine.name: engine for engine in engines}
        self._client = client or HelperClient(settings.helper_socket)
        self._clock = clock
        self._canary = Canary(engines)
        self._busy: dict[str, int] = {}  # GPU → stages that run on it
        self._idle_since: dict[str, float] = {}
        self._asked: dict[str, type] = {}  # GPU → what was last asked for it
        self._wake = asyncio.Event()
        watch.profile_of = self.profile_of

    @property
    def wanted(self) -> bool:
        """Whether the settings want any GPU tuned."""
        return bool(self._settings.working or self._settings.idle)

    def card_of(self, engine: str) -> Card | None:
        """Say on which GPU an engine works: the one it names, or the only one there is."""
        cards, found = self.watch.cards, self._engines.get(engine)
        if found is not None and found.gpu is not None:
            return self.watch.card(found.gpu)
        return cards[0] if len(cards) == 1 else None

    def profile_of(self, card: str) -> str:
        """Name the profile in force on a GPU; empty is stock."""
        state = self.states.get(card)
        return state.in_force if state is not None else ""

    async def run(self) -> None:
        """Keep the GPUs as the work needs them, until cancelled; then everything goes back to stock."""
        try:
            await self.watch.looked.wait()
            while True:
                # Before looking, so that what happens meanwhile is looked at again.
                self._wake.clear()
                if self.wanted and self.watch.cards:
                    await self._tell_mismatches()
                    await self._bring()
                try:
                    async with asyncio.timeout(self._pause()):
                        await self._wake.wait()
                except TimeoutError:
                    continue
        finally:
            # The helper puts back what this connection asked for.
            self._client.close()

    def started(self, engine: str) -> Metering | None:
        """A stage runs: its GPU is measured, and is to work."""
        card = self.card_of(engine)
        if card is None:
            return None
        self._busy[card.uuid] = self._busy.get(card.uuid, 0) + 1
        self._idle_since.pop(card.uuid, None)
        self._wake.set()
        return Metering(card, self.watch.begin(card))

    async def ended(self, metering: Metering | None) -> Usage | None:
        """The engine is done with it; says what it took."""
        if metering is None:
            return None
        uuid = metering.card.uuid
        self._busy[uuid] -= 1
        if not self._busy[uuid]:
            self._idle_since[uuid] = self._clock()
        self._wake.set()
        return await self.watch.end(metering.meter)

    async def sound(self, usage: Usage | None) -> None:
        """Its video is sound: the profile under which all of it ran has earned that."""
        if (name := _tuned(usage)) and usage is not None:
            await self._ask(
                wire.SoakedRequest(
                    card=usage.card, profile=name, seconds=min(usage.seconds, LONGEST_STAGE)
                )
            )

    async def failed(
        self, engine: str, usage: Usage | None, kind: str, looks: Sequence[str], sentence: str
    ) -> None:
        """It failed; what clocks can be behind goes to the helper."""
        called = SUSPICIOUS.get(kind)
        if called is None and SUSPICIOUS_LOOKS & set(looks):
            called = "output"
        if usage is None or called is None:
            return
        # A host that is switched to a new configuration stops its engines in mid-stage.
        found = self._engines.get(engine)
        if kind != "crash" or await died_by_itself(found.restart if found else None):
            await self._trouble(usage.card, _blamed(usage), called, sentence)

    async def _tell_mismatches(self) -> None:
        """Pass on what self-tests before engines' starts found wrong under a profile."""
        for mismatch in self._canary.look():
            if (card := self.card_of(mismatch.engine)) is not None:
                await self._trouble(card.uuid, mismatch.profile, "selftest", mismatch.sentence)

    async def order(self, question: wire.Apply | wire.Reset) -> None:
        """Pass a user's wish on; a refusal raises what the helper says."""
        if self.watch.card(question.card) is None:
            raise GpuError(
                f"This host has no GPU {question.card}.", "List the GPUs: GET /api/v1/gpu",
                key="gpu-not-found",
            )  # fmt: skip
        answer = await self._client.ask(question)
        self.states = {state.uuid: state for state in answer.cards}
        if answer.reason is not None:
            raise GpuError(answer.reason.sentence, answer.reason.next_step, key=answer.reason.key)
        self._say(None)

    async def _trouble(
        self, card: str, profile: str, kind: wire.TroubleKind, sentence: str
    ) -> None:
        if self.wanted:
            await self._ask(
                wire.TroubleRequest(
                    card=card, profile=profile, kind=kind, sentence=sentence[:LONGEST_SENTENCE]
                )
            )

    async def _bring(self) -> None:
        """Ask for what each GPU should be at, where that has changed; otherwise only how they stand."""
        asked = False
        for card in self.watch.cards:
            if not any(declared(card, self._settings)) and card.uuid not in self.states:
                continue
            want = wire.Work if self._busy.get(card.uuid) else self._at_rest(card)
            if want is None or self._asked.get(card.uuid) is want:
                continue
            if await self._ask(want(card=card.uuid)):
                self._asked[card.uuid] = want
            asked = True
        if not asked:
            await self._ask(wire.StatusRequest())

    def _at_rest(self, card: Card) -> type[wire.Rest] | None:
        since = self._idle_since.get(card.uuid)
        if since is not None and self._clock() - since < self._settings.idle_seconds:
            return None
        return wire.Rest

    async def _ask(self, question: wire.Asked) -> bool:
        """Ask the helper; says whether it was there."""
        if not self.wanted:
            return False
        connection = self._client.connections
        try:
            answer = await self._client.ask(question)
        except GpuError as error:
            self._say(error.reason)
            self._asked.clear()
            self.states.clear()
            return False
        if self._client.connections != connection:
            # With the old connection went everything that was asked for on it.
            self._asked.clear()
            self._wake.set()
        self.states = {state.uuid: state for state in answer.cards}
        if answer.reason is not None or not isinstance(question, wire.StatusRequest):
            self._say(answer.reason)
        return True

    def _say(self, problem: Reason | None) -> None:
        if problem is not None and problem != self.problem:
            log.warning("%s", problem, extra={"action": "gpu"})
        self.problem = problem

    def _pause(self) -> float:
        waits = [
            max(0.05, since + self._settings.idle_seconds - self._clock())
            for uuid, since in self._idle_since.items()
            if self._asked.get(uuid) is wire.Work
        ]
        return min([ASK_SECONDS, *waits])


def _tuned(usage: Usage | None) -> str:
    """Name the one profile under which all of it ran; empty for stock, or where it changed on the way."""
    if usage is None or len(usage.profiles) != 1 or usage.profiles[0] == STOCK:
        return ""
    return usage.profiles[0]


def _blamed(usage: Usage) -> str:
    """Name the profile that may be at fault; empty where all of it ran at stock."""
    return next((name for name in reversed(usage.profiles) if name != STOCK), "")
