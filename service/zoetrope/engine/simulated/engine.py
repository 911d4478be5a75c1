"""The simulated engine as a whole: a ComfyUI-compatible server that can be embedded."""

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from aiohttp import web

from ...graphs import catalog
from .cache import CacheMode
from .errors import EngineDied
from .execute import Executor
from .faults import Fault, Faults
from .files import Files
from .kept import KEPT_PROMPTS
from .models import DEFAULT_MODELS, ModelNames
from .queue import Outcome, PromptQueue, QueuedPrompt
from .release import release
from .server import SimulatedServer
from .sockets import Sockets

_log = logging.getLogger(__name__)


class SimulatedEngine:
    """A server on loopback that answers as ComfyUI does and does real arithmetic.

    `start` and `stop` may be called again and again; each start is a new process as far as
    clients can tell: queue, history, node cache and temp folder are empty, files remain.
    """

    def __init__(
        self,
        home: Path,
        *,
        step_seconds: float = 0.0,
        models: ModelNames = DEFAULT_MODELS,
        faults: Sequence[Fault] = (),
        cache: CacheMode = "classic",
        respawn_seconds: float | None = None,
        on_death: Callable[[], None] | None = None,
        clock: Callable[[], float] = time.time,
        localtime: Callable[[], time.struct_time] = time.localtime,
        version: str = catalog.PINNED,
        keep: int = KEPT_PROMPTS,
    ) -> None:
        self._version = version
        self._keep = keep or KEPT_PROMPTS
        self.files = Files(home, models, localtime, keep)
        self.faults = Faults(tuple(faults))
        self.url = ""
        self._step_seconds = step_seconds
        self._cache = cache
        self._respawn_seconds = respawn_seconds
        self._on_death = on_death
        self._clock = clock
        self._host, self._port = "127.0.0.1", 0
        self._runner: web.AppRunner | None = None
        self._publisher: asyncio.Task[None] | None = None
        self._reborn: asyncio.Task[None] | None = None
        self._leaving = asyncio.Event()
        self._worker: threading.Thread | None = None
        self._queue: PromptQueue | None = None
        self._executor: Executor | None = None
        self._sockets: Sockets | None = None

    @property
    def running(self) -> bool:
        """Whether the engine answers."""
        return self._runner is not None

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> str:
        """Start to listen and return the address; port 0 takes a free one."""
        if self._runner is not None:
            raise RuntimeError("the simulated engine is already running")
        self._leaving.clear()
        self.faults.context_lost = False
        await asyncio.to_thread(self.files.prepare)
        features = release(self._version).features
        sockets = Sockets(self.faults, features, lambda: server.queue_info())
        queue = PromptQueue(
            lambda: sockets.emit("status", {"status": server.queue_info()}, None), self._keep
        )
        executor = Executor(
            catalog=catalog.load(self._version),
            files=self.files,
            faults=self.faults,
            emit=sockets.emit,
            clock=self._clock,
            step_seconds=self._step_seconds,
            cache=self._cache,
        )
        server = SimulatedServer(
            catalog=executor.catalog,
            files=self.files,
            faults=self.faults,
            queue=queue,
            executor=executor,
            sockets=sockets,
        )
        runner = web.AppRunner(
            server.application(), access_log=None, handler_cancellation=True, shutdown_timeout=0.1
        )
        await runner.setup()
        site = web.TCPSite(runner, host, port)
        try:
            await site.start()
        except OSError:
            await runner.cleanup()
            raise
        # The port stays the same over restarts, as a service's would.
        self._host, self._port = host, int(runner.addresses[0][1])
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{self._port}"
        self._runner, self._queue, self._executor, self._sockets = runner, queue, executor, sockets
        self._publisher = asyncio.create_task(sockets.publish())
        loop = asyncio.get_running_loop()
        self._worker = threading.Thread(
            target=_work,
            args=(queue, executor, lambda: loop.call_soon_threadsafe(self._die)),
            name="rehearsal",
            daemon=True,
        )
        self._worker.start()
        return self.url

    async def stop(self) -> None:
        """Stop at once, as a killed process would; what waited or ran is lost."""
        self._leaving.set()
        if self._reborn is not None:
            await self._reborn
        await self._halt()

    async def restart(self) -> str:
        """Stop and start again on the same port."""
        await self.stop()
        return await self.start(self._host, self._port)

    async def _halt(self) -> None:
        """Close everything that `start` opened."""
        runner, self._runner = self._runner, None
        if runner is None:
            return
        assert self._queue is not None
        assert self._executor is not None
        assert self._sockets is not None
        self._executor.stopping.set()
        self._queue.close()
        self._sockets.drop()
        await runner.cleanup()
        if self._publisher is not None:
            self._publisher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._publisher
        if self._worker is not None:
            await asyncio.to_thread(self._worker.join)

    def _die(self) -> None:
        """Vanish as a process does that exits in the middle of its work."""
        if self._on_death is not None:
            self._on_death()
        if self._runner is not None and self._reborn is None:
            self._reborn = asyncio.create_task(self._go_and_come_back())

    async def _go_and_come_back(self) -> None:
        """Go down, and come back if someone watches over this engine."""
        await self._halt()
        if self._respawn_seconds is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._respawn_seconds):
                    await self._leaving.wait()
            if not self._leaving.is_set():
                await self.start(self._host, self._port)
        self._reborn = None


def _tidy(queue: PromptQueue, executor: Executor, ended: QueuedPrompt) -> None:
    """Let files go that no one has used for long; what prompts need that wait stays."""
    running, waiting = queue.snapshot()
    wanted = {path for each in running + waiting for path in executor.read_by(each.graph)}
    try:
        executor.files.kept.ended(executor.read_by(ended.graph), wanted)
    except OSError as error:
        _log.warning("old files cannot be removed: %s", error, extra={"action": "simulate"})


def _work(queue: PromptQueue, executor: Executor, died: Callable[[], object]) -> None:
    """Run prompts one after another until the engine goes down."""
    while not queue.closed:
        prompt = queue.take()
        if prompt is not None:
            if executor.faults.strikes("no_worker"):
                # As where ComfyUI's own thread dies: no event, no history, and no order reaches anybody.
                return
            try:
                outcome = executor.run(prompt)
            except EngineDied:
                if not executor.stopping.is_set():
                    died()
                return
            except Exception:
                # A graph that no one thought of fails alone; the worker goes on.
                _log.exception(
                    "a prompt crashed the simulated engine", extra={"action": "simulate"}
                )
                outcome = Outcome(success=False, messages=[], outputs={}, meta={})
            client = executor.client_id
            # Before a client can know that it has ended, so that what it then sees stays as it is.
            _tidy(queue, executor, prompt)
            queue.done(prompt, outcome)
            if client is not None:
                done = {"node": None, "prompt_id": prompt.prompt_id}
                executor.emit("executing", done, client)
        if "free_memory" in queue.lower_flags():
            executor.cache.clear()
