"""The composition root: builds the parts, starts and stops them; no other module knows all of them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import threading
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from . import state_folder
from .domain.job import State
from .engine.comfyui import ComfyEngine
from .engine.embedded import EmbeddedEngine
from .engine.embedded_process import EmbeddedProcess
from .engine.flag_request import FlagRequests
from .engine.protocol import Engine
from .engine.report import EngineReport
from .errors import SettingsError, ZoetropeError
from .gpu.tuner import Tuner
from .gpu.watch import Watch
from .graphs.shelf import of_host
from .graphs.versions import Versions
from .host import trouble
from .inbox.identity import InboxIdentity
from .inbox.intake import Intake
from .inbox.rejected import RejectedPictures
from .inbox.returned import Returned
from .inbox.source_image import Decoder
from .inbox.watcher import Watcher
from .jobs.conductor import Conductor
from .jobs.flag_budget import FlagBudget
from .jobs.keeper import Holding, Keeper
from .jobs.outages import Outages
from .jobs.outbox import Outbox
from .jobs.outbox_identity import OutboxIdentity
from .jobs.published import PublishedVideos
from .jobs.share_answers import ShareAnswers
from .jobs.work import EndedWork, WorkFolders
from .logs import set_up
from .models.hashes import Hashes
from .notifier import Notifier
from .open_files import raise_limit
from .places import Places
from .reload import reload
from .runtime import Runtime
from .settings import EngineSettings, Settings
from .store.checkpoints import keep_current
from .store.retry import until_answered
from .store.sqlite.ledger import Ledger
from .structs import primed
from .systemd import Reporter
from .threads import running_threads
from .web.events import Bus
from .web.server import Server

log = logging.getLogger("zoetrope")

T = TypeVar("T")

# Several engines' reports are read on threads as soon as the service starts.
primed(EngineReport)

# What systemd and users at a terminal wait for; prompts stay with their engines.
STOP_SECONDS = 5.0
# Then the process exits even if something hangs, such as a thread that waits for a dead share: no job
# loses anything, and systemd would kill it later anyway.
LEAVE_SECONDS = 15.0


class App:
    """The whole service on one event loop."""

    def __init__(
        self,
        settings: Settings,
        notifier: Notifier | None = None,
        read: Callable[[], Settings] | None = None,
    ) -> None:
        self._settings = settings
        self._read = read or (lambda: settings)
        self._notifier = notifier or Notifier.from_environ()
        self._bus = Bus(settings.outbox.path)
        self._runtime = Runtime(settings)
        # One for the whole process: after a reload, a thread of the earlier part may still be about to remove
        # versions, and has to hear which ones the new part keeps.
        self._versions = Versions(settings.recipe_versions)
        self.server = Server(self._runtime, self._bus)
        # Of the simulated engines, by name: a reload is no reason to end what they work on.
        self._processes: dict[str, EmbeddedProcess] = {}
        self._outages = Outages()

    async def run(self, stop: asyncio.Event, again: asyncio.Event | None = None) -> None:
        """Serve until `stop` is set; the page starts first, so that it can show every later error.

        Each time `again` is set, the settings are reloaded.
        """
        again = again or asyncio.Event()
        await self.server.start()
        work = asyncio.create_task(self._work())
        stopping = asyncio.create_task(stop.wait())
        try:
            while True:
                asked = asyncio.create_task(again.wait())
                await asyncio.wait((work, stopping, asked), return_when=asyncio.FIRST_COMPLETED)
                asked.cancel()
                if work.done() or stopping.done():
                    break
                again.clear()
                work = await self._reload(work)
            if work.done() and work.cancelled():
                # Nobody asked for it, and an end without an error would pass for the one that was asked for.
                raise ZoetropeError(
                    "The service's own work was cancelled from within.",
                    "The next start goes on where it was; please report this.",
                    key="work-cancelled",
                )
        finally:
            self._notifier.stopping()
            stopping.cancel()
            try:
                if not await ended(work):
                    log.warning(
                        "running tasks did not end within %g s; their jobs resume at the next start",
                        STOP_SECONDS,
                        extra={"action": "stop-unfinished"},
                    )
            finally:
                await self._end_processes(())
                await self.server.stop()

    async def _reload(self, work: asyncio.Task[None]) -> asyncio.Task[None]:
        """Reload the settings and restart what works with them; no job is lost.

        The process, the page and its open connections stay.
        """
        self._notifier.reloading()
        try:
            outcome = reload(self._settings, await asyncio.to_thread(self._read))
        except SettingsError as error:
            rejected = {"action": "reload-refused"}
            log.error("settings not reloaded, the old ones stay: %s", error, extra=rejected)  # noqa: TRY400
            self._notifier.ready()
            return work
        log.info("%s", outcome, extra={"action": "reload"})
        if not outcome.changed:
            self._notifier.ready()
            return work
        # The ledger has to be closed before it can be opened again, however long that takes.
        while not await ended(work):
            log.warning(
                "the reload waits until running tasks have ended", extra={"action": "reload-waits"}
            )
        self._settings = self._runtime.settings = outcome.settings
        await self._end_processes(outcome.settings.engines)
        return asyncio.create_task(self._work())

    async def _end_processes(self, engines: Sequence[EngineSettings]) -> None:
        """End the simulated engines that are not among these."""
        wanted = {engine.name for engine in engines if engine.simulated}
        gone = [self._processes.pop(name) for name in set(self._processes) - wanted]
        await asyncio.gather(*(process.close() for process in gone))

    async def _work(self) -> None:
        reporter = Reporter(self._notifier, self._runtime)
        async with asyncio.TaskGroup() as group:
            group.create_task(reporter.run(), name="reporter")
            await state_folder.close_in_time(self._settings)
            # Before the service is ready: on a host that boots, the engines are started after it.
            flag_requests = FlagRequests(self._settings.engines, self._settings.flag_requests)
            await asyncio.to_thread(flag_requests.publish)
            self._runtime.flag_requests = flag_requests
            ledger = await self._until_answered(lambda: Ledger.open(self._settings.ledger_file))
            try:
                await self._serve(ledger, flag_requests)
            finally:
                self._runtime.ledger = None
                await ledger.close()

    async def _until_answered(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask the ledger until it answers; page and systemd meanwhile show the error and the next step."""
        answer = await until_answered(ask, self._show_problem)
        self._runtime.problem = None
        return answer

    def _show_problem(self, error: ZoetropeError) -> None:
        self._runtime.problem = error.reason
        self._notifier.ready(str(error))

    def _engine(self, settings: EngineSettings, client_id: str) -> Engine:
        """Make the client of an engine; each has an id of its own, the same after every start."""
        own_id = f"{client_id}-{settings.name}"
        if settings.simulated:
            home = self._settings.state.path / "simulated" / settings.name
            process = self._processes.setdefault(
                settings.name, EmbeddedProcess(settings.name, home)
            )
            return EmbeddedEngine(settings, own_id, process)
        return ComfyEngine(settings, own_id)

    async def _serve(self, ledger: Ledger, flag_requests: FlagRequests) -> None:
        settings = self._settings
        recipes = of_host(settings, self._versions)
        # The name under which engines know the service of this ledger.
        client_id = await self._until_answered(
            lambda: ledger.fact("client-id", lambda: f"zoetrope-{uuid.uuid4().hex}")
        )
        budget = FlagBudget(settings, recipes)
        await asyncio.to_thread(budget.ask, flag_requests)
        tuner = Tuner(settings.gpu, settings.engines, Watch())
        identity = OutboxIdentity(settings.outbox.path, settings.outbox_identity)
        outbox = Outbox(settings.outbox.path, identity)
        returned = Returned(settings, identity)
        if not (await self._until_answered(ledger.counts))[State.DONE]:
            # An error of the outbox is reported when there is something to publish.
            with contextlib.suppress(OSError):
                await asyncio.to_thread(outbox.prepare)
        places = Places.of_host()
        hashes = Hashes(settings.models.path, settings.models.folders, settings.model_hashes)
        conductor = Conductor(
            settings,
            ledger=ledger,
            recipes=recipes,
            engines=[self._engine(each, client_id) for each in settings.engines],
            outbox=outbox,
            withdraw=returned.withdraw,
            give_back=returned.give_back,
            take_back=returned.take_back,
            tell=self._bus.progress,
            hashes=hashes,
            places=places,
            tuner=tuner,
            outages=self._outages,
            flag_requests=flag_requests,
        )
        answers = ShareAnswers(
            settings.outbox.path,
            ledger=ledger,
            approve=conductor.approve,
            decline=conductor.decline,
            tidy=conductor.tidy,
            work=settings.work,
        )
        keeper = Keeper(
            settings,
            _holdings(settings, ledger, returned),
            short=lambda: conductor.status().paused is not None,
        )
        decoder = Decoder(settings.inbox, places=places)
        inbox = InboxIdentity(settings.inbox.path, settings.state.path / "inbox.json")
        watcher = Watcher(settings.inbox, on_seen=decoder.warm, identify=inbox.check)
        intake = Intake(settings, ledger, recipes, decoder, outbox=identity, identify=inbox.check)
        ledger.on_change(lambda _, job: self._bus.job(job))
        ledger.on_change(self._runtime.tally.see)
        self._runtime.ledger = ledger
        self._runtime.conductor = conductor
        self._runtime.recipes = recipes
        self._runtime.hashes = hashes
        self._runtime.intake = intake
        self._runtime.submissions = intake.submissions
        self._runtime.readmission = intake.readmission
        self._runtime.watcher = watcher
        self._runtime.tuner = tuner
        self._runtime.keeper = keeper
        self._notifier.ready()
        log.info("ready; the inbox is %s", settings.inbox.path, extra={"action": "ready"})
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(tuner.watch.run(), name="watch")
                group.create_task(tuner.run(), name="tuner")
                group.create_task(budget.run(flag_requests), name="budget")
                group.create_task(hashes.run(), name="hashes")
                group.create_task(conductor.run(), name="conductor")
                group.create_task(answers.run(), name="answers")
                group.create_task(keeper.run(), name="keeper")
                group.create_task(keep_current(ledger), name="checkpoints")
                group.create_task(watcher.run(), name="watcher")
                group.create_task(intake.run(watcher), name="intake")
        finally:
            self._runtime.conductor = self._runtime.intake = self._runtime.watcher = None
            self._runtime.tuner = self._runtime.submissions = self._runtime.recipes = None
            self._runtime.readmission = None
            self._runtime.hashes = None
            self._runtime.keeper = None
            await decoder.close()


