"""ComfyUI over HTTP and WebSocket; events are a hint, queue and history are the truth."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from ...address import Address, is_local
from ...domain.values import Artefact
from ...errors import EngineDown, EngineGone, EngineRefused, Reason, WrongAnswer
from ...graphs.catalog import Catalog
from ...graphs.document import encode
from ...graphs.graph import Graph
from ...settings import EngineSettings
from .. import report
from ..protocol import (
    MAX_UPLOAD,
    MOST_FETCHED,
    Absent,
    Cached,
    Event,
    Finished,
    Interrupted,
    Output,
    PromptFailed,
    QueueEntry,
    Started,
    Stats,
    Step,
    Whereabouts,
)
from ..restart import restart_engine
from . import decoder, submission
from .answer import failing
from .download import download
from .events import Executed, Over, Said
from .socket import Socket
from .transport import ANSWER, TRANSFER, WholeAnswer, deadline, session, whole

log = logging.getLogger("zoetrope.engine")

# The history is written a moment after the last event; longer than this means it will not come.
SETTLING_SECONDS = 10.0


class ComfyEngine:
    """One ComfyUI server."""

    def __init__(self, settings: EngineSettings, client_id: str) -> None:
        self.name = settings.name
        # As it may be shown; what opens the engine stays in the address.
        self.address = Address(settings.url)
        self._settings = settings
        self._client_id = client_id
        self._session: aiohttp.ClientSession | None = None
        self._socket: Socket | None = None
        self._waits: Reason | None = None  # for what a restart would wait, at the last look

    @property
    def url(self) -> str:
        """The address, without what opens it."""
        return str(self.address)

    async def start(self) -> None:
        """Open the session and begin to listen to events."""
        self._session = session()
        # The client id is the ledger's own, so that a new process hears of prompts its predecessor
        # sent: ComfyUI tells a prompt's events only to the id that submitted it.
        events = self.address.to("/ws", clientId=self._client_id)
        self._socket = Socket(self._session, events, self.address.redacted)
        self._socket.start()

    async def close(self) -> None:
        """Close every connection; the engine keeps its prompts."""
        if self._socket is not None:
            await self._socket.close()
        if self._session is not None:
            await self._session.close()

    async def stats(self) -> Stats:
        """Ask the engine what it is."""
        stats = decoder.stats(await self._ask("/system_stats"))
        limit = MAX_UPLOAD
        # Older than this listing, or it says nothing that anybody needs.
        with contextlib.suppress(WrongAnswer):
            limit = decoder.max_upload(await self._ask("/features"))
        found, self._waits = await asyncio.to_thread(self._noted)
        return msgspec.structs.replace(stats, max_upload=limit, runtime=found)

    def _noted(self) -> tuple[report.EngineReport | None, Reason | None]:
        """Read what the host noted of it: before its start, and instead of a restart."""
        return report.known(self._settings.report), report.pending(self._settings.pending)

    async def catalog(self) -> Catalog:
        """Ask which nodes the engine has; a large answer, so nothing asks for it on the way of a job."""
        stats = await self.stats()
        nodes = await self._ask("/object_info")
        return await asyncio.to_thread(decoder.object_info, nodes, stats.version)

    async def upload(self, file: Path, name: str) -> str:
        """Give the engine a file under a name of our own making; returns the name it chose."""
        with file.open("rb") as source:
            form = aiohttp.FormData()
            form.add_field("image", source, filename=name, content_type="application/octet-stream")
            form.add_field("subfolder", submission.SUBFOLDER)
            form.add_field("type", "input")
            within = deadline(os.fstat(source.fileno()).st_size)
            try:
                async with asyncio.timeout(within):
                    answer = await self._send("/upload/image", data=form, timeout=TRANSFER)
            except TimeoutError as error:
                raise self._down(error) from error
        if answer.status == 500:
            # ComfyUI says no more where its input folder cannot be written; 502 to 504 are a proxy's words.
            raise EngineRefused(
                f"It answers {answer.status} to the upload of {name}.",
                "See the log and the disk of the engine.",
                key="upload-failed",
            )
        if answer.status not in (200, *submission.JUDGED):
            raise failing(answer.status, "an upload")
        if answer.status != 200:
            raise EngineRefused(
                f"The engine rejected the upload of {name} ({answer.status}).",
                "See the log and the disk of the engine.",
                key="upload-refused",
            )
        return decoder.uploaded(answer.body, name, submission.SUBFOLDER)

    async def submit(self, graph: Graph, prompt_id: str, *, tags: Mapping[str, str]) -> None:
        """Queue a prompt under our id."""
        if missing := await self._missing_models(graph):
            raise EngineRefused(
                f"The engine is missing {', '.join(missing)}.",
                "Put the file into the engine's models folder; the job resumes by itself.",
                key="model-missing",
            )
        if self._socket is not None:
            self._socket.forget(prompt_id)
        answer = await self._send(
            "/prompt",
            json={
                "prompt": encode(graph),
                "prompt_id": prompt_id,
                "client_id": self._client_id,
                "extra_data": {"zoetrope": dict(tags)},
            },
        )
        refused = submission.refusal(answer.status, answer.body, prompt_id, graph)
        if refused is not None:
            # A 200 that carries errors has queued the sound half: take that back.
            if answer.status == 200:
                await self.withdraw(prompt_id)
            raise refused

    async def queue(self) -> tuple[QueueEntry, ...]:
        """List every client's prompts, in the order in which they run."""
        return decoder.queue(await self._ask("/queue"), self._client_id)

    async def whereabouts(self, prompt_id: str) -> Whereabouts:
        """Ask the queue, then the history; in this order a prompt that moves on is never missed."""
        if (place := decoder.queue_place(await self.queue(), prompt_id)) is not None:
            return place
        ended = decoder.history(await self._ask(f"/history/{prompt_id}"), prompt_id)
        return ended if ended is not None else Absent()

    async def follow(self, prompt_id: str) -> AsyncIterator[Event]:
        """Tell what happens to a prompt until it has ended or is absent."""
        assert self._socket is not None
        with self._socket.subscribe(prompt_id) as messages:
            place = self._remembered(prompt_id, await self.whereabouts(prompt_id))
            yield place
            while not isinstance(place, Finished | PromptFailed | Interrupted | Absent):
                heard = await self._next(messages)
                if isinstance(heard, Over):
                    place = self._remembered(prompt_id, await self._settled(prompt_id))
                    yield place
                elif isinstance(heard, Started | Cached | Step):
                    yield heard
                elif not isinstance(heard, Executed):
                    place = self._remembered(prompt_id, await self.whereabouts(prompt_id))
                    yield place
                    if heard is None and isinstance(place, Started):
                        # Running and silent: another socket may have taken our stream over.
                        self._socket.renew()

    async def fetch(self, output: Output, to: Path, most: int = MOST_FETCHED) -> Artefact:
        """Bring one output file here, whole and on disk, or raise OutputVanished, Oversized or NotGiven."""
        try:
            return await download(self._http, self.address, output, to, most)
        except aiohttp.ClientConnectorError as error:
            raise self._down(error) from error

    async def withdraw(self, prompt_id: str, *, running: bool = True) -> None:
        """Take a prompt back, waiting or running; the order of the two calls leaves no gap."""
        await self._send("/queue", json={"delete": [prompt_id]})
        if running:
            await self._send("/interrupt", json={"prompt_id": prompt_id})

    async def free(self) -> None:
        """Ask for models and caches to be dropped when the engine is idle."""
        await self._send("/free", json={"unload_models": True, "free_memory": True})

    @property
    def reconnects(self) -> int:
        """How often the socket was opened again."""
        return self._socket.reconnects if self._socket is not None else 0

    @property
    def starts_anew(self) -> bool:
        """Its process is its own, and goes on whatever becomes of the service."""
        return False

    @property
    def here(self) -> bool:
        """Whether its address is a loopback one."""
        return is_local(self.url)

    @property
    def home(self) -> Path | None:
        """ComfyUI does not say."""
        return None

    @property
    def can_restart(self) -> bool:
        """Whether the settings name a way to restart it, and it would come back before the host's reboot."""
        return self._settings.restart is not None and self._waits is None

    async def restart(self) -> None:
        """Restart the engine."""
        if self._settings.restart is None:
            raise EngineDown(
                f"No way to restart the engine {self.name} is set.",
                "Set engines.restart in the settings.",
                key="restart-unset",
            )
        # It may have been noted since the last look.
        waits = await asyncio.to_thread(report.pending, self._settings.pending)
        if waits is not None:
            raise EngineDown(waits.sentence, waits.next_step, key=waits.key)
        log.warning("restarting engine", extra={"engine": self.name, "action": "engine-restart"})
        await restart_engine(self._settings.restart)

    @property
    def _http(self) -> aiohttp.ClientSession:
        # The page takes orders before the engines are started, and until after they are closed.
        if self._session is None or self._session.closed:
            raise EngineDown(
                f"The engine {self.name} is not connected.",
                "It is connected when the service has started.",
            )
        return self._session

    async def _next(self, messages: asyncio.Queue[Said | bool]) -> Said | bool | None:
        """Wait for a message, a doubt (True), or silence (None)."""
        # Not wait_for: before Python 3.12 it can swallow a cancellation that comes with a message.
        try:
            async with asyncio.timeout(self._settings.silence_seconds):
                return await messages.get()
        except TimeoutError:
            return None

    def _remembered(self, prompt_id: str, place: Whereabouts) -> Whereabouts:
        """Give what the socket said of a prompt, if another client has cleared the history of it."""
        if not isinstance(place, Absent) or self._socket is None:
            return place
        return self._socket.heard(prompt_id).ending()

    async def _settled(self, prompt_id: str) -> Whereabouts:
        """Wait for the history that follows the last event."""
        waited, pause = 0.0, 0.01
        while True:
            place = await self.whereabouts(prompt_id)
            if (
                isinstance(place, Finished | PromptFailed | Interrupted)
                or waited > SETTLING_SECONDS
            ):
                return place
            await asyncio.sleep(pause)
            waited += pause
            pause = min(pause * 1.5, 0.5)

    async def _missing_models(self, graph: Graph) -> list[str]:
        wanted = decoder.unchecked_models(graph)
        listed: dict[str, frozenset[str]] = {}
        for listing in dict.fromkeys(where for _, listings in wanted for where in listings):
            # An engine without a listing says nothing about its files.
            with contextlib.suppress(WrongAnswer):
                listed[listing] = decoder.listing(await self._ask(f"/models/{listing}"))
        missing = []
        for file, listings in wanted:
            told = [listed[where] for where in listings if where in listed]
            if told and not any(file in names for names in told):
                missing.append(file)
        return missing

    async def _ask(self, path: str) -> bytes:
        try:
            async with self._http.get(self.address.to(path), allow_redirects=False) as answer:
                if answer.status != 200:
                    raise failing(answer.status, path)
                return (await whole(answer, path)).body
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise self._down(error) from error

    async def _send(
        self,
        path: str,
        *,
        json: Any = None,
        data: aiohttp.FormData | None = None,
        timeout: aiohttp.ClientTimeout = ANSWER,
    ) -> WholeAnswer:
        try:
            async with self._http.post(
                self.address.to(path), json=json, data=data, timeout=timeout, allow_redirects=False
            ) as answer:
                return await whole(answer, path)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise self._down(error) from error

    def _down(self, error: BaseException) -> EngineDown:
        said = self.address.redacted(str(error))
        gone = isinstance(error, aiohttp.ClientConnectorError) and (
            error.os_error.errno == errno.ECONNREFUSED
        )
        return (EngineGone if gone else EngineDown)(
            f"The engine {self.name} at {self.url} does not respond"
            f" ({type(error).__name__}{f': {said}' if said else ''}).",
            "Start it, or see its log; the queue resumes by itself.",
        )
