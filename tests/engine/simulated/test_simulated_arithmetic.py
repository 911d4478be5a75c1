"""Noise levels, beats, the codec, interpolation and upscaling do the sums they promise."""

import math
from itertools import pairwise

import numpy as np
import pytest

from tests.engine.simulated.stage import picture
from zoetrope.engine.simulated import codec, mark, motion
from zoetrope.engine.simulated.drift import shift_between
from zoetrope.engine.simulated.nodes.interpolate import interpolated
from zoetrope.engine.simulated.nodes.upscale import stretches, upscaled_size
from zoetrope.engine.simulated.sampling import enter, integrate, leave, noise
from zoetrope.engine.simulated.values import Scene, Trajectory
from zoetrope.graphs.schedules import SCHEDULERS, beta_quantile, segment, sigmas

# Taken from ComfyUI's own tables, shift 8 and 20 steps: levels 0, 5, 10 and 19.
KNOWN = {
    "simple": (1.0, 0.96, 0.88889, 0.2963),
    "beta": (1.0, 0.974, 0.88928, 0.102),
    "normal": (1.0, 0.9577, 0.87983, 0.06021),
    "karras": (1.0, 0.37344, 0.11864, 0.00794),
    "bong_tangent": (1.0, 0.9395, 0.73683, 0.01744),
}


@pytest.mark.parametrize("scheduler", KNOWN)
def test_a_schedule_has_comfyuis_own_levels(scheduler):
    levels = sigmas(scheduler, 20, 8.0)

    assert [levels[i] for i in (0, 5, 10, 19)] == pytest.approx(KNOWN[scheduler], abs=1e-4)


@pytest.mark.parametrize(
    ("steps", "split", "shift", "level"),
    [(20, 3, 8, 0.978), (20, 4, 8, 0.970), (20, 5, 8, 0.960), (20, 10, 8, 0.889), (4, 2, 5, 0.833)],
)
def test_the_level_at_hand_over_is_the_official_one(steps, split, shift, level):
    assert sigmas("simple", steps, shift)[split] == pytest.approx(level, abs=5e-4)


def test_four_steps_at_shift_five():
    assert sigmas("simple", 4, 5.0) == pytest.approx([1.0, 0.9375, 0.83333, 0.625, 0.0], abs=1e-5)


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize("steps", [1, 2, 4, 20, 50])
def test_every_schedule_falls_from_noise_to_nothing(scheduler, steps):
    levels = sigmas(scheduler, steps, 8.0)

    assert levels[-1] == pytest.approx(0.0)
    assert all(before > after for before, after in pairwise(levels))
    assert len(levels) >= 2
    if steps >= 20:
        assert levels[0] > 0.99


def test_a_part_of_a_run_starts_and_ends_where_it_should():
    levels = sigmas("simple", 4, 5.0)

    assert segment(levels, 0, 2, keep_noise=True) == levels[:3]
    assert segment(levels, 0, 2, keep_noise=False) == [*levels[:2], 0.0]
    assert segment(levels, 2, 10000, keep_noise=False) == levels[2:]
    assert segment(levels, 4, 10000, keep_noise=False) == []


def test_a_lower_denoise_keeps_the_last_steps_of_a_longer_run():
    assert sigmas("simple", 4, 5.0, denoise=0.5) == sigmas("simple", 8, 5.0)[-5:]
    assert sigmas("simple", 4, 5.0, denoise=0.0) == []


def test_the_beta_distribution_is_inverted():
    assert beta_quantile(0.5, 0.6, 0.6) == pytest.approx(0.5)
    # The arcsine law has a closed form.
    assert beta_quantile(0.2, 0.5, 0.5) == pytest.approx(math.sin(math.pi * 0.1) ** 2, abs=1e-9)


@pytest.mark.parametrize("sampler", ["euler", "res_2s", "res_3s", "lcm", "euler_ancestral"])
def test_a_whole_run_ends_at_its_target(sampler):
    target = noise(Trajectory(9), (1, 16, 2, 4, 4))
    path = Trajectory(1)
    levels = sigmas("simple", 6, 8.0)
    seen = []

    x = enter(np.zeros_like(target), noise(path, target.shape), levels[0])
    x, _ = integrate(
        x, levels, target, path, sampler=sampler, step=lambda i, n: seen.append((i, n))
    )

    assert np.abs(x - target).max() < 1e-4
    assert seen == [(i + 1, 6) for i in range(6)]


def test_leaving_and_entering_at_the_same_level_changes_nothing():
    x = noise(Trajectory(3), (1, 2, 1, 2, 2))

    assert enter(leave(x, 0.96), None, 0.96) == pytest.approx(x, abs=1e-5)


def test_beats_are_read_with_their_times():
    text = (
        "Beat 1 (0-2s): she breathes. Beat 2 (2-4.5s): the camera slowly zooms in, no panning left."
    )

    first, second = motion.beats(text, 5.0)

    assert (first.start, first.end, second.start, second.end) == (0, 2, 2, 4.5)
    assert first.move.breath > 0
    assert second.move.zoom > 0
    assert second.move.right == 0


