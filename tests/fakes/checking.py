"""The check of videos without a process of its own: what is tested lies around it, and Python's start costs most."""

from __future__ import annotations

import asyncio

import msgspec

from zoetrope.verify import worker
from zoetrope.verify.order import MeasureAnswer, Order


async def answer_here(order: Order) -> MeasureAnswer:
    """Answer as the worker does, in a thread; order and answer cross the border as bytes."""
    given = msgspec.json.decode(msgspec.json.encode(order), type=Order)
    work = asyncio.ensure_future(asyncio.to_thread(worker.answer, given))
    try:
        answer = await asyncio.shield(work)
    finally:
        # A process is killed with whoever waits for it; a thread can only be waited for.
        await asyncio.wait([work])
    return msgspec.json.decode(msgspec.json.encode(answer), type=MeasureAnswer)
