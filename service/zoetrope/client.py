"""A small HTTP client on the standard library: importing a larger one would take longer than most commands."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import secrets
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from .address import masked
from .errors import ZoetropeError
from .jobs.progress import Live
from .structs import UNREADABLE, primed
from .web.views import JobPage, JobView

T = TypeVar("T")

PIECE = 256 * 1024
PATIENCE = 30.0  # seconds for an answer
LONG_PATIENCE = 600.0  # seconds for one that takes reading everything
SILENCE = 45.0  # seconds without data from the stream; a comment comes every 15
PAUSES = (0.5, 1.0, 2.0, 4.0)  # seconds before an upload that was cut off is sent again
GIVE_UP = 300.0  # seconds without a connection before it gives up

ERRORS = (OSError, http.client.HTTPException)


class ServiceDown(ZoetropeError):
    """Nothing answers at the service's address."""

    key = "service-down"
    reached = False  # whether it was connected, so that it may have taken what was sent


class Refused(ZoetropeError):
    """The service answered with a problem document."""

    key = "refused"

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        detail = str(problem.get("detail") or f"The service answered with status {status}.")
        super().__init__(detail, str(problem.get("next_step") or ""), key=problem.get("key"))
        self.status = status
        self.job = str(problem.get("job") or "")


class StreamEvent(msgspec.Struct, frozen=True):
    """One event of the stream."""

    kind: str
    data: bytes


class Moved(msgspec.Struct, frozen=True):
    """What a progress event holds."""

    id: str
    live: Live


