"""ComfyUI's WebSocket: kept open, renewed when lost, and told apart by prompt."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterator

import aiohttp

from ..protocol import Absent, Finished, Interrupted, Output, PromptFailed
from .answer import MOST_BYTES
from .events import Executed, Over, Said, event

log = logging.getLogger("zoetrope.engine")

# A lost socket is tried again soon, then more slowly: an engine takes some 15 s to start.
FIRST_PAUSE = 0.2
LONGEST_PAUSE = 5.0
RENEW_SECONDS = 30.0
# Progress can be re-read; what waits for a slow reader is bounded.
BACKLOG = 1000
# Of so many prompts it is remembered what was said of their files and their end: of all that an engine of
# ours has at once, and of many more.
REMEMBERED = 100


class Heard:
    """What was said of one prompt's files and of its end."""

    def __init__(self) -> None:
        self._saved: dict[str, tuple[Output, ...]] = {}  # by node
        self._over = Over()

    def note(self, said: Said) -> None:
        """Note what is to be remembered of a message."""
        if isinstance(said, Executed):
            # One message is of one node; a node that saves again counts once.
            self._saved.update({output.node: said.outputs for output in said.outputs})
        elif isinstance(said, Over) and (said.well or said.how is not None):
            self._over = said

    def ending(self) -> Finished | PromptFailed | Interrupted | Absent:
        """Say how it ended, or what it had saved so far."""
        if self._over.how is not None:
            return self._over.how
        saved = tuple(output for outputs in self._saved.values() for output in outputs)
        return Finished(saved) if self._over.well else Absent(saved)


class Socket:
    """Listens on one WebSocket for all prompts of one engine.

    A subscriber gets what is said of its prompt, and True whenever something may have been missed.
    """

    def __init__(
        self, session: aiohttp.ClientSession, url: str, redacted: Callable[[str], str] = str
    ) -> None:
        self._session = session
        self._redacted = redacted
        self._url = url
        self._tasks: set[asyncio.Task[None]] = set()
        self._streams: dict[str, asyncio.Queue[Said | bool]] = {}
        self._heard: dict[str, Heard] = {}
        self._connected = False
        self._renewed = time.monotonic()
        self._ever = False  # whether there was a connection at all
        self.reconnects = 0

    def start(self) -> None:
        """Begin to listen."""
        task = asyncio.create_task(self._listen(), name="engine-socket")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Stop listening."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def renew(self) -> None:
        """Open the socket again, now and then at most: whoever connects last gets the stream."""
        if self._connected and time.monotonic() - self._renewed > RENEW_SECONDS:
            self._renewed = time.monotonic()
            # The old one says goodbye in its own time; the new one does not wait for that.
            for task in list(self._tasks):
                task.cancel()
            self.start()

    @contextlib.contextmanager
    def subscribe(self, prompt_id: str) -> Iterator[asyncio.Queue[Said | bool]]:
        """Hear of one prompt."""
        stream: asyncio.Queue[Said | bool] = asyncio.Queue(BACKLOG)
        self._streams[prompt_id] = stream
        try:
            yield stream
        finally:
            if self._streams.get(prompt_id) is stream:
                del self._streams[prompt_id]

    def heard(self, prompt_id: str) -> Heard:
        """Give what the engine said about a prompt, also before there was a subscriber."""
        return self._heard.get(prompt_id, Heard())

    def forget(self, prompt_id: str) -> None:
        """Forget what was said of a prompt, since it is submitted anew."""
        self._heard.pop(prompt_id, None)

    async def _listen(self) -> None:
        pause = FIRST_PAUSE
        while True:
            try:
                async with self._session.ws_connect(
                    self._url,
                    heartbeat=20,
                    max_msg_size=MOST_BYTES,
                    timeout=aiohttp.ClientWSTimeout(ws_close=1.0),
                ) as socket:
                    self.reconnects += self._ever
                    self._connected = self._ever = True
                    pause = FIRST_PAUSE
                    self._doubt()
                    async for message in socket:
                        # Binary ones are previews, whatever is in them.
                        if message.type is aiohttp.WSMsgType.TEXT:
                            self._hand_out(message.data)
            except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
                log.debug(
                    "no socket: %s", self._redacted(str(error)), extra={"action": "socket-lost"}
                )
            self._connected = False
            self._doubt()
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    def _doubt(self) -> None:
        for stream in self._streams.values():
            with contextlib.suppress(asyncio.QueueFull):
                stream.put_nowait(True)

    def _hand_out(self, text: str) -> None:
        if (heard := event(text)) is None:
            return
        prompt_id, said = heard
        if isinstance(said, Executed | Over):
            self._note(prompt_id, said)
        if (stream := self._streams.get(prompt_id)) is None:
            return
        if stream.full():
            stream.get_nowait()
        stream.put_nowait(said)

    def _note(self, prompt_id: str, said: Said) -> None:
        known = self._heard.pop(prompt_id, None) or Heard()
        known.note(said)
        self._heard[prompt_id] = known  # the latest at the end
        while len(self._heard) > REMEMBERED:
            del self._heard[next(iter(self._heard))]
