import asyncio
import io
import os
import signal
import sys
from pathlib import Path

import msgspec
import pytest
from PIL import Image

from tests.inbox.conftest import until, write_picture
from zoetrope.errors import Rejected
from zoetrope.host import trouble
from zoetrope.inbox import source_image
from zoetrope.inbox.source_image import CopiedSource, Decoder, DecoderBusy, DecoderDown
from zoetrope.inbox.source_image_worker import READY, OpenAnswer, OpenRequest, serve
from zoetrope.settings import InboxSettings

SETTINGS = InboxSettings(max_megapixels=4, decode_workers=2, decode_seconds=20.0)


def source(file="source.png"):
    return CopiedSource(name="cat.png", file=file, sha256="00", size=1)


def impatient(seconds):
    """A decoder that allows each picture so little processor time."""
    return Decoder(msgspec.structs.replace(SETTINGS, decode_seconds=seconds))


async def is_ended(decoder, process):
    """Wait until a process is gone, which was its decoder's only one."""
    await until(lambda: process.returncode is not None)
    assert decoder.workers == 0


def processor_seconds(pid):
    """How long a process has computed since it started."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.fixture
async def decoder():
    decoder = Decoder(SETTINGS)
    yield decoder
    await decoder.close()


@pytest.fixture
def started(monkeypatch):
    """The processes that a test's decoder has started."""
    processes, real = [], asyncio.create_subprocess_exec

    async def start(*args, **kwargs):
        processes.append(await real(*args, **kwargs))
        return processes[-1]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", start)
    return processes


@pytest.fixture
def sleeper(started, monkeypatch):
    """A stand-in for the worker: a program that does what a test wants."""

    def stand_in(program):
        real = asyncio.create_subprocess_exec

        async def start(executable, *_args, **kwargs):
            return await real(sys.executable, "-c", program, **kwargs)

        monkeypatch.setattr(asyncio, "create_subprocess_exec", start)

    return stand_in


async def test_a_picture_is_opened_in_another_process(decoder, tmp_path):
    write_picture(tmp_path / "source.png")
    image = await decoder.open(tmp_path, source())
    assert (image.format, image.width, image.height) == ("PNG", 64, 48)
    assert (image.name, image.source, image.file) == ("cat.png", "source.png", "source.png")
    assert decoder.workers == 1


async def test_a_changed_picture_is_written_beside(decoder, tmp_path):
    Image.new("RGBA", (32, 32)).save(tmp_path / "end.png")
    image = await decoder.open(tmp_path, source("end.png"), target="upright-end.png")
    assert image.file == "upright-end.png"
    assert image.changes
    assert (tmp_path / image.file).is_file()


async def test_a_refusal_comes_back_as_it_was_said(decoder, tmp_path):
    (tmp_path / "source.png").write_text("hello")
    with pytest.raises(Rejected) as refused:
        await decoder.open(tmp_path, source())
    assert refused.value.reason.key == "picture-unknown"
    assert refused.value.reason.next_step


async def test_no_more_processes_than_allowed_and_they_are_used_again(decoder, tmp_path):
    write_picture(tmp_path / "source.png")
    await asyncio.gather(*(decoder.open(tmp_path, source()) for _ in range(6)))
    assert 1 <= decoder.workers <= 2
    await decoder.open(tmp_path, source())
    assert decoder.workers <= 2


async def test_idle_processes_are_stopped(tmp_path):
    decoder = Decoder(SETTINGS, idle_seconds=0.05)
    write_picture(tmp_path / "source.png")
    await decoder.open(tmp_path, source())
    await until(lambda: decoder.workers == 0)
    assert (await decoder.open(tmp_path, source())).width == 64
    await decoder.close()
    assert decoder.workers == 0


async def test_a_crash_rejects_one_picture_and_the_next_is_opened(decoder, started, tmp_path):
    write_picture(tmp_path / "source.png")
    await decoder.open(tmp_path, source())
    (process,) = started
    process.send_signal(signal.SIGSEGV)
    with pytest.raises(Rejected) as refused:
        await decoder.open(tmp_path, source())
    assert refused.value.reason.key == "picture-damaged"
    assert (await decoder.open(tmp_path, source())).width == 64


async def test_a_picture_that_costs_too_much_processor_time_is_rejected_and_its_process_ends(
    started, tmp_path, monkeypatch
):
    monkeypatch.setattr(source_image, "PATIENCE", 10_000.0)  # of a host that is busy with others
    Image.effect_noise((1500, 1500), 50).convert("RGBA").save(tmp_path / "source.png")
    decoder = impatient(0.05)
    with pytest.raises(Rejected) as rejected:
        await decoder.open(tmp_path, source())
    assert rejected.value.reason.key == "picture-slow"
    assert "0.05 seconds of processor time" in rejected.value.reason.sentence
    (process,) = started
    await is_ended(decoder, process)


