"""Verification on real encoded files: the sound ones pass, each fault is named with its figure."""

import asyncio
import errno
import io
import re
import signal
import sys
from fractions import Fraction

import av
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from zoetrope.jobs import verify, verify_worker
from zoetrope.jobs.verify import READY, Expected, Look, Measured, check, judge

WIDTH, HEIGHT, FRAMES = 320, 192, 17
EXPECTED = Expected(frames=FRAMES, fps=16, width=WIDTH, height=HEIGHT)


def scene(grain: float = 0.0) -> np.ndarray:
    """A picture with soft shapes, hard edges and, if asked for, film grain; wider than the video."""
    noise = np.random.default_rng(3)
    coarse = noise.integers(20, 230, (8, 12, 3), dtype=np.uint8)
    soft = Image.fromarray(coarse).resize((WIDTH + 64, HEIGHT), Image.Resampling.BICUBIC)
    pixels = np.asarray(soft).astype(np.float32)
    pixels[60:130, 100:180] = 240
    return np.clip(pixels + noise.normal(0, grain, pixels.shape), 0, 255).astype(np.uint8)


def night() -> np.ndarray:
    """A black sky with stars."""
    sky = np.zeros((HEIGHT, WIDTH + 64, 3), np.uint8)
    places = np.random.default_rng(4)
    for y, x in zip(
        places.integers(0, HEIGHT - 1, 120), places.integers(0, WIDTH + 62, 120), strict=True
    ):
        sky[y : y + 2, x : x + 2] = 220
    return sky


def drawing() -> np.ndarray:
    """Thin lines on white."""
    paper = Image.new("RGB", (WIDTH + 64, HEIGHT), "white")
    pen = ImageDraw.Draw(paper)
    for n in range(12):
        pen.line([(20 + 28 * n, 20), (60 + 20 * n, HEIGHT - 20)], "black", 2)
    pen.ellipse([120, 40, 220, 140], outline="black", width=3)
    return np.asarray(paper)


KINDS = {"scene": scene, "grainy": lambda: scene(12), "night": night, "drawing": drawing}


def pan(picture, count=FRAMES):
    return [picture[:, n * 2 : n * 2 + WIDTH] for n in range(count)]


def breathing(picture, count=FRAMES):
    """Grow and shrink by a thousandth of the size, no more."""
    whole = Image.fromarray(picture[:, :WIDTH])
    frames = []
    for n in range(count):
        edge = 0.001 * (1 - np.cos(2 * np.pi * n / (count - 1))) / 2
        box = (WIDTH * edge, HEIGHT * edge, WIDTH * (1 - edge), HEIGHT * (1 - edge))
        grown = whole.transform(
            (WIDTH, HEIGHT), Image.Transform.EXTENT, box, Image.Resampling.BICUBIC
        )
        frames.append(np.asarray(grown))
    return frames


def write(file, frames, fps=16, codec="libx264", gaps=None):
    with av.open(str(file), "w") as container:
        stream = container.add_stream(codec, rate=fps)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.options = {"crf": "18"}
        at = 0
        for number, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            if gaps:
                frame.pts, frame.time_base = at, Fraction(1, fps)
                at += gaps[number % len(gaps)]
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return file


@pytest.fixture
def still(tmp_path):
    def save(picture):
        Image.fromarray(picture[:, :WIDTH]).save(tmp_path / "still.png")
        return tmp_path / "still.png"

    return save


async def keys(file, expected=EXPECTED, **more):
    verdict = await check(file, expected, **more)
    for finding in verdict.findings:
        assert re.search(r"\d", finding.sentence) or finding.key == "unreadable", finding
    return [finding.key for finding in verdict.findings]


async def test_a_sound_video_passes_and_leaves_a_poster(tmp_path, still):
    picture = scene()
    file = write(tmp_path / "sound.mp4", pan(picture))
    poster = tmp_path / "poster.jpg"
    verdict = await check(file, EXPECTED, still=still(picture), poster=poster)
    assert verdict.sound, verdict.sentence
    assert (verdict.measured.frames, verdict.measured.fps) == (FRAMES, 16)
    assert verdict.measured.duration == pytest.approx(FRAMES / 16)
    with Image.open(poster) as image:
        assert image.size == (WIDTH, HEIGHT)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("film", [pan, breathing])
async def test_sound_videos_of_every_kind_are_no_false_alarm(tmp_path, still, kind, film):
    picture = KINDS[kind]()
    assert await keys(write(tmp_path / "x.mp4", film(picture)), still=still(picture)) == []


@pytest.mark.parametrize(("name", "codec"), [("x.webm", "libvpx-vp9"), ("x.mkv", "libx265")])
async def test_other_containers_and_codecs_are_looked_at_as_well(tmp_path, still, name, codec):
    picture = scene()
    assert await keys(write(tmp_path / name, pan(picture), codec=codec), still=still(picture)) == []