def _holdings(settings: Settings, ledger: Ledger, returned: Returned) -> list[Holding]:
    """List the folders that retention cleans."""
    moved = settings.inbox.claim == "move"
    homes = (settings.inbox.path, settings.outbox.path) if moved else (settings.outbox.path,)
    places: list[Holding] = [
        EndedWork(WorkFolders(settings.work), ledger, time.time, give_back=returned.give_back),
        RejectedPictures(*homes),
    ]
    if settings.keep.outbox_days:
        places.append(PublishedVideos(settings.outbox.path, ledger, time.time))
    return places


async def ended(work: asyncio.Task[None]) -> bool:
    """Cancel the work once, and wait a while until it has cleaned up; returns whether it has."""
    if not work.cancelling():
        work.cancel()
    # Not a timeout around the task itself: that would cancel its clean-up as well.
    await asyncio.wait({work}, timeout=STOP_SECONDS)
    if not work.done():
        return False
    if not work.cancelled() and (error := work.exception()) is not None:
        raise error
    return True


def run(read: Callable[[], Settings], *, debug: bool = False) -> int:
    """Run the service until SIGTERM or SIGINT; returns the exit code of the process.

    SIGHUP reloads the settings, except at a terminal, where it means that the terminal is gone.
    """
    settings = read()
    set_up(journal="JOURNAL_STREAM" in os.environ, debug=debug)
    raise_limit()
    code, over = 0, False

    async def work() -> None:
        nonlocal over
        await _until_signalled(settings, read)
        over = True

    try:
        asyncio.run(work())
    except* ZoetropeError as group:
        for error in leaves(group):
            log.error("%s", error)  # noqa: TRY400 - the sentence says what to do
        code = 1
    except* (RuntimeError, OSError) as group:
        # At the start the host may have no thread or descriptor left, nor, at the end, one for asyncio to end its pool.
        reasons = [trouble(error) for error in leaves(group)]
        if None in reasons:
            raise
        log.error("%s", reasons[0])  # noqa: TRY400 - the sentence says what to do
        code = max(code, 0 if over else 1)
    return code


def leaves(group: BaseExceptionGroup[Any]) -> Iterator[BaseException]:
    """List the errors of a group, however deep they lie in groups of their own."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from leaves(error)
        else:
            yield error


def _threads() -> ThreadPoolExecutor:
    try:
        return running_threads()
    except RuntimeError as error:
        if (reason := trouble(error)) is None:
            raise
        raise ZoetropeError(reason.sentence, reason.next_step, key=reason.key) from error


async def _until_signalled(settings: Settings, read: Callable[[], Settings]) -> None:
    stop, again = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_default_executor(_threads())

    def leave() -> None:
        stop.set()
        last = threading.Timer(LEAVE_SECONDS, _leave)
        last.daemon = True
        with contextlib.suppress(RuntimeError):  # the host has no thread left
            last.start()

    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, leave)
    if not os.isatty(0):
        loop.add_signal_handler(signal.SIGHUP, again.set)
    await App(settings, read=read).run(stop, again)


def _leave() -> None:
    log.warning(
        "a thread did not end within %g s; exiting without it",
        LEAVE_SECONDS,
        extra={"action": "stop-forced"},
    )
    logging.shutdown()
    os._exit(0)
