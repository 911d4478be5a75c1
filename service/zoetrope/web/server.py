"""The web server: the application put together, and its start and stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from ..errors import ZoetropeError
from ..health.base import Health
from ..health.standard import standard
from ..open_files import limit
from ..runtime import Runtime
from . import login, page
from .api.artefacts import ArtefactsApi
from .api.backup import BackupApi
from .api.engines import EnginesApi
from .api.environment import EnvironmentApi
from .api.events import PATIENCE, PAUSE, EventsApi
from .api.gpu import GpuApi
from .api.health import HealthApi
from .api.jobs import Jobs
from .api.lint import LintApi
from .api.lost import LostApi
from .api.metrics import MetricsApi
from .api.openapi import OpenApi
from .api.recipes import RecipesApi
from .api.settings import SettingsApi
from .api.status import StatusApi
from .api.upload import clear
from .connections import OpenConnections, listen, share
from .endpoint import Endpoint
from .events import Bus
from .guard import access, add_headers, guard
from .guesses import Guesses
from .problems import as_problems

LOG = logging.getLogger(__name__)

# What aiohttp says of requests that are no HTTP, with a traceback each: anybody could fill the journal.
HTTP = logging.getLogger("zoetrope.web.http")
_BROKEN_REQUESTS = (HttpProcessingError, web.RequestPayloadError)
HTTP.addFilter(lambda record: not isinstance(_cause(record), _BROKEN_REQUESTS))

LOOK = 10.0  # seconds between two looks at the health while somebody watches
SMALL = 64 * 1024  # bytes of any body that is not an upload


def _cause(record: logging.LogRecord) -> BaseException | None:
    return record.exc_info[1] if record.exc_info else None


def make_app(
    runtime: Runtime,
    bus: Bus,
    health: Health | None = None,
    *,
    pause: float = PAUSE,
    patience: float = PATIENCE,
    clock: Callable[[], float] = time.monotonic,
) -> web.Application:
    """Put the application together; parts that are missing now may be filled in later."""
    who = access(runtime.settings.web, runtime.settings.state.path / "login-key")
    guesses = Guesses(clock)
    app = web.Application(middlewares=[as_problems, guard(who, guesses)], client_max_size=SMALL)
    app.on_response_prepare.append(add_headers)
    events = EventsApi(bus, pause=pause, patience=patience)
    found = api(runtime, health or standard(runtime), events)
    found += OpenApi(found, token=who.digest is not None).endpoints()
    routes = [each.route() for each in found]
    app.add_routes([*page.routes(), *login.routes(who, guesses), *routes])

    async def end_streams(_: web.Application) -> None:
        bus.close()

    app.on_shutdown.append(end_streams)
    return app


def api(runtime: Runtime, health: Health, events: EventsApi) -> list[Endpoint]:
    """List every address of the API but the one that describes them."""
    return [
        *HealthApi(health).endpoints(),
        *StatusApi(runtime).endpoints(),
        *Jobs(runtime).endpoints(),
        *ArtefactsApi(runtime).endpoints(),
        *LostApi(runtime).endpoints(),
        *BackupApi(runtime).endpoints(),
        *RecipesApi(runtime).endpoints(),
        *EnginesApi(runtime).endpoints(),
        *EnvironmentApi(runtime).endpoints(),
        *SettingsApi(runtime).endpoints(),
        *LintApi(runtime).endpoints(),
        *GpuApi(runtime).endpoints(),
        *MetricsApi(runtime).endpoints(),
        *events.endpoints(),
    ]


class Server:
    """The application on its address."""

    def __init__(self, runtime: Runtime, bus: Bus, health: Health | None = None) -> None:
        self._runtime = runtime
        self._bus = bus
        self._health = health or standard(runtime)
        self._runner: web.AppRunner | None = None
        self._listening: asyncio.Server | None = None
        self._watching: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen; what a crash left of uploads is removed first."""
        settings = self._runtime.settings
        app = make_app(self._runtime, self._bus, self._health)
        await asyncio.to_thread(clear, self._runtime.uploads)
        self._runner = web.AppRunner(app, shutdown_timeout=5.0)
        await self._runner.setup()
        assert self._runner.server is not None
        room = share(limit())
        # No line in the journal for each request: a page that is open asks all day.
        open_connections = OpenConnections(self._runner.server, room, access_log=None, logger=HTTP)
        try:
            self._listening = await listen(
                open_connections, settings.web.host, settings.web.port, room
            )
        except OSError as error:
            await self._runner.cleanup()
            raise ZoetropeError(
                f"web.listen: {settings.web.listen} cannot be used ({error.strerror}).",
                "Stop what listens there (ss -ltnp), or choose another port.",
                key="listen",
            ) from error
        self._watching = asyncio.create_task(self._watch(), name="health events")
        LOG.info("the page is at %s", self.url)

    async def stop(self) -> None:
        """End every stream and let the address go."""
        if self._watching is not None:
            self._watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watching
        if self._listening is not None:
            self._listening.close()
        if self._runner is not None:
            await self._runner.cleanup()

    @property
    def url(self) -> str:
        """Where the page is; the port is the real one where the settings say 0."""
        host = self._runtime.settings.web.host
        port = self._runtime.settings.web.port
        if self._listening is not None and self._listening.sockets:
            port = self._listening.sockets[0].getsockname()[1]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    async def _watch(self) -> None:
        """Tell changes of the health to those who watch; looks at nothing while nobody does."""
        last: object = None
        while True:
            await asyncio.sleep(LOOK)
            if not self._bus.readers:
                continue
            report = await self._health.report()
            verdicts = [(check.name, check.level) for check in report.checks]
            if verdicts != last:
                last = verdicts
                self._bus.health(report)
