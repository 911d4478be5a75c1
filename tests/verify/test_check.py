"""The check of one file, and the process that does it, in the trouble that videos and hosts make."""

import asyncio
import errno
import signal
import subprocess
import sys

import pytest

from tests.fakes.sound import sound_alone
from tests.verify.clips import EXPECTED, pan, scene, write
from zoetrope.verify import check as verify
from zoetrope.verify import film, tags, worker
from zoetrope.verify.check import check, cpu_seconds
from zoetrope.verify.expected import Expected
from zoetrope.verify.order import READY, Order


def _cut(whole: bytes) -> bytes:
    return whole[: len(whole) // 3]


def _damage(whole: bytes) -> bytes:
    return whole[:2000] + bytes(600) + whole[2600:]


@pytest.mark.parametrize(
    ("spoil", "key"),
    [
        (lambda _: b"", "empty"),
        (lambda _: b"this is text", "unreadable"),
        (_cut, "unreadable"),
        (_damage, "unreadable"),
        (lambda _: sound_alone(), "unreadable"),
    ],
)
async def test_what_cannot_be_decoded_is_named(tmp_path, spoil, key, keys):
    whole = write(tmp_path / "whole.mp4", pan(scene(8))).read_bytes()
    (tmp_path / "odd.mp4").write_bytes(spoil(whole))
    assert key in await keys(tmp_path / "odd.mp4")


async def test_a_picture_among_the_outputs_only_needs_content(tmp_path, keys):
    (tmp_path / "x.png").write_bytes(b"a picture")
    assert await keys(tmp_path / "x.png") == []
    (tmp_path / "x.png").write_bytes(b"")
    assert await keys(tmp_path / "x.png") == ["empty"]


class TestTheChecker:
    """The process that opens videos, in the trouble that videos and hosts make."""

    @pytest.fixture
    def stand_in(self, monkeypatch):
        """Put a program in the worker's place."""
        real = asyncio.create_subprocess_exec

        def use(program):
            async def start(_executable, *_arguments, **options):
                return await real(sys.executable, "-c", program, **options)

            monkeypatch.setattr(verify.asyncio, "create_subprocess_exec", start)

        return use

    @pytest.fixture
    def video(self, tmp_path):
        (tmp_path / "x.mp4").write_bytes(b"looked at by nobody")
        return tmp_path / "x.mp4"

    async def test_one_that_does_not_run_is_not_the_videos_fault(self, video, monkeypatch):
        monkeypatch.setattr(verify.sys, "executable", "/bin/false")
        with pytest.raises(verify.CheckerDown, match="does not run"):
            await check(video, EXPECTED)

    async def test_one_that_cannot_be_started_is_not_the_videos_fault(self, video, monkeypatch):
        monkeypatch.setattr(verify.sys, "executable", "/nowhere/python")
        with pytest.raises(verify.CheckerDown, match="No such file"):
            await check(video, EXPECTED)

    @pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM"])
    async def test_one_ended_from_outside_is_not_the_videos_fault(self, video, stand_in, name):
        number = int(getattr(signal, name))
        stand_in(f"import os; os.write(1, {READY!r}); os.kill(os.getpid(), {number})")
        with pytest.raises(verify.CheckerDown):
            await check(video, EXPECTED)

    async def test_one_that_crashes_on_a_video_is_the_videos_fault(self, video, stand_in, keys):
        stand_in(f"import os; os.write(1, {READY!r}); os.kill(os.getpid(), {int(signal.SIGSEGV)})")
        assert await keys(video) == ["unreadable"]

    async def test_one_that_gets_no_time_is_ended_and_not_the_videos_fault(
        self, video, stand_in, monkeypatch
    ):
        monkeypatch.setattr(verify, "PATIENCE", 0.005)
        stand_in(f"import os, time; os.write(1, {READY!r}); time.sleep(600)")
        with pytest.raises(verify.CheckerDown, match="host is busy"):
            await check(video, EXPECTED)

    async def test_one_that_computes_without_end_is_the_videos_fault(
        self, video, stand_in, monkeypatch
    ):
        monkeypatch.setattr(verify, "cpu_seconds", lambda _: 60)
        limit = "import resource; resource.setrlimit(resource.RLIMIT_CPU, (1, 2))"
        stand_in(f"{limit}; import os; os.write(1, {READY!r})\nwhile True: pass")
        verdict = await check(video, EXPECTED)
        assert [finding.key for finding in verdict.findings] == ["unreadable"]
        assert "60 s of processor time" in verdict.sentence

    async def test_a_full_disk_is_told_as_such(self, video, stand_in):
        answer = f'{{"errno": {errno.ENOSPC}}}'.encode()
        stand_in(f"import os; os.write(1, {READY + answer!r})")
        with pytest.raises(OSError, match="No space left"):
            await check(video, EXPECTED)

    async def test_a_folder_without_rights_is_the_hosts_matter(self, video, stand_in):
        answer = f'{{"errno": {errno.EACCES}}}'.encode()
        stand_in(f"import os; os.write(1, {READY + answer!r})")
        with pytest.raises(verify.CheckerDown, match="Permission denied"):
            await check(video, EXPECTED)

    def test_a_decoder_without_memory_blames_the_video(self, video, monkeypatch):
        def swallow(*_):
            raise MemoryError

        monkeypatch.setattr(film, "measure", swallow)
        answer = worker.answer(Order(video=str(video), expected=EXPECTED))
        assert "memory" in answer.unreadable

    def test_a_disk_that_is_full_while_the_tags_are_taken_out_is_the_disks(
        self, video, monkeypatch
    ):
        def full(_):
            raise OSError(errno.ENOSPC, "full")

        monkeypatch.setattr(tags, "strip", full)
        order = Order(video=str(video), expected=EXPECTED, strip=True)
        assert worker.answer(order).errno == errno.ENOSPC

    def test_a_larger_video_may_cost_more(self):
        small = Expected(frames=81, width=832, height=480)
        assert (
            cpu_seconds(Expected())
            < cpu_seconds(small)
            < cpu_seconds(Expected(frames=81, width=832, height=480, size="larger"))
        )


def test_the_process_loads_nothing_of_the_service_s_side():
    code = "import sys, zoetrope.verify.worker; print('asyncio' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