class Client:
    """The service at one address."""

    def __init__(
        self, url: str, token_file: str | None = None, *, pauses: tuple[float, ...] = PAUSES
    ) -> None:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ZoetropeError(
                f"{masked(url)!r} is not the address of a service.", "Write it like http://127.0.0.1:8190.",
                key="url",
            )  # fmt: skip
        self.url = masked(f"{parts.scheme}://{parts.netloc}{parts.path}").rstrip("/")
        self._parts = parts
        self._pauses = pauses
        self._headers = {"Accept": "application/json"}
        if token_file:
            self._headers["Authorization"] = f"Bearer {_token(token_file)}"

    def get(self, path: str, **query: str | int) -> bytes:
        """Get a resource; a problem document becomes an error."""
        return self._ask("GET", f"{path}?{urlencode(query)}" if query else path)[1]

    def ready(self) -> bytes:
        """Get the health report, also when the service is failing."""
        return self._ask("GET", "/readyz", fine=(200, 503))[1]

    def job(self, job: str) -> bytes:
        """Get one job."""
        return self.get(f"/api/v1/jobs/{quote(job, safe='')}")

    def recipe(self, name: str) -> bytes:
        """Get one recipe."""
        return self.get(f"/api/v1/recipes/{quote(name, safe='')}")

    def jobs(self, states: str, limit: int | None) -> Iterator[JobView]:
        """List jobs page by page, all of them or the newest few."""
        query: dict[str, str | int] = {"state": states} if states else {}
        left = limit
        while left is None or left > 0:
            query["limit"] = 200 if left is None else min(200, left)
            page = decode(self.get("/api/v1/jobs", **query), JobPage)
            yield from page.jobs
            if page.next is None:
                return
            left = None if left is None else left - len(page.jobs)
            query["before"] = page.next

    def decide(self, job: str, action: str, why: str = "") -> bytes:
        """Approve, decline, retry or cancel a job."""
        body = json.dumps({"why": why}).encode() if why else b""
        return self._ask("POST", f"/api/v1/jobs/{quote(job, safe='')}/{action}", body)[1]

    def recover(self, lost: str) -> bytes:
        """Make a job of lost work."""
        return self._ask("POST", f"/api/v1/lost/{quote(lost, safe='')}/recover")[1]

    def discard(self, lost: str) -> bytes:
        """Remove lost work for good."""
        return self._ask("POST", f"/api/v1/lost/{quote(lost, safe='')}/discard")[1]

    def backup(self) -> Iterator[bytes]:
        """Have a backup made, and give it piece by piece; one that is cut off is an error."""
        connection = self._connect(LONG_PATIENCE)
        try:
            response = self._send(connection, "POST", "/api/v1/backup", b"", {"Accept": "*/*"})
            if response.status != 200:
                raise Refused(response.status, _problem(response.read()))
            left = int(response.headers["Content-Length"] or 0)
            while piece := response.read(PIECE):
                left -= len(piece)
                yield piece
        except ERRORS as error:
            raise self._down(error) from error
        finally:
            connection.close()
        if left:
            raise ServiceDown("The backup was cut off.", "Try again when the service is up.")

    def post(self, path: str, body: Mapping[str, object]) -> bytes:
        """Post a JSON body."""
        return self._ask("POST", path, json.dumps(body).encode())[1]

    def again(self, job: str, changes: Mapping[str, object]) -> bytes:
        """Make another video of a job's picture."""
        body = json.dumps(changes).encode()
        return self._ask("POST", f"/api/v1/jobs/{quote(job, safe='')}/again", body)[1]

    def upload(
        self,
        image: Path,
        ticket: Mapping[str, object],
        *,
        end: Path | None = None,
        names: Sequence[str] = (),
        parent: str = "",
        recipe_version: str = "",
        recipe: Mapping[str, str] = MappingProxyType({}),
    ) -> bytes:
        """Send a picture piece by piece, so that its size does not matter; `names` replace the files' own."""
        border = f"zoetrope-{secrets.token_hex(16)}"
        blocks: list[bytes | Path] = []
        files = [(name, file) for name, file in (("image", image), ("end", end)) if file]
        for number, (name, file) in enumerate(files):
            shown = names[number] if names else file.name
            blocks += [_part(border, name, shown), file, b"\r\n"]
        if ticket:
            blocks += [_part(border, "ticket"), json.dumps(ticket).encode(), b"\r\n"]
        if recipe:
            blocks += [_part(border, "recipe"), json.dumps(dict(recipe)).encode(), b"\r\n"]
        blocks.append(f"--{border}--\r\n".encode())
        total = sum(b.stat().st_size if isinstance(b, Path) else len(b) for b in blocks)

        def write(connection: http.client.HTTPConnection) -> None:
            for piece in _pieces(blocks):
                connection.send(piece)

        headers = {
            "Content-Type": f"multipart/form-data; boundary={border}",
            "Content-Length": str(total),
            # However often it is sent, it makes one job.
            "Idempotency-Key": secrets.token_hex(16),
        }
        asked = {"parent": parent, "recipe_version": recipe_version}
        query = urlencode({key: value for key, value in asked.items() if value})
        path = f"/api/v1/jobs{'?' if query else ''}{query}"
        return _repeated(lambda: self._ask("POST", path, write, headers=headers)[1], self._pauses)

    def events(
        self, *, give_up: float = GIVE_UP, lost: Callable[[str], None] = lambda _why: None
    ) -> Iterator[StreamEvent]:
        """Follow the event stream; after a break, resume where it was left."""
        last_id = ""
        # Since when there has been no connection; a silent one counts as one.
        away: float | None = None
        pause = 0.25
        while True:
            try:
                for event, last in self._stream(last_id):
                    last_id = last or last_id
                    away = None
                    pause = 0.25
                    yield event
                reason = "the stream ended"
                away = time.monotonic() if away is None else away
            except ServiceDown as error:
                reason = error.reason.sentence
                now = time.monotonic()
                away = now if away is None else away
                if now - away >= give_up:
                    raise
            lost(reason)
            time.sleep(pause)
            pause = min(5.0, pause * 2)

    def _stream(self, last_id: str) -> Iterator[tuple[StreamEvent, str]]:
        headers = {"Accept": "text/event-stream"}
        if last_id:
            headers["Last-Event-ID"] = last_id
        connection = self._connect(SILENCE)
        try:
            response = self._send(connection, "GET", "/api/v1/events", b"", headers)
            if response.status != 200:
                raise Refused(response.status, _problem(response.read()))
            kind, data, name = "message", b"", ""
            while line := response.readline():
                field, _, value = line.rstrip(b"\r\n").partition(b": ")
                match field:
                    case b"id":
                        name = value.decode()
                    case b"event":
                        kind = value.decode()
                    case b"data":
                        data = value
                    case b"" if data:
                        yield StreamEvent(kind, data), name
                        kind, data = "message", b""
        except ERRORS as error:
            raise self._down(error) from error
        finally:
            connection.close()

    def _ask(
        self,
        method: str,
        path: str,
        body: bytes | Callable[[http.client.HTTPConnection], None] = b"",
        *,
        headers: Mapping[str, str] | None = None,
        fine: tuple[int, ...] = (200, 201),
    ) -> tuple[int, bytes]:
        connection = self._connect(PATIENCE)
        reached = False
        try:
            connection.connect()
            reached = True
            response = self._send(connection, method, path, body, headers or {})
            content = response.read()
        except ERRORS as error:
            down = self._down(error)
            down.reached = reached
            raise down from error
        finally:
            connection.close()
        if response.status not in fine:
            raise Refused(response.status, _problem(content))
        return response.status, content

    def _send(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        body: bytes | Callable[[http.client.HTTPConnection], None],
        headers: Mapping[str, str],
    ) -> http.client.HTTPResponse:
        connection.putrequest(method, f"{self._parts.path.rstrip('/')}{path}")
        for name, value in {**self._headers, **headers}.items():
            connection.putheader(name, value)
        if callable(body):
            connection.endheaders()
            # The service can reject a request before everything was sent; its answer can still be read.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                body(connection)
        else:
            if method != "GET":
                connection.putheader("Content-Length", str(len(body)))
                if body:
                    connection.putheader("Content-Type", "application/json")
            connection.endheaders(body or None)
        return connection.getresponse()

    def _connect(self, timeout: float) -> http.client.HTTPConnection:
        kind: type[http.client.HTTPConnection] = http.client.HTTPConnection
        if self._parts.scheme == "https":
            kind = http.client.HTTPSConnection
        return kind(self._parts.hostname or "", self._parts.port, timeout=timeout)

    def _down(self, error: Exception) -> ServiceDown:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        why = " ".join(why.split())
        if isinstance(error, socket.gaierror):
            return ServiceDown(
                f"The host {self._parts.hostname!r} is unknown ({why}).", "Check --url."
            )
        if isinstance(error, TimeoutError):
            why = "no answer in time"
        return ServiceDown(
            f"No zoetrope service answers at {self.url} ({why}).",
            "Start it with `systemctl start zoetrope` or `zoetrope serve`, or name another with"
            " --url; `journalctl -u zoetrope -e` shows why it is not running.",
        )


