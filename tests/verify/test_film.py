"""One pass through a video: sound ones of every kind pass, every figure out of its bounds is named."""

import re
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.verify.clips import EXPECTED, FRAMES, HEIGHT, KINDS, WIDTH, breathing, pan, scene, write
from zoetrope.domain.verdict import Appearance, Doubt, Measured
from zoetrope.verify import film
from zoetrope.verify.check import check
from zoetrope.verify.expected import Expected
from zoetrope.verify.film import judge
from zoetrope.verify.measure import Measure
from zoetrope.verify.measures import all_measures


async def test_a_sound_video_passes_and_leaves_a_poster(tmp_path, image):
    picture = scene()
    file = write(tmp_path / "sound.mp4", pan(picture))
    poster = tmp_path / "poster.jpg"
    verdict = await check(file, EXPECTED, image=image(picture), poster=poster)
    assert verdict.passed, verdict.sentence
    assert (verdict.measured.frames, verdict.measured.fps) == (FRAMES, 16)
    assert verdict.measured.duration == pytest.approx(FRAMES / 16)
    with Image.open(poster) as image:
        assert image.size == (WIDTH, HEIGHT)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("moved", [pan, breathing])
async def test_sound_videos_of_every_kind_are_no_false_alarm(tmp_path, image, kind, moved, keys):
    picture = KINDS[kind]()
    assert await keys(write(tmp_path / "x.mp4", moved(picture)), image=image(picture)) == []


@pytest.mark.parametrize(("name", "codec"), [("x.webm", "libvpx-vp9"), ("x.mkv", "libx265")])
async def test_other_containers_and_codecs_are_looked_at_as_well(
    tmp_path, image, name, codec, keys
):
    picture = scene()
    assert await keys(write(tmp_path / name, pan(picture), codec=codec), image=image(picture)) == []


async def test_the_container_alone_can_be_asked_for(tmp_path, keys):
    frozen = [scene(grain=30)[:, :WIDTH]] * FRAMES
    file = write(tmp_path / "x.mp4", frozen)
    assert await keys(file, msgspec.structs.replace(EXPECTED, quality=False)) == []


IMAGE = Appearance(luma=100.0, clipped=0.0, grain=(1.0, 1.0, 1.0), colour=0.5)
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
    image=IMAGE,
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


def test_every_file_of_the_folder_is_a_measure_that_takes_part():
    folder = Path(film.__file__).parent / "measures"
    files = {file.stem for file in folder.glob("[!_]*.py")}
    assert {each.__module__.rpartition(".")[2] for each in all_measures()} == files
    tested = {file.stem.removeprefix("test_") for file in Path(__file__).parent.glob("test_*.py")}
    assert files <= tested, "each has a test with its defect"


def test_a_new_measure_needs_no_more_than_its_class(tmp_path, image, monkeypatch):
    """The figure of a new measure gets into the receipt without a field of its own."""

    class Redness(Measure):
        def __init__(self):
            self.reds = []

        def see(self, frame, source):
            if frame.sampled:
                self.reds.append(float(frame.picture.rgb[..., 0].mean()))

        def figures(self):
            return {"red": max(self.reds)}

        @staticmethod
        def look(picture):
            return {"red": float(picture.rgb[..., 0].mean())}

        @staticmethod
        def judge(found, expected):
            if found.more["red"] > found.image.more["red"] + 50:
                yield Doubt("red", f"It turns red: {found.more['red']:.0f} of 255.")

    picture = scene()
    reddened = [
        np.clip(f + np.array([n * 8, 0, 0]), 0, 255).astype(np.uint8)
        for n, f in enumerate(pan(picture))
    ]
    file = write(tmp_path / "x.mp4", reddened)
    monkeypatch.setattr(film, "all_measures", lambda: (*all_measures(), Redness))
    found = film.measure(file, image(picture), None)
    assert "red" in [finding.key for finding in judge(found, EXPECTED)]
    assert msgspec.json.decode(msgspec.json.encode(found), type=Measured) == found
