"""Downloads against a hub in every mood."""

import asyncio
import errno
import os
import random
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fakes.hub import Hub
from zoetrope.errors import DiskFull
from zoetrope.models.fetch import TRIES, Busy, Fetcher, FetchProgress, alone, open_part
from zoetrope.models.manifest import Model
from zoetrope.models.store import ModelState, Store

CONTENT = random.Random(1).randbytes(200_000)


class Desk:
    """A hub, a store, and a fetcher between them whose pauses take no time."""

    def __init__(self, root: Path) -> None:
        self.hub = Hub(CONTENT)
        self.store = Store(root / "models")
        self.pauses: list[float] = []
        self.told: list[FetchProgress] = []
        self.free = 10**12
        self.open_part = open_part
        self._server: TestServer | None = None
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self):
        app = web.Application()
        app.router.add_get("/{path:.*}", self.hub.answer)
        self._server = TestServer(app)
        await self._server.start_server()
        self.hub.url = str(self._server.make_url("")).rstrip("/")
        self._session = aiohttp.ClientSession()
        return self

    async def __aexit__(self, *_):
        assert self._session is not None
        assert self._server is not None
        await self._session.close()
        await self._server.close()

    async def fetch(self, *models: Model, token: str = ""):
        async def sleep(seconds):
            self.pauses.append(seconds)

        assert self._session is not None
        fetcher = Fetcher(
            self.store,
            self._session,
            token=token,
            tell=self.told.append,
            sleep=sleep,
            free=lambda _: self.free,
            open_part=self.open_part,
        )
        return await fetcher.fetch(models or (self.hub.model(),))

    def got(self):
        return self.store.target(self.hub.model()).read_bytes()


@pytest.fixture
async def desk(tmp_path):
    async with Desk(tmp_path) as desk:
        yield desk


async def test_a_model_is_fetched_verified_and_not_fetched_again(desk):
    assert await desk.fetch() == []
    assert desk.got() == CONTENT
    assert desk.store.look(desk.hub.model()).state is ModelState.VERIFIED
    assert sorted(p.name for p in desk.store.target(desk.hub.model()).parent.iterdir()) == [
        "m.safetensors"
    ]
    await desk.fetch()
    assert len(desk.hub.asked) == 1


@pytest.mark.parametrize("ranges", [True, False])
async def test_what_broke_off_is_taken_up_or_begun_anew(desk, ranges):
    desk.hub.ranges = ranges
    desk.hub.troubles = [70_000, 50_000]
    assert await desk.fetch() == []
    assert desk.got() == CONTENT
    assert [asked.get("Range") for asked in desk.hub.asked][:2] == [None, "bytes=70000-"]
    assert desk.hub.asked[1]["If-Range"] == '"one"'


async def test_a_file_that_changed_meanwhile_is_begun_anew(desk):
    desk.hub.troubles = [70_000]
    first, desk.hub.content = desk.hub.model(), bytes(reversed(CONTENT))
    desk.hub.content = CONTENT
    desk.store.part(first).parent.mkdir(parents=True)
    desk.store.part(first).write_bytes(b"an older version")
    desk.store.part(first).with_suffix(".etag").write_text('"zero"')
    assert await desk.fetch() == []
    assert desk.got() == CONTENT


async def test_a_part_that_is_longer_than_the_file_is_thrown_away(desk):
    model = desk.hub.model()
    desk.store.part(model).parent.mkdir(parents=True)
    desk.store.part(model).write_bytes(CONTENT + b"and more")
    assert await desk.fetch() == []
    assert desk.got() == CONTENT


async def test_a_whole_part_needs_no_question(desk):
    model = desk.hub.model()
    desk.store.part(model).parent.mkdir(parents=True)
    desk.store.part(model).write_bytes(CONTENT)
    assert await desk.fetch() == []
    assert (desk.got(), desk.hub.asked) == (CONTENT, [])