async def test_processor_time_is_counted_for_each_picture_alone(started, tmp_path, monkeypatch):
    monkeypatch.setattr(source_image, "PATIENCE", 10_000.0)
    write_picture(tmp_path / "source.png", size=(512, 512))
    decoder = impatient(0.4)
    await decoder.open(tmp_path, source())
    (process,) = started
    begun = processor_seconds(process.pid)
    while processor_seconds(process.pid) < begun + 2 * 0.4:
        await decoder.open(tmp_path, source())
    assert started == [process]
    await decoder.close()


async def test_a_picture_that_gets_no_processor_time_is_tried_again_and_its_process_killed(
    sleeper, started, tmp_path
):
    sleeper(
        "import sys, time; sys.stdout.buffer.write(bytes(4)); sys.stdout.flush(); time.sleep(60)"
    )
    decoder = impatient(0.005)
    with pytest.raises(DecoderBusy) as busy:
        await decoder.open(tmp_path, source())
    assert busy.value.reason.key == "decoder-busy"
    assert "the host is busy" in busy.value.reason.sentence
    (process,) = started
    await is_ended(decoder, process)


async def test_a_process_that_is_killed_from_outside_is_not_the_pictures_fault(
    decoder, started, tmp_path
):
    write_picture(tmp_path / "source.png")
    await decoder.open(tmp_path, source())
    started[0].send_signal(signal.SIGKILL)
    with pytest.raises(DecoderBusy) as busy:
        await decoder.open(tmp_path, source())
    assert "memory" in busy.value.reason.sentence
    assert (await decoder.open(tmp_path, source())).width == 64


async def test_a_caller_that_gives_up_leaves_no_process_with_a_stale_answer(
    sleeper, started, tmp_path
):
    asked = tmp_path / "asked"
    sleeper(
        "import pathlib, sys, time; sys.stdout.buffer.write(bytes(4)); sys.stdout.flush();"
        f" sys.stdin.buffer.read(4); pathlib.Path({str(asked)!r}).touch(); time.sleep(60)"
    )
    decoder = Decoder(SETTINGS)
    for number in (1, 2):  # the second one gets a process of its own
        task = asyncio.create_task(decoder.open(tmp_path, source()))
        await until(asked.exists)
        asked.unlink()
        assert (decoder.workers, len(started)) == (1, number)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await is_ended(decoder, started[-1])


async def test_a_broken_installation_is_not_the_pictures_fault(sleeper, tmp_path):
    sleeper("raise SystemExit(1)")
    decoder = Decoder(SETTINGS)
    with pytest.raises(DecoderDown) as down:
        await decoder.open(tmp_path, source())
    assert down.value.reason.next_step
    await decoder.close()


async def test_a_full_disk_is_not_the_pictures_fault(decoder, tmp_path):
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    Image.effect_noise((200, 200), 50).convert("RGBA").save(tmp_path / "source.png")
    (tmp_path / "upright.png").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space"):
        await decoder.open(tmp_path, source())


async def test_a_bomb_meets_the_memory_limit_and_nobody_else(tmp_path):
    # The limit follows the pixels that are allowed, so a decoder gone wild cannot take the host.
    program = (
        "from zoetrope.inbox import source_image_worker as w; w.limit(1)\n"
        "try: bytearray(4 * 2**30)\nexcept MemoryError: raise SystemExit(7)"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program)
    assert await process.wait() == 7


async def test_the_service_itself_never_imports_pillow():
    program = (
        "import sys, zoetrope.inbox.intake, zoetrope.inbox.watcher, zoetrope.inbox.source_image\n"
        "raise SystemExit(any(name in sys.modules for name in ('PIL', 'numpy', 'pillow_heif')))"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program)
    assert await process.wait() == 0


def test_the_worker_answers_until_the_other_side_goes_away(tmp_path):
    file = write_picture(tmp_path / "cat.png")
    body = msgspec.msgpack.encode(OpenRequest(os.fsencode(file), b"/nowhere", 4))
    answers = io.BytesIO()
    serve(io.BytesIO((len(body).to_bytes(4, "big") + body) * 2), answers)
    stream = answers.getvalue()
    assert stream.startswith(READY)
    size = int.from_bytes(stream[4:8], "big")
    assert msgspec.msgpack.decode(stream[8 : 8 + size], type=OpenAnswer).width == 64
    assert len(stream) == 4 + 2 * (4 + size)


async def test_a_worker_can_be_started_ahead_of_the_first_picture(tmp_path):
    decoder = Decoder(InboxSettings())
    try:
        decoder.warm()
        decoder.warm()
        await until(lambda: decoder.workers)
        folder = tmp_path / "work"
        folder.mkdir()
        Image.new("RGB", (64, 48), (1, 2, 3)).save(folder / "cat.png")
        source = CopiedSource(name="cat.png", file="cat.png", sha256="0" * 64, size=1)
        image = await decoder.open(folder, source)
        assert (image.width, image.height) == (64, 48)
        assert decoder.workers == 1
    finally:
        await decoder.close()
    assert decoder.workers == 0


async def test_a_host_without_a_thread_left_is_no_fault_of_the_picture(decoder, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("asyncio.create_subprocess_exec", refuse)
    with pytest.raises(OSError, match="thread") as error:
        await decoder.open(Path(), source(), target="b.png")
    assert trouble(error.value).key == "memory-spent"
