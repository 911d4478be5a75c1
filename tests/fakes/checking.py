"""Videos and pictures opened without a process of their own: what is tested lies around it, and Python's start costs most."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import ModuleType
from typing import TypeVar

import msgspec

from zoetrope.inbox import source_image_worker
from zoetrope.inbox.source_image import Decoder, ended
from zoetrope.inbox.source_image_worker import OpenAnswer, OpenRequest
from zoetrope.verify import worker
from zoetrope.verify.order import MeasureAnswer, Order

Asked = TypeVar("Asked")
Answered = TypeVar("Answered")


async def answer_here(order: Order) -> MeasureAnswer:
    """Answer as the worker of videos does."""
    return await _in_a_thread(worker.answer, order, msgspec.json)


class DecoderHere(Decoder):
    """Opens pictures as the worker of pictures does."""

    async def ask(self, request: OpenRequest, name: str) -> OpenAnswer:
        try:
            return await _in_a_thread(source_image_worker.answer, request, msgspec.msgpack)
        except Exception as error:  # which would end the process
            raise ended(1, request, name) from error


async def _in_a_thread(
    answer: Callable[[Asked], Answered], asked: Asked, wire: ModuleType
) -> Answered:
    """Answer in a thread; question and answer cross the border as the bytes that a process gets."""
    given = wire.decode(wire.encode(asked), type=type(asked))
    work = asyncio.ensure_future(asyncio.to_thread(answer, given))
    try:
        found = await asyncio.shield(work)
    finally:
        # A process is killed with whoever waits for it; a thread can only be waited for.
        await asyncio.wait([work])
    return wire.decode(wire.encode(found), type=type(found))