async def test_a_wrong_content_is_never_used(desk):
    desk.hub.troubles = ["other"]
    (error,) = await desk.fetch()
    assert error.reason.key == "model-wrong"
    assert desk.hub.model().sha256[:12] in error.reason.sentence
    assert list(desk.store.target(desk.hub.model()).parent.iterdir()) == []
    assert await desk.fetch() == [], "the next try begins anew"


async def test_a_resumed_part_of_another_file_is_noticed_at_the_end(desk):
    model = desk.hub.model()
    desk.store.part(model).parent.mkdir(parents=True)
    desk.store.part(model).write_bytes(b"x" * 1000)
    (error,) = await desk.fetch()
    assert error.reason.key == "model-wrong"
    assert not desk.store.target(model).exists()


async def test_another_length_than_the_known_one_is_refused_at_once(desk):
    (error,) = await desk.fetch(desk.hub.model(bytes=len(CONTENT) + 1))
    assert error.reason.key == "model-wrong"
    desk.hub.troubles = ["lie"]
    (error,) = await desk.fetch()
    assert error.reason.key == "model-wrong"


async def test_a_redirect_is_followed(desk):
    desk.hub.troubles = ["moved"]
    assert await desk.fetch() == []
    assert desk.got() == CONTENT


@pytest.mark.parametrize("status", [401, 403, 404, 410])
async def test_a_refusal_is_told_with_what_to_do_and_the_others_go_on(desk, status):
    desk.hub.troubles = [web.Response(status=status)]
    good = desk.hub.model(file="n.safetensors")
    (error,) = await desk.fetch(desk.hub.model(), good)
    assert str(status) in error.reason.sentence
    assert error.reason.next_step
    assert desk.pauses == []
    assert desk.store.look(good).state is ModelState.VERIFIED


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_busy_hub_is_asked_again_and_its_wish_is_kept(desk, status):
    desk.hub.troubles = [
        web.Response(status=status),
        web.Response(status=status, headers={"Retry-After": "17"}),
    ]
    assert await desk.fetch() == []
    assert desk.pauses == [1.0, 17.0]


async def test_it_gives_up_only_without_any_progress(desk):
    desk.hub.troubles = [3_000] * 3 * TRIES
    assert await desk.fetch() == [], "each try brought something"
    desk.hub.troubles = [web.Response(status=500) for _ in range(TRIES)]
    (error,) = await desk.fetch(desk.hub.model(file="n.safetensors"))
    assert "500" in error.reason.sentence
    assert "kept" in error.reason.next_step


async def test_a_token_is_sent(desk):
    await desk.fetch(token="secret")
    assert desk.hub.asked[0]["Authorization"] == "Bearer secret"


async def test_a_model_of_which_only_the_name_is_known_is_said(desk):
    (error,) = await desk.fetch(Model(file="x", folder="vae"))
    assert "no known address" in error.reason.sentence


async def test_room_is_looked_for_before_a_byte_is_fetched(desk):
    desk.free = 2**30 + len(CONTENT) - 1
    with pytest.raises(DiskFull, match="are free on"):
        await desk.fetch()
    assert desk.hub.asked == []
    desk.free += 1
    assert await desk.fetch() == []


async def test_a_disk_that_fills_up_keeps_what_is_there(desk):
    def small(part, have):
        target = open_part(part, have)

        class Full:
            def __enter__(self):
                return self

            def __exit__(self, *_):
                target.close()

            def write(self, data):
                if target.tell() + len(data) > 100_000:
                    target.write(data[: 100_000 - target.tell()])
                    target.flush()
                    raise OSError(errno.ENOSPC, "No space left on device")
                return target.write(data)

            def flush(self):
                target.flush()

            def fileno(self):
                return target.fileno()

        return Full()

    desk.open_part = small
    with pytest.raises(DiskFull, match="during the download of"):
        await desk.fetch()
    desk.open_part = open_part
    assert desk.store.look(desk.hub.model()).have == 100_000
    assert await desk.fetch() == []
    assert desk.got() == CONTENT
    assert desk.hub.asked[-1]["Range"] == "bytes=100000-"