async def test_a_fade_at_the_end_is_no_fault_and_half_a_black_video_is_one(tmp_path, still):
    picture = scene()
    fade = [
        (frame * max(0.0, min(1.0, (FRAMES - 1 - n) / 5))).astype(np.uint8)
        for n, frame in enumerate(pan(picture))
    ]
    assert await keys(write(tmp_path / "fade.mp4", fade), still=still(picture)) == []
    half = [*pan(picture)[:8], *[np.zeros((HEIGHT, WIDTH, 3), np.uint8)] * 9]
    assert "black" in await keys(write(tmp_path / "half.mp4", half), still=still(picture))


@pytest.mark.parametrize("kind", KINDS)
async def test_black_is_black_beside_every_still(tmp_path, still, kind):
    black = [np.zeros((HEIGHT, WIDTH, 3), np.uint8)] * FRAMES
    assert await keys(write(tmp_path / "x.mp4", black), still=still(KINDS[kind]())) == ["black"]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_video_that_stands_still_is_found(tmp_path, still, kind):
    picture = KINDS[kind]()
    file = write(tmp_path / "x.mp4", [picture[:, :WIDTH]] * FRAMES)
    assert await keys(file, still=still(picture)) == ["frozen"]
    may = msgspec.structs.replace(EXPECTED, motion=False)
    assert await keys(file, may, still=still(picture)) == []


async def test_a_video_that_stops_soon_is_found(tmp_path):
    moved = pan(scene())[:3]
    assert await keys(write(tmp_path / "x.mp4", [*moved, *[moved[-1]] * 14])) == ["frozen"]


