"""Requests that may be repeated: a key of the sender's makes one job of them, however often they come.

The claim is written with the job's row, so it is as durable as the job.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from weakref import WeakValueDictionary

import msgspec

from ..domain.job import Job
from ..errors import ZoetropeError
from ..store.protocol import JobStore


class KeyReused(ZoetropeError):
    """A request has the key of an earlier one, and asks for something else."""

    key = "idempotency-key-reused"


class RequestKey(msgspec.Struct, frozen=True):
    """Under which claim the job of a request is known, and the digest of what was asked."""

    claim: str
    digest: str

    def __str__(self) -> str:
        return f"{self.claim}:{self.digest}"


def request_key(key: str, said: Mapping[str, object], files: Mapping[str, Path]) -> RequestKey:
    """Make the key of a request that says something and brings files, by the part of the form."""
    hashes = {}
    for part, file in files.items():
        with file.open("rb") as content:
            hashes[part] = hashlib.file_digest(content, "sha256").hexdigest()
    whole = msgspec.json.encode([said, hashes], order="deterministic")
    name = hashlib.sha256(key.encode()).hexdigest()[:32]
    return RequestKey(f"key-{name}", hashlib.sha256(whole).hexdigest())


class RepeatedRequests:
    """Sees to it that requests of one key make one job, also when they come at once."""

    def __init__(self) -> None:
        # A lock lives as long as somebody holds it or waits for it.
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def once(
        self, ledger: JobStore, key: RequestKey, make: Callable[[], Awaitable[Job]]
    ) -> Job:
        """Give the job that the key has made, or make it."""
        async with self._turns.setdefault(key.claim, asyncio.Lock()):
            earlier = await ledger.claimed(key.claim)
            if earlier is None:
                return await make()
            # The second half of a pair may have become part of a job that another key has made.
            if earlier.request.startswith(f"{key.claim}:") and earlier.request != str(key):
                raise KeyReused(
                    f"The Idempotency-Key belongs to job {earlier.short}, whose request was another one.",
                    "Use a new key for each request, and the same one only to repeat it unchanged.",
                )
            return earlier