async def test_progress_is_a_sentence(desk):
    await desk.fetch(desk.hub.model(), desk.hub.model(file="n.safetensors"))
    assert str(desk.told[0]).endswith("0.2 MB), 1 more file to go")
    model = Model(file="wan.safetensors", folder="x", bytes=14_300_000_000)
    far = FetchProgress(model=model, have=8_700_000_000, rate=92e6, left=2)
    assert str(far) == (
        "fetching wan.safetensors 61 % (8.7 GB of 14.3 GB, 92 MB/s, 61 s left), 2 more files to go"
    )


def test_two_fetchers_do_not_write_the_same_folder(tmp_path):
    with alone(tmp_path), pytest.raises(Busy, match="Another process"), alone(tmp_path):
        pass
    with alone(tmp_path):
        pass


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    troubles=st.lists(
        st.one_of(st.integers(0, len(CONTENT)), st.sampled_from([500, 429, 503]), st.just("moved")),
        max_size=6,
    ),
    begun=st.integers(0, len(CONTENT)),
    ranges=st.booleans(),
    tag=st.sampled_from(['"one"', 'W/"weak"', ""]),
)
def test_whatever_happens_on_the_way_the_file_is_exact(troubles, begun, ranges, tag):
    async def run(root):
        async with Desk(root) as desk:
            desk.hub.tag, desk.hub.ranges = tag, ranges
            desk.hub.troubles = [
                web.Response(status=each) if each in (500, 429, 503) else each for each in troubles
            ]
            part = desk.store.part(desk.hub.model())
            part.parent.mkdir(parents=True)
            part.write_bytes(CONTENT[:begun])
            assert await desk.fetch() == []
            assert desk.got() == CONTENT

    with tempfile.TemporaryDirectory() as root:
        asyncio.run(run(Path(root)))


KILLED = """
import asyncio, sys
from pathlib import Path
import aiohttp
from zoetrope.models.fetch import Fetcher, alone
from zoetrope.models.manifest import Model
from zoetrope.models.store import Store

async def main(root, url, size, sha256):
    store = Store(Path(root))
    model = Model(file="m.safetensors", folder="vae", bytes=int(size), sha256=sha256, url=url)
    with alone(store.path):
        async with aiohttp.ClientSession() as session:
            assert await Fetcher(store, session, free=lambda _: 10**12).fetch([model]) == []

asyncio.run(main(*sys.argv[1:]))
"""


async def test_killed_in_the_middle_it_goes_on_where_it_was(tmp_path):
    content = random.Random(2).randbytes(6_000_000)
    half = asyncio.Event()
    asked = []

    async def answer(request):
        start = int(request.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        asked.append(start)
        response = web.StreamResponse(status=206 if start else 200)
        response.content_length = len(content) - start
        if start:
            last = len(content) - 1
            response.headers["Content-Range"] = f"bytes {start}-{last}/{len(content)}"
        await response.prepare(request)
        if len(asked) == 1:
            await response.write(content[:3_000_000])
            half.set()
            await asyncio.sleep(60)
        await response.write(content[start:])
        return response

    app = web.Application()
    app.router.add_get("/m", answer)
    async with TestServer(app) as server:
        model = Hub(content).model()
        words = [str(tmp_path), str(server.make_url("/m")), str(len(content)), model.sha256]
        command = [sys.executable, "-c", KILLED, *words]
        process = await asyncio.create_subprocess_exec(*command)
        await half.wait()
        part = Store(tmp_path).part(model)
        while not part.exists() or part.stat().st_size < 1_000_000:
            await asyncio.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        await process.wait()
        done = await asyncio.create_subprocess_exec(*command, stderr=subprocess.PIPE)
        _, told = await done.communicate()
        assert done.returncode == 0, told.decode()
    assert asked[1] >= 1_000_000
    assert Store(tmp_path).target(model).read_bytes() == content