@pytest.mark.parametrize("text", ["", "Static camera.", "nothing of note", "Beat x (1.2.3-4s): y"])
def test_no_text_makes_the_picture_stand_still(text):
    scene = Scene(96, 64, 17, np.asarray(picture())[None])

    frames = motion.film(scene, text, seed=3).astype(int)

    assert len(frames) == 5
    assert np.abs(frames[0] - np.asarray(picture())).max() <= 1
    assert np.abs(np.diff(frames, axis=0)).mean() > 0.3


def test_zoom_grows_over_its_beat_and_stays():
    plan = motion.beats("Beat 1 (0-1s): zoom in. Beat 2 (1-3s): she smiles", 3.0)

    scales = [motion.pose(plan, t, 0, 100, 100).scale for t in (0, 0.5, 1, 3)]

    assert scales[0] == 1 < scales[1] < scales[2] == scales[3]


def test_the_codec_gives_back_a_soft_version_of_the_video():
    film = motion.film(Scene(96, 64, 17, np.asarray(picture())[None]), "zoom in", 1, every=1)

    latent = codec.encode(film)
    back = codec.decode(latent)

    assert latent.shape == (1, 16, 5, 8, 12)
    assert back.shape == film.shape
    assert np.abs(back.astype(int) - film).mean() < 4


@pytest.mark.parametrize(("frames", "latents"), [(1, 1), (5, 2), (81, 21), (80, 20)])
def test_four_frames_share_a_latent(frames, latents):
    assert codec.latent_length(frames) == latents


def test_noise_in_a_latent_is_noise_in_the_frames():
    latent = codec.encode(np.stack([np.asarray(picture())] * 5))

    dirty = codec.decode(latent + np.float32(0.3) * noise(Trajectory(1), latent.shape))

    assert dirty.astype(int).std() > codec.decode(latent).astype(int).std()
    assert np.abs(dirty.astype(int) - codec.decode(latent)).mean() > 5


def test_a_window_over_the_clip_decodes_like_the_whole_and_a_short_one_shows_seams():
    latent = codec.encode(np.stack([np.asarray(picture())] * 33))
    whole = codec.decode(latent).astype(float)

    wide = codec.decode_tiled(latent, 21, 2).astype(float)
    narrow = codec.decode_tiled(latent, 4, 1).astype(float)

    assert np.array_equal(whole, wide)
    light = narrow.mean(axis=(1, 2, 3))
    assert np.abs(np.diff(whole.mean(axis=(1, 2, 3)))).max() < 0.5
    assert np.abs(np.diff(light)).max() > 1


def test_nan_decodes_to_black():
    assert codec.decode(np.full((1, 16, 1, 4, 4), np.nan, np.float32)).max() == 0


class Context:
    def step(self, *_):
        pass

    def breathe(self):
        pass


def test_interpolation_moves_what_moves():
    wide = np.asarray(picture(200, 64))
    clip = np.stack([wide[:, i : i + 128] for i in (0, 4, 8)])

    out = interpolated(Context(), clip, 2, steps=False)

    assert len(out) == 5
    right, down = shift_between(clip[0], clip[1])
    assert (right, down) == pytest.approx((-4, 0), abs=0.6)
    error = np.abs(out[1, :, 8:-8].astype(int) - wide[:, 2:130][:, 8:-8]).mean()
    blend = np.abs((clip[0].astype(int) + clip[1])[:, 8:-8] // 2 - wide[:, 2:130][:, 8:-8]).mean()
    assert error <= blend


@pytest.mark.parametrize(
    ("frames", "times", "out"), [(81, 2, 161), (5, 4, 17), (1, 2, 1), (9, 1, 9)]
)
def test_interpolation_counts_frames_as_rife_does(frames, times, out):
    clip = np.zeros((frames, 8, 8, 3), np.uint8)

    assert len(interpolated(Context(), clip, times, steps=False)) == out


@pytest.mark.parametrize(
    ("size", "short", "longest", "target"),
    [
        ((832, 480), 1080, 0, (1872, 1080)),
        ((832, 480), 1080, 1920, (1872, 1080)),
        ((1280, 720), 1080, 1600, (1600, 900)),
        ((64, 64), 128, 0, (128, 128)),
    ],
)
def test_the_upscaler_aims_at_the_short_side(size, short, longest, target):
    assert upscaled_size(*size, short, longest) == target


def test_the_upscalers_windows_overlap_and_cover_the_clip():
    windows = stretches(81, 13, 4)

    assert windows[0] == (0, 13)
    assert windows[1] == (9, 22)
    assert windows[-1][1] == 81


def test_the_mark_is_seen_on_a_picture_and_hardly_on_black():
    grey = np.full((64, 64, 3), 128, np.uint8)
    black = np.zeros((64, 64, 3), np.uint8)

    assert np.abs(mark.stamped(grey).astype(int) - grey).max() > 80
    assert mark.stamped(black).mean() < 1
    assert np.array_equal(mark.stamped(grey)[:-8], grey[:-8])
    assert mark.stamped(np.zeros((4, 4, 3), np.uint8)).shape == (4, 4, 3)