def _repeated(send: Callable[[], bytes], pauses: tuple[float, ...]) -> bytes:
    """Send something that can be sent twice, again where it is not known whether it arrived."""
    doubt = False
    for pause in pauses:
        try:
            return send()
        except ServiceDown as error:
            doubt = doubt or error.reached
            if not doubt:
                raise
        except Refused as error:
            # It has no room at the moment, or is not fully started yet.
            if error.reason.key not in ("connections", "starting"):
                raise
        time.sleep(pause)
    return send()


def decode(content: bytes, kind: type[T]) -> T:
    """Decode an answer; what does not fit comes from something else, or from another version."""
    try:
        return msgspec.json.decode(content, type=primed(kind))
    except UNREADABLE as error:
        raise ServiceDown(
            f"The answer is not one of a zoetrope service ({error}).",
            "Check --url, and that service and command line have the same version.",
        ) from error


def _problem(content: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(content, type=dict[str, Any])
    except UNREADABLE:
        return {}


def _token(file: str) -> str:
    try:
        return Path(file).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ZoetropeError(
            f"The token file {file} cannot be read ({error}).", "Check --token-file.", key="token"
        ) from error


def _part(border: str, name: str, file_name: str | None = None) -> bytes:
    head = f'--{border}\r\nContent-Disposition: form-data; name="{name}"'
    if file_name is None:
        return f"{head}\r\nContent-Type: application/json\r\n\r\n".encode()
    shown = os.fsencode(file_name).decode("utf-8", "replace")
    for letter, escape in (('"', "%22"), ("\r", "%0D"), ("\n", "%0A")):
        shown = shown.replace(letter, escape)
    return f'{head}; filename="{shown}"\r\nContent-Type: application/octet-stream\r\n\r\n'.encode()


def _pieces(blocks: list[bytes | Path]) -> Iterator[bytes]:
    for block in blocks:
        if isinstance(block, bytes):
            yield block
            continue
        with block.open("rb") as file:
            while piece := file.read(PIECE):
                yield piece
