"""Lints over HTTP wait for each other and for nothing else, and nothing waits for them."""

import asyncio
import json
import threading
from types import SimpleNamespace

import pytest

from tests.web.test_lint_api import HERO
from zoetrope.jobs.preflight import Preflight
from zoetrope.web.api import lint as api
from zoetrope.web.lint_queue import LintQueue
from zoetrope.web.problems import BadRequest, LintBusy


def request(*, gone=False):
    return SimpleNamespace(transport=SimpleNamespace(is_closing=lambda: gone))


async def reached(event):
    assert await asyncio.to_thread(event.wait, 60)


async def test_one_lint_works_at_a_time_and_so_many_wait_and_no_more():
    queue, go, began, at_once = LintQueue(most=3), threading.Event(), threading.Event(), []

    def work(_):
        at_once.append(1)
        most = len(at_once)
        began.set()
        go.wait(60)
        at_once.pop()
        return most

    three = [asyncio.ensure_future(queue.run(request(), work)) for _ in range(3)]
    await reached(began)
    with pytest.raises(LintBusy):
        await queue.run(request(), work)
    go.set()
    assert await asyncio.gather(*three) == [1, 1, 1]
    assert await queue.run(request(), work) == 1


async def test_a_lint_ends_when_its_sender_goes():
    queue, ended = LintQueue(), threading.Event()

    def work(gone):
        while not gone():
            pass
        ended.set()

    with pytest.raises(BadRequest):
        await queue.run(request(gone=True), work)
    await reached(ended)
    assert await queue.run(request(), lambda _: "free") == "free"


async def test_a_lint_that_waits_does_not_begin_when_its_sender_has_gone():
    queue, go, begun = LintQueue(), threading.Event(), []
    first = asyncio.ensure_future(queue.run(request(), lambda _: go.wait(60)))
    await asyncio.sleep(0)
    with pytest.raises(BadRequest):
        await queue.run(request(gone=True), begun.append)
    go.set()
    assert await first
    assert await queue.run(request(), lambda _: "free") == "free"
    assert begun == []


async def test_a_closed_connection_ends_the_lint_and_disks_are_reached_meanwhile(
    client, monkeypatch
):
    began, ended = threading.Event(), threading.Event()
    names = []

    def check(*said):
        names.append(threading.current_thread().name)
        began.set()
        while not said[-1]():
            pass
        ended.set()
        return Preflight()

    monkeypatch.setattr(api, "check_graph", check)
    body = {"graph": json.loads(HERO.read_text())}
    several = [asyncio.ensure_future(client.post("/api/v1/lint", json=body)) for _ in range(3)]
    await reached(began)
    assert (await client.get("/api/v1/recipes")).status == 200
    for each in several:
        each.cancel()
    await asyncio.gather(*several, return_exceptions=True)
    await reached(ended)
    assert names[0].startswith("lint")