@pytest.mark.parametrize("kind", ["scene", "drawing", "night"])
async def test_noise_that_the_picture_does_not_have_is_found(tmp_path, still, kind):
    """Noise as latents leave it: in patches."""
    picture = KINDS[kind]()
    noise = np.random.default_rng(5)
    noisy = []
    for frame in pan(picture):
        patches = noise.normal(0, 30, (HEIGHT // 4, WIDTH // 4, 1)).repeat(4, 0).repeat(4, 1)
        noisy.append(np.clip(frame + patches, 0, 255).astype(np.uint8))
    assert "noise" in await keys(write(tmp_path / "x.mp4", noisy), still=still(picture))


async def test_fine_noise_is_found_as_well(tmp_path, still):
    picture = scene()
    noise = np.random.default_rng(7)
    noisy = [
        np.clip(f + noise.normal(0, 14, f.shape), 0, 255).astype(np.uint8) for f in pan(picture)
    ]
    assert "noise" in await keys(write(tmp_path / "x.mp4", noisy), still=still(picture))


async def test_noise_of_the_colours_alone_is_found(tmp_path, still):
    picture = scene()
    noise = np.random.default_rng(6)
    frames = []
    for frame in pan(picture):
        ycc = np.asarray(Image.fromarray(frame).convert("YCbCr")).astype(np.float32)
        patches = noise.normal(0, 40, (HEIGHT // 4, WIDTH // 4, 2)).repeat(4, 0).repeat(4, 1)
        ycc[..., 1:] += patches
        loud = Image.fromarray(np.clip(ycc, 0, 255).astype(np.uint8), "YCbCr").convert("RGB")
        frames.append(np.asarray(loud))
    verdict = await check(write(tmp_path / "x.mp4", frames), EXPECTED, still=still(picture))
    assert [finding.key for finding in verdict.findings] == ["noise"]
    assert "colour" in verdict.sentence


async def test_burnt_pictures_are_found_and_a_drawing_is_not_burnt(tmp_path, still):
    noise = np.random.default_rng(1)
    small = [noise.integers(0, 2, (HEIGHT // 8, WIDTH // 8, 1)) * 255 for _ in range(FRAMES)]
    frames = [each.astype(np.uint8).repeat(8, 0).repeat(8, 1).repeat(3, 2) for each in small]
    file = write(tmp_path / "burnt.mp4", frames)
    assert "saturated" in await keys(file, still=still(scene()))


async def test_short_slow_and_uneven_are_told_apart(tmp_path):
    picture = scene()
    assert await keys(write(tmp_path / "short.mp4", pan(picture, 9))) == ["frames"]
    assert await keys(write(tmp_path / "slow.mp4", pan(picture), fps=24)) == ["fps"]
    uneven = write(tmp_path / "uneven.mp4", pan(picture), gaps=(1, 1, 4))
    assert set(await keys(uneven)) <= {"fps", "duration"} != set()


async def test_a_wrong_size_is_found(tmp_path):
    file = write(tmp_path / "size.mp4", pan(scene()))
    assert await keys(file, msgspec.structs.replace(EXPECTED, width=640, height=384)) == ["size"]
    larger = msgspec.structs.replace(EXPECTED, size="larger")
    assert await keys(file, larger) == ["size"]
    assert await keys(file, msgspec.structs.replace(larger, width=160, height=96)) == []
    assert await keys(file, msgspec.structs.replace(larger, width=9999, size="any")) == []


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
async def test_what_cannot_be_decoded_is_named(tmp_path, spoil, key):
    whole = write(tmp_path / "whole.mp4", pan(scene(8))).read_bytes()
    (tmp_path / "odd.mp4").write_bytes(spoil(whole))
    assert key in await keys(tmp_path / "odd.mp4")


def sound_alone() -> bytes:
    stream = io.BytesIO()
    with av.open(stream, "w", format="mp4") as container:
        voice = container.add_stream("aac", rate=8000)
        quiet = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), "fltp", "mono")
        quiet.sample_rate = 8000
        container.mux([*voice.encode(quiet), *voice.encode()])
    return stream.getvalue()


async def test_the_container_alone_can_be_asked_for(tmp_path):
    frozen = [scene(grain=30)[:, :WIDTH]] * FRAMES
    file = write(tmp_path / "x.mp4", frozen)
    assert await keys(file, msgspec.structs.replace(EXPECTED, quality=False)) == []


async def test_a_picture_among_the_outputs_only_needs_content(tmp_path):
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

    async def test_one_that_crashes_on_a_video_is_the_videos_fault(self, video, stand_in):
        stand_in(f"import os; os.write(1, {READY!r}); os.kill(os.getpid(), {int(signal.SIGSEGV)})")
        assert await keys(video) == ["unreadable"]

    async def test_one_that_hangs_is_ended(self, video, stand_in, monkeypatch):
        monkeypatch.setattr(verify, "TIMEOUT", 0.3)
        stand_in(f"import os, time; os.write(1, {READY!r}); time.sleep(600)")
        assert await keys(video) == ["unreadable"]

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

        monkeypatch.setattr(verify_worker, "measure", swallow)
        answer = verify_worker.answer(video, None, None, clean=False)
        assert "memory" in answer.unreadable

    def test_a_disk_that_is_full_while_the_tags_are_taken_out_is_the_disks(
        self, video, monkeypatch
    ):
        def full(_):
            raise OSError(errno.ENOSPC, "full")

        monkeypatch.setattr(verify_worker, "strip", full)
        assert verify_worker.answer(video, None, None, clean=True).errno == errno.ENOSPC


STILL = Look(luma=100.0, clipped=0.0, grain=(1.0, 1.0, 1.0), colour=0.5)
SOUND = Measured(
    frames=161,
    fps=32,
    duration=161 / 32,
    width=1080,
    height=1872,
    codec="h264",
    size=3_000_000,
    luma=100,
    dark=0,
    clipped=0,
    motion=2,
    repeated=0,
    grain=(1, 1, 1),
    still=STILL,
)
BAD = {
    "luma": ("black", st.floats(0, 5.9)),
    "dark": ("black", st.floats(0.26, 1)),
    "motion": ("frozen", st.floats(0, 0.119)),
    "repeated": ("frozen", st.floats(0.76, 1)),
    "grain": ("noise", st.floats(8, 200).map(lambda worst: (1.0, 1.0, worst))),
    "colour": ("noise", st.floats(4, 200)),
    "clipped": ("saturated", st.floats(0.76, 1)),
    "size": ("bytes", st.integers(0, 6000) | st.integers(400_000_000, 10**12)),
    "damaged": ("unreadable", st.integers(1, 161)),
    "frames": ("empty", st.just(0)),
}


@pytest.mark.parametrize("name", BAD)
@given(data=st.data())
def test_every_figure_out_of_its_bounds_is_named_with_its_value(name, data):
    key, values = BAD[name]
    found = msgspec.structs.replace(SOUND, **{name: data.draw(values)})
    findings = judge(found, Expected())
    assert key in [finding.key for finding in findings]
    assert all(re.search(r"\d", finding.sentence) for finding in findings)


def test_sound_figures_are_sound():
    assert judge(SOUND, Expected(frames=161, fps=32, width=1080, height=1872)) == ()


def test_frames_without_loss_may_be_large():
    assert judge(msgspec.structs.replace(SOUND, codec="ffv1", size=10**9), Expected()) == ()


@given(
    luma=st.floats(0, 255),
    motion=st.floats(0, 30),
    grain=st.tuples(*[st.floats(0, 60)] * 3),
    less=st.floats(0, 1),
)
def test_less_noise_never_makes_a_video_worse(luma, motion, grain, less):
    found = msgspec.structs.replace(SOUND, luma=luma, motion=motion, grain=grain)
    better = msgspec.structs.replace(found, grain=tuple(g * less for g in grain))
    assert {f.key for f in judge(better, Expected())} <= {f.key for f in judge(found, Expected())}
