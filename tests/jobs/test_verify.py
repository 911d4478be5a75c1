"""Verification on real encoded files: the sound ones pass, each fault is named with its figure."""

import av
import msgspec
import numpy as np
import pytest
from PIL import Image

from zoetrope.jobs import verify
from zoetrope.jobs.verify import Expected, Measured, check, judge

WIDTH, HEIGHT, FRAMES = 320, 192, 17
EXPECTED = Expected(frames=FRAMES, fps=16, width=WIDTH, height=HEIGHT)


def scene(grain: float = 0.0) -> np.ndarray:
    """A picture with soft shapes, hard edges and, if asked for, film grain."""
    noise = np.random.default_rng(3)
    coarse = noise.integers(20, 230, (8, 12, 3), dtype=np.uint8)
    soft = Image.fromarray(coarse).resize((WIDTH + 64, HEIGHT), Image.Resampling.BICUBIC)
    pixels = np.asarray(soft).astype(np.float32)
    pixels[60:130, 100:180] = 240
    return np.clip(pixels + noise.normal(0, grain, pixels.shape), 0, 255).astype(np.uint8)


def write(file, frames, fps=16):
    with av.open(str(file), "w") as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.options = {"crf": "18"}
        for pixels in frames:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return file


def pan(picture, count=FRAMES):
    return [picture[:, n * 2 : n * 2 + WIDTH] for n in range(count)]


@pytest.fixture
def still(tmp_path):
    def save(picture):
        Image.fromarray(picture[:, :WIDTH]).save(tmp_path / "still.png")
        return tmp_path / "still.png"

    return save


async def keys(file, expected=EXPECTED, **more):
    verdict = await check(file, expected, **more)
    for finding in verdict.findings:
        assert finding.sentence
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


async def test_a_grainy_picture_is_no_false_alarm(tmp_path, still):
    picture = scene(grain=12)
    assert await keys(write(tmp_path / "film.mp4", pan(picture)), still=still(picture)) == []


async def test_noise_that_the_picture_does_not_have_is_found(tmp_path, still):
    noisy = scene(grain=12)
    assert await keys(write(tmp_path / "noisy.mp4", pan(noisy)), still=still(scene())) == ["noise"]


async def test_black_frozen_short_and_slow_are_told_apart(tmp_path):
    picture = scene()
    black = [np.zeros((HEIGHT, WIDTH, 3), np.uint8)] * FRAMES
    assert await keys(write(tmp_path / "black.mp4", black)) == ["black"]
    half = [*pan(picture)[:7], *black[7:]]
    assert "black" in await keys(write(tmp_path / "half.mp4", half))
    frozen = [picture[:, :WIDTH]] * FRAMES
    assert await keys(write(tmp_path / "frozen.mp4", frozen)) == ["frozen"]
    assert await keys(write(tmp_path / "short.mp4", pan(picture, 9))) == ["frames"]
    assert await keys(write(tmp_path / "slow.mp4", pan(picture), fps=24)) == ["fps"]


async def test_burnt_pictures_are_found(tmp_path):
    noise = np.random.default_rng(1)
    frames = [
        np.repeat((noise.integers(0, 2, (HEIGHT // 8, WIDTH // 8, 1)) * 255).astype(np.uint8), 8, 0)
        .repeat(8, 1)
        .repeat(3, 2)
        for _ in range(FRAMES)
    ]
    assert "clipped" in await keys(write(tmp_path / "burnt.mp4", frames))


async def test_a_wrong_size_is_found(tmp_path):
    file = write(tmp_path / "size.mp4", pan(scene()))
    assert await keys(file, msgspec.structs.replace(EXPECTED, width=640, height=384)) == ["size"]
    larger = msgspec.structs.replace(EXPECTED, size="larger")
    assert await keys(file, larger) == ["size"]
    assert await keys(file, msgspec.structs.replace(larger, width=160, height=96)) == []
    assert await keys(file, msgspec.structs.replace(larger, width=9999, size="any")) == []


@pytest.mark.parametrize("content", [b"", b"this is text", None])
async def test_what_cannot_be_decoded_is_one_finding(tmp_path, content):
    file = tmp_path / "odd.mp4"
    if content is None:
        whole = write(tmp_path / "whole.mp4", pan(scene())).read_bytes()
        content = whole[: len(whole) // 3]
    file.write_bytes(content)
    assert await keys(file) == ["unreadable"]


async def test_the_container_alone_can_be_asked_for(tmp_path):
    frozen = [scene(grain=30)[:, :WIDTH]] * FRAMES
    file = write(tmp_path / "x.mp4", frozen)
    assert await keys(file, msgspec.structs.replace(EXPECTED, quality=False)) == []


async def test_a_checker_that_does_not_run_is_not_the_videos_fault(tmp_path, monkeypatch):
    monkeypatch.setattr(verify.sys, "executable", "/bin/false")
    with pytest.raises(verify.CheckerDown, match="does not run"):
        await check(write(tmp_path / "x.mp4", pan(scene())), EXPECTED)


async def test_a_checker_that_hangs_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(verify, "TIMEOUT", 0.01)
    assert await keys(write(tmp_path / "x.mp4", pan(scene()))) == ["unreadable"]


def test_a_file_far_out_of_the_band_is_doubted():
    sound = Measured(
        frames=81,
        fps=16,
        duration=5,
        width=832,
        height=480,
        codec="h264",
        size=1_000_000,
        luma=100,
        dark=0,
        clipped=0,
        motion=2,
        repeated=0,
        grain=(1, 1, 1),
    )
    expected = Expected(frames=81, fps=16, width=832, height=480)
    assert judge(sound, expected) == ()
    assert [f.key for f in judge(msgspec.structs.replace(sound, size=2_000), expected)] == ["bytes"]
