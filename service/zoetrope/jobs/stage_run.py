"""One job's stage with one engine: prepared, submitted, followed to its end, and brought home."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec

from ..domain import steps
from ..domain.environment import Environment
from ..domain.job import ENDED, Attempt, Job, State
from ..domain.plan import Plan
from ..domain.query import JobQuery
from ..domain.values import Failure
from ..engine.protocol import (
    Absent,
    Engine,
    Finished,
    Interrupted,
    PromptFailed,
    Queued,
    Started,
    Stats,
)
from ..errors import EngineDown, EngineRefused, Reason, WrongAnswer
from ..gpu.tuner import Metering, Tuner
from ..graphs.recipe import Recipe
from ..graphs.shelf import Recipes
from ..models.hashes import Hashes
from ..places import Places
from ..store.protocol import JobStore
from .durations import LEARNED_FROM, learned
from .environment import environment, names_in
from .fallbacks import needs_free
from .hand_over import hand_over
from .lint_gate import LintGate
from .memory_gate import MemoryGate
from .outcome import DIED, FORGOTTEN, INTERRUPTED, REMOVED, Failed, Obsolete, Outcome, Postponed
from .progress import Brings, Live, ProgressMeter, brought, eta, silence
from .stage_request import StageRequest, outdated_stages, planned, size_key
from .stage_results import bring
from .wrong_answers import WrongAnswers

log = logging.getLogger("zoetrope.jobs")

# An engine that forgets the same prompt this often is dying on it before it can say so.
MOST_RESUBMISSIONS = 5
# A worker that is idle frees within moments; nothing says when it has.
FREE_SECONDS = 0.5


class StageRun:
    """Carries one attempt; it can be begun anew at any point and finds out itself where the prompt is."""

    def __init__(
        self,
        job_id: str,
        engine: Engine,
        *,
        ledger: JobStore,
        recipes: Recipes,
        work: Path,
        stats: Stats,
        patience: float,
        recovering: bool,
        embed_graph: bool,
        standstill: Callable[[], bool],
        clock: Callable[[], float],
        tell: Callable[[str, Live], None],
        gate: LintGate,
        memory: MemoryGate,
        hashes: Hashes,
        places: Places,
        tuner: Tuner | None = None,
    ) -> None:
        self.job_id = job_id
        self._engine = engine
        self._ledger = ledger
        self._recipes = recipes
        self._work = work / job_id
        self._stats = stats
        self._patience = patience
        self._standstill = standstill  # whether no stage may start now
        self._clock = clock
        self._tell = tell
        self._gate = gate
        self._memory = memory
        self._hashes = hashes
        self._places = places
        self._tuner = tuner
        self._metering: Metering | None = None  # while the engine works on it
        self._learned = 1.0  # what this host's own videos say of the recipe's estimate
        self._resubmissions = 0
        self._wrong_answers = WrongAnswers(ledger, job_id, engine.name, clock)
        self._embed_graph = embed_graph
        self._doubt = recovering  # whether the engine may already have the prompt
        self._found: Finished | None = None
        self._interrupted = False  # by ourselves, for a pause
        self.live: Live | None = None
        self.sent = asyncio.Event()  # the engine has the prompt, or never will
        self.prompt_id = ""  # the prompt that it follows now
        self.stuck: Reason | None = None  # the engine answers, but will never run the prompt
        self.restarted = False  # the engine was restarted on purpose; losing the prompt is no crash

    async def run(self, engine_is_done: Callable[[], None]) -> Outcome:
        """Bring the job's present stage home; EngineDown leaves everything as it is, for another run."""
        if self._found is None:
            try:
                ended = await self._until_over()
            except EngineDown as error:
                self._expect_nothing()
                if self.live is not None:
                    self._tell(self.job_id, self.live)
                await self._measured()
                if not isinstance(error, WrongAnswer):
                    raise
                ended = await self._borne(error)
            finally:
                self._expect_nothing()
            engine_is_done()
            await self._measured()
            if not isinstance(ended, Finished):
                return ended
            self._found = ended
        job = await self._ledger.get(self.job_id)
        if job.attempt is None:
            return Obsolete()
        recipe = await self._recipes.of(job)
        return await bring(
            self._engine,
            self._found,
            recipe,
            job,
            self._work,
            say=self._brings,
            index=self._ledger,
            places=self._places,
            embed_graph=self._embed_graph,
        )

    async def _borne(self, error: WrongAnswer) -> Failed:
        """Bear with a wrong answer by raising it for another run; an engine that gives no others has failed."""
        if (failure := await self._wrong_answers.another(error)) is None:
            raise error
        job = await self._ledger.get(self.job_id)
        if job.attempt is not None:
            with contextlib.suppress(EngineDown):
                await self._engine.withdraw(job.attempt.prompt_id)
        return Failed(failure)

    async def step_aside(self, *, running: bool) -> None:
        """Take the prompt back, for a pause, if the engine has not begun it or if that is to end a running one too."""
        attempt = (await self._ledger.get(self.job_id)).attempt
        if attempt is not None and self._found is None:
            self._interrupted = self._interrupted or running
            await self._engine.withdraw(attempt.prompt_id, running=running)

    async def _until_over(self) -> Finished | Failed | Obsolete | Postponed:
        reconnects = self._engine.reconnects
        while True:
            job = await self._ledger.get(self.job_id)
            if job.state in ENDED:
                if (last := _last_attempt(job)) is not None:
                    await self._engine.withdraw(last.prompt_id)
                return Obsolete()
            recipe = await self._recipes.of(job)
            fallbacks = await self._fallback(job, recipe)
            request = StageRequest(
                recipe,
                job,
                fallbacks,
                max_upload=self._stats.max_upload,
                memory=self._stats.gigabytes,
            )
            if job.attempt is None:
                if self._standstill():
                    return Postponed()
                warned = await asyncio.to_thread(
                    self._gate.read, request, self._engine.name, self._stats.version
                )
                # Before the row that names it: a job of an older zoetrope has no version yet.
                version = await asyncio.to_thread(self._recipes.versions.keep, recipe)
                # What was made before by a recipe that was edited since has no plan to be told.
                plan = (
                    request.plan if job.recipe_version or not outdated_stages(recipe, job) else None
                )
                has = await self._has(request)
                decided = self._decided(request, warned, version, plan, has)
                job = await self._ledger.change(self.job_id, decided)
            attempt = job.attempt
            assert attempt is not None
            try:
                if not await self._see_to_it(job, attempt, request):
                    return Postponed()
                self.sent.set()
            except EngineRefused as error:
                return Failed(Failure(kind=error.reason.key, message=error.reason.sentence))
            self._learned = await self._learn(recipe, job, request)
            end = await self._follow(attempt, request)
            if end is not None:
                return end
            await self._measured()
            self._resubmissions += 1
            if self._resubmissions > MOST_RESUBMISSIONS:
                same = self._engine.reconnects == reconnects
                return REMOVED if same else FORGOTTEN

    async def _has(self, request: StageRequest) -> Environment:
        """Say what the engine has besides the graph."""
        models = names_in(request.graph(request.names()))
        return await environment(self._hashes, self._engine.url, self._stats, models)

    async def _learn(self, recipe: Recipe, job: Job, request: StageRequest) -> float:
        done = JobQuery(states=(State.DONE,), recipe=recipe.name, limit=LEARNED_FROM)
        before = [row.job for row in await self._ledger.page(done)]
        return learned(recipe, request.spec.name, self._engine.name, job.ticket.parameters, before)

    def _decided(
        self,
        request: StageRequest,
        warned: tuple[str, ...],
        version: str,
        plan: Plan | None,
        has: Environment,
    ) -> Callable[[Job], Job]:
        graph = request.digest()
        return lambda job: steps.submit(
            job,
            self._clock(),
            self._engine.name,
            graph=graph,
            source=request.source,
            version=self._stats.version,
            attention=self._stats.attention,
            memory=request.memory,
            environment=has,
            fallbacks=request.fallbacks,
            lint=warned,
            recipe_version=version,
            plan=plan,
        )

    async def _see_to_it(self, job: Job, attempt: Attempt, request: StageRequest) -> bool:
        """See to it that the engine has the prompt: found there, or submitted; false if none may start now."""
        if self._doubt:
            place = await self._engine.whereabouts(attempt.prompt_id)
            ran = attempt.started is not None and not self.restarted
            if not isinstance(place, Absent) or ran:
                return True  # it is there; or it ran and is gone, which the follower will say
            if self._standstill():
                return False
            await self._look_again(job, request)
        await self._memory.check(self._engine, self._stats, request)
        self._doubt = True
        if job.stage is not None and needs_free(job.stage, self._engine.name):
            await self._engine.free()
            # ComfyUI frees when its worker is idle, and takes a prompt that is there already before that.
            await asyncio.sleep(FREE_SECONDS)
        sent = await hand_over(
            self._engine,
            request,
            self._work,
            attempt.prompt_id,
            tags={"job": job.id, "stage": request.spec.name, "attempt": str(attempt.number)},
            standstill=self._standstill,
        )
        if not sent:
            return False
        self.restarted = False
        if (await self._ledger.get(job.id)).state in ENDED:
            # Cancelled while it was on its way: the order to withdraw it came too early.
            await self._engine.withdraw(attempt.prompt_id)
        elif self._standstill():
            await self._engine.withdraw(attempt.prompt_id, running=self._interrupted)
        log.info(
            "stage %s submitted",
            request.spec.name,
            extra={"job": job.short, "action": "submit", "engine": self._engine.name},
        )
        return True

    async def _look_again(self, job: Job, request: StageRequest) -> None:
        """Write down what an engine has that does not know the prompt: it may be another process, or another GPU."""
        self._stats = stats = await self._engine.stats()
        if request.recipe.memory_class(stats.gigabytes) < request.plan.memory:
            raise EngineRefused(
                f"The engine {self._engine.name} has forgotten the prompt, and has a smaller GPU now.",
                key="crash",
            )
        has = await self._has(request)
        again = partial(
            steps.submit_again,
            now=self._clock(),
            version=stats.version,
            attention=stats.attention,
            environment=has,
        )
        await self._ledger.change(job.id, again)

    async def _fallback(self, job: Job, recipe: Recipe) -> tuple[str, ...]:
        """Start with the fallbacks that made the last stage of this recipe, size and GPU fit."""
        stage = job.stage
        assert stage is not None
        if stage.attempts or stage.fallbacks:
            return stage.fallbacks
        size = size_key(planned(recipe, job, self._stats.gigabytes))
        known = await self._ledger.known_fallbacks(
            recipe.name, stage.name, size, self._stats.device
        )
        allowed = recipe.fallback_names(recipe.stage(stage.name), job.ticket)
        return tuple(fallback for fallback in known if fallback in allowed)

    async def _follow(
        self, attempt: Attempt, request: StageRequest
    ) -> Finished | Failed | Obsolete | Postponed | None:
        """Watch the prompt; None means that the engine has never run it and does not know it."""
        meter = ProgressMeter(request.graph(request.names()))
        begun = time.monotonic()
        heard = begun
        seen = attempt.started is not None
        self.prompt_id = attempt.prompt_id
        async for event in self._engine.follow(attempt.prompt_id):
            if self.stuck is not None and isinstance(event, Queued):
                raise EngineDown(self.stuck.sentence, self.stuck.next_step, key=self.stuck.key)
            now = time.monotonic()
            await self._wrong_answers.over()
            meter.hear(event)
            if isinstance(event, Finished):
                return event
            if isinstance(event, PromptFailed):
                return Failed(event.failure)
            if isinstance(event, Interrupted | Absent) and await self._is_over(attempt):
                return Obsolete()
            if isinstance(event, Interrupted):
                return Postponed() if self._interrupted else INTERRUPTED
            if isinstance(event, Absent):
                if request.is_made_by(event.saved):
                    # The history is lost, the files are named: fetched and checked like all others.
                    return Finished(event.saved)
                if self._interrupted or (self._standstill() and not seen):
                    return Postponed()
                if seen and not self.restarted:
                    return DIED
                return None
            if isinstance(event, Queued):
                begun = heard = now
                if self._standstill():
                    await self._engine.withdraw(attempt.prompt_id, running=False)
                self._show_place(request, event)
                continue
            if self._metering is None and self._tuner is not None:
                self._metering = self._tuner.started(self._engine.name)
            if not seen:
                seen = True
                begun = now
                await self._ledger.change(self.job_id, lambda j: steps.start(j, self._clock()))
            if not isinstance(event, Started):
                heard = now
            allowed = silence(
                silent=now - heard,
                elapsed=now - begun,
                fraction=meter.fraction,
                estimate=request.estimate,
                patience=self._patience,
            )
            self._show(request, meter, now - begun, now - heard, allowed)
            if now - heard > allowed:
                await self._engine.withdraw(attempt.prompt_id)
                return Failed(
                    Failure(
                        kind="wedged",
                        message=f"No progress for {now - heard:.0f} s in {meter.node or 'it'}.",
                    )
                )
        return None

    async def _is_over(self, attempt: Attempt) -> bool:
        """Return whether a person ended the attempt: cancelled the job, and perhaps has it tried again already."""
        now = (await self._ledger.get(self.job_id)).attempt
        return now is None or now.prompt_id != attempt.prompt_id

    async def _measured(self) -> None:
        """Write down what the engine took of its GPU, as soon as it is done with the prompt."""
        metering, self._metering = self._metering, None
        if metering is None or self._tuner is None:
            return
        if (usage := await self._tuner.ended(metering)) is not None:
            await self._ledger.change(self.job_id, lambda j: steps.measure(j, self._clock(), usage))

    def _brings(self, stage: str, what: Brings) -> None:
        self.live = brought(self.live, stage, self._engine.name, self._clock(), what)
        self._tell(self.job_id, self.live)

    def _expect_nothing(self) -> None:
        """The engine is done, or gone: that nothing moves there means nothing from here on."""
        self.prompt_id = ""
        if self.live is not None:
            self.live = msgspec.structs.replace(self.live, silence=0.0, eta=None)

    def _show_place(self, request: StageRequest, place: Queued) -> None:
        """Show how many prompts of other clients are ahead: how long they take, only those clients know."""
        if not (place.others or (self.live is not None and self.live.behind)):
            return
        now = self._clock()
        self.live = Live(
            stage=request.spec.name,
            engine=self._engine.name,
            behind=place.others,
            started=now,
            moved=now,
        )
        self._tell(self.job_id, self.live)

    def _show(
        self,
        request: StageRequest,
        meter: ProgressMeter,
        elapsed: float,
        silent: float,
        allowed: float,
    ) -> None:
        now = self._clock()
        self.live = Live(
            stage=request.spec.name,
            engine=self._engine.name,
            node=meter.node,
            value=meter.value,
            maximum=meter.maximum,
            fraction=meter.fraction,
            started=now - elapsed,
            eta=eta(elapsed, meter.fraction, request.estimate * self._learned),
            moved=now - silent,
            silence=allowed,
        )
        self._tell(self.job_id, self.live)


def _last_attempt(job: Job) -> Attempt | None:
    stage = job.stage
    return stage.attempts[-1] if stage and stage.attempts else None
