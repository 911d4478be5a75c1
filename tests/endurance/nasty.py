"""A nasty engine: the simulated one behind a proxy that spoils what it says, in sixteen modes."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from aiohttp import web

from tests.endurance.processes import FORK, Forked
from tests.fakes.service import free_port, wait_for

MODES = (
    *("deep", "types", "missing", "bytes", "errors", "hangs", "slow", "endless"),
    *("redirects", "cut", "cleared", "interrupted", "crowded", "socket", "listener", "resets"),
)
HARMLESS = -1
#: These answers are spoilt, or nothing would ever be sent.
SPOILT = (
    "/queue",
    "/history",
    "/system_stats",
    "/features",
    "/models",
    "/prompt",
    "/upload",
    "/view",
)


class NastyEngine:
    """Stands before an engine, in a process of its own; its mode is changed from outside."""

    def __init__(self, engine_url: str, log: Path, seed: int) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._engine = engine_url
        self._log = log
        self._seed = seed
        self._mode: Any = FORK.Value("i", HARMLESS, lock=False)
        self.process: Forked | None = None

    def start(self) -> None:
        """Begin, harmless at first."""
        self.process = Forked(lambda: asyncio.run(self._serve()), self._log)
        wait_for(f"{self.url}/system_stats", self.process)  # type: ignore[arg-type]

    def become(self, mode: str) -> None:
        """Change the mode; "" is harmless."""
        self._mode.value = MODES.index(mode) if mode else HARMLESS

    async def _serve(self) -> None:
        chance = random.Random(self._seed)
        async with aiohttp.ClientSession(auto_decompress=False) as session:
            proxy = Proxy(session, self._engine, chance, self._now)
            app = web.Application(client_max_size=2**30)
            app.router.add_route("*", "/{path:.*}", proxy.answer)
            runner = web.AppRunner(app)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", self.port).start()
            async with asyncio.TaskGroup() as group:
                group.create_task(proxy.meddle())

    def _now(self) -> str:
        return MODES[self._mode.value] if self._mode.value >= 0 else ""


class Proxy:
    """Hands requests on, and spoils answers."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        engine: str,
        chance: random.Random,
        mode: Callable[[], str],
    ) -> None:
        self._session = session
        self._engine = engine
        self._chance = chance
        self._mode = mode
        self._client = ""  # under which the service listens

    async def meddle(self) -> None:
        """Do to the engine what other clients do."""
        while True:
            await asyncio.sleep(self._chance.uniform(0.05, 0.4))
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                match self._mode():
                    case "cleared":
                        await self._post("/history", {"clear": True})
                    case "interrupted":
                        await self._post("/interrupt", {})
                    case "listener" if self._client:
                        address = f"{self._engine}/ws?clientId={self._client}"
                        async with self._session.ws_connect(address, timeout=aiohttp.ClientWSTimeout(ws_close=0.2)):  # fmt: skip
                            await asyncio.sleep(1)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        if request.path == "/ws":
            return await self._socket(request)
        mode = self._mode() if request.path.startswith(SPOILT) else ""
        body = await request.read()
        kept = {k: v for k, v in request.headers.items() if k in ("Content-Type", "Origin")}
        try:
            async with self._session.request(
                request.method,
                f"{self._engine}{request.path_qs}",
                data=body or None,
                headers=kept,
                timeout=aiohttp.ClientTimeout(total=30),
            ) as told:
                content, status = await told.read(), told.status
                kind = told.headers.get("Content-Type", "application/octet-stream")
        except aiohttp.ClientError:
            return self._reset(request)
        if not mode or self._chance.random() < 0.3:
            return web.Response(body=content, status=status, headers={"Content-Type": kind})
        return await self._spoil(request, mode, content, status, kind)

    async def _spoil(
        self, request: web.Request, mode: str, content: bytes, status: int, kind: str
    ) -> web.StreamResponse:
        view = request.path == "/view"
        json = kind.startswith("application/json")
        plain = {"Content-Type": kind}
        match mode:
            case "deep" if json:
                content = b"[" * 100_000 + b"]" * 100_000
            case "types" | "missing" if json:
                with contextlib.suppress(msgspec.DecodeError):
                    found = msgspec.json.decode(content)
                    content = msgspec.json.encode(self._bent(found, mode))
            case "bytes" if json:
                content = content[: len(content) // 2] + b"\xff\xfe\xed\xa0\x80" + content[len(content) // 2 :]  # fmt: skip
            case "errors":
                return web.Response(body=b"<h1>Bad Gateway</h1>", status=self._chance.choice((500, 502, 404, 418)))  # fmt: skip
            case "hangs":
                await asyncio.sleep(600)
            case "redirects":
                return web.Response(
                    status=302, headers={"Location": "http://127.0.0.1:9/elsewhere"}
                )
            case "crowded" if request.path == "/queue" and json:
                found = msgspec.json.decode(content)
                found["queue_pending"] += [[-1, f"another-{n}", {}, {}, []] for n in range(50)]
                content = msgspec.json.encode(found)
            case "resets":
                return self._reset(request)
            case "slow" | "endless" | "cut" if view:
                return await self._trickle(request, mode, content)
        return web.Response(body=content, status=status, headers=plain)

    async def _trickle(self, request: web.Request, mode: str, content: bytes) -> web.StreamResponse:
        response = web.StreamResponse()
        if mode == "cut":
            response.content_length = len(content)
        await response.prepare(request)
        with contextlib.suppress(OSError):
            if mode == "slow":
                for at in range(len(content)):
                    await response.write(content[at : at + 1])
                    await asyncio.sleep(1)
                    if self._mode() != mode:
                        return self._reset(request)
            while mode == "endless" and self._mode() == mode:
                await response.write(content + bytes(65536))
                await asyncio.sleep(0.01)
            await response.write(content[: len(content) // 2])
        return self._reset(request)

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        self._client = request.query.get("clientId", "")
        ours = web.WebSocketResponse(max_msg_size=0)
        await ours.prepare(request)
        with contextlib.suppress(aiohttp.ClientError, OSError):
            async with self._session.ws_connect(f"{self._engine}{request.path_qs}") as theirs:
                closed = asyncio.create_task(self._until_closed(ours, theirs))
                async for message in theirs:
                    if message.type is aiohttp.WSMsgType.TEXT:
                        if self._mode() == "socket":
                            await ours.send_str(self._noise(message.data))
                        await ours.send_str(message.data)
                    elif message.type is aiohttp.WSMsgType.BINARY:
                        await ours.send_bytes(message.data)
                closed.cancel()
        return ours

    async def _until_closed(
        self, ours: web.WebSocketResponse, theirs: aiohttp.ClientWebSocketResponse
    ) -> None:
        async for _ in ours:
            pass
        await theirs.close()

    def _noise(self, text: str) -> str:
        with contextlib.suppress(msgspec.DecodeError):
            found = msgspec.json.decode(text)
            bent = self._bent(found, self._chance.choice(("types", "missing")))
            text = msgspec.json.encode(bent).decode()
        return self._chance.choice(
            (text, "[" * 50_000, '{"type": 7, "data": []}', "\ufffd", "null")
        )

    def _bent(self, value: Any, mode: str) -> Any:
        """Change one place in a value: another type, or nothing there."""
        if isinstance(value, dict) and value:
            key = self._chance.choice(list(value))
            if self._chance.random() < 0.4:
                if mode == "missing":
                    return {k: v for k, v in value.items() if k != key}
                return {**value, key: self._other()}
            return {**value, key: self._bent(value[key], mode)}
        if isinstance(value, list) and value:
            at = self._chance.randrange(len(value))
            if mode == "missing":
                return value[:at] + value[at + 1 :]
            return [*value[:at], self._bent(value[at], mode), *value[at + 1 :]]
        return self._other() if mode == "types" else None

    def _other(self) -> Any:
        return self._chance.choice((None, 7, -1.5, True, "x", [], {}, [[1]], {"a": {}}, "9" * 300))

    def _reset(self, request: web.Request) -> web.Response:
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=500)

    async def _post(self, path: str, body: object) -> None:
        async with self._session.post(f"{self._engine}{path}", json=body):
            pass
