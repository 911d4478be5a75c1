"""A clean hand-over between two samplers gives a clean video; every broken one leaves noise."""

import numpy as np
import pytest
from PIL import Image

from tests.engine.simulated.stage import grain, node, picture, read_frames, tiny

SIZE = {"width": 128, "height": 96, "length": 9}


def hero(**changes):
    """Twenty steps, five of them by the high-noise expert, shift 8."""
    base = {
        "_5": {"shift": 8.0},
        "_6": {"shift": 8.0},
        "_12": SIZE,
        "_13": {"steps": 20, "end_at_step": 5, "cfg": 3.5},
        "_14": {"steps": 20, "start_at_step": 5},
    }
    merged = {k: {**base.get(k, {}), **changes.get(k, {})} for k in base.keys() | changes.keys()}
    return tiny(**merged)


CLEAN = {
    "two experts": {},
    "four steps at shift 5": {
        "_5": {"shift": 5.0},
        "_6": {"shift": 5.0},
        "_13": {"steps": 4, "end_at_step": 2},
        "_14": {"steps": 4, "start_at_step": 2},
    },
    "res_2s": {"_13": {"sampler_name": "res_2s"}, "_14": {"sampler_name": "res_2s"}},
    "heun and beta": {
        "_13": {"sampler_name": "heun", "scheduler": "beta"},
        "_14": {"sampler_name": "heun", "scheduler": "beta"},
    },
    "lcm, which draws fresh noise": {
        "_13": {"sampler_name": "lcm"},
        "_14": {"sampler_name": "lcm"},
    },
    "leftover noise asked for after the last step": {
        "_14": {"return_with_leftover_noise": "enable"}
    },
}

BROKEN = {
    "S002 a gap in the steps": {"_14": {"start_at_step": 8}},
    "S002 an overlap of steps": {"_14": {"start_at_step": 3}},
    "S003 other steps": {"_14": {"steps": 30}},
    "S003 another scheduler": {"_14": {"scheduler": "karras"}},
    "S004 no leftover noise": {"_13": {"return_with_leftover_noise": "disable"}},
    "S005 noise added twice": {"_14": {"add_noise": "enable"}},
    "S006 stopped before the end": {
        "_14": {"end_at_step": 18, "return_with_leftover_noise": "enable"}
    },
    "S012 another shift": {"_6": {"shift": 5.0}},
    "no noise at the start": {"_13": {"add_noise": "disable"}},
}


@pytest.mark.parametrize("name", CLEAN)
async def test_a_sound_hand_over_is_clean(client, name):
    frames = client.frames(await client.play(hero(**CLEAN[name])))

    assert grain(frames) < 3
    assert frames.shape == (9, 96, 128, 3)


@pytest.mark.parametrize("name", BROKEN)
async def test_a_broken_hand_over_leaves_noise(client, name):
    clean = grain(client.frames(await client.play(hero())))

    broken = grain(client.frames(await client.play(hero(**BROKEN[name]))))

    assert broken > 3 * clean
    assert broken > 4


async def test_the_first_frame_is_the_picture(client):
    frames = client.frames(await client.play(hero()))

    given = Image.open(client.home / "input/start.png").convert("RGB")
    wanted = np.asarray(given.crop((5, 0, 91, 64)).resize((128, 96), Image.Resampling.BILINEAR))
    difference = np.abs(frames[0, :-12].astype(int) - wanted[:-12])
    assert difference.mean() < 6


async def test_the_video_moves_and_each_seed_moves_differently(client):
    one = client.frames(await client.play(hero())).astype(int)
    two = client.frames(await client.play(hero(_13={"noise_seed": 120}))).astype(int)

    assert np.abs(np.diff(one, axis=0)).mean() > 0.2
    assert np.abs(one[-1] - two[-1]).mean() > 1


async def test_experts_in_reverse_order_lose_detail(client):
    stripes = np.tile(np.repeat(np.array([60, 190], np.uint8), 3), (64, 16))
    Image.fromarray(stripes).convert("RGB").save(client.home / "input/start.png")
    sharp = client.frames(await client.play(hero())).astype(float)
    reverse = hero()
    high, low = reverse["1"]["inputs"], reverse["2"]["inputs"]
    high["unet_name"], low["unet_name"] = low["unet_name"], high["unet_name"]

    soft = client.frames(await client.play(reverse)).astype(float)

    assert detail(soft) < 0.8 * detail(sharp)


def detail(frames):
    inner = frames[:, 4:-12, 4:-4].mean(-1)
    return np.abs(np.diff(inner, axis=2)).mean()


async def test_a_latent_can_wait_in_a_file_between_two_stages(client):
    first = hero()
    for node_id in ("2", "6", "14", "15", "16", "17"):
        del first[node_id]
    first["20"] = node("SaveLatent", samples=["13", 0], filename_prefix="hand/over")
    saved = await client.play(first)
    [path] = client.paths(saved)
    second = hero()
    for node_id in ("1", "5", "13"):
        del second[node_id]
    second["21"] = node("LoadLatent", latent="hand/over_00001_.latent [output]")
    second["14"]["inputs"]["latent_image"] = ["21", 0]

    frames = client.frames(await client.play(second))

    assert path.stat().st_mode & 0o777 == 0o600
    assert grain(frames) < 3


async def test_first_and_last_frame_are_met(client):
    graph = hero()
    graph["18"] = node("LoadImage", image="end.png")
    picture().transpose(1).save(client.home / "input/end.png")
    graph["12"]["class_type"] = "WanFirstLastFrameToVideo"
    graph["12"]["inputs"]["end_image"] = ["18", 0]

    frames = client.frames(await client.play(graph)).astype(int)

    assert grain(frames) < 3
    upside_down = np.abs(frames[-1, 16:-16] - frames[0, ::-1][16:-16]).mean()
    assert upside_down < 6 < np.abs(frames[-1, 16:-16] - frames[0, 16:-16]).mean()


async def test_a_text_alone_makes_a_clean_moving_video(client):
    graph = tiny()
    graph["11"] = node("EmptyHunyuanLatentVideo", width=128, height=96, length=9, batch_size=1)
    del graph["12"]
    for node_id in ("13", "14"):
        graph[node_id]["inputs"] |= {"positive": ["8", 0], "negative": ["9", 0]}
    graph["13"]["inputs"]["latent_image"] = ["11", 0]

    frames = client.frames(await client.play(graph))

    assert frames.shape == (9, 96, 128, 3)
    assert grain(frames) < 3
    assert np.abs(np.diff(frames.astype(int), axis=0)).mean() > 0.1


async def test_encoded_footage_with_half_the_noise_comes_back(client):
    graph = {n: tiny()[n] for n in ("1", "7", "8", "10", "11", "15", "16", "17")}
    graph["12"] = node(
        "ImageScale", image=["11", 0], upscale_method="lanczos", width=128, height=96, crop="center"
    )
    graph["13"] = node("VAEEncode", pixels=["12", 0], vae=["10", 0])
    graph["14"] = node(
        "KSampler",
        model=["1", 0],
        positive=["8", 0],
        negative=["8", 0],
        latent_image=["13", 0],
        seed=3,
        steps=6,
        cfg=1.0,
        sampler_name="euler",
        scheduler="simple",
        denoise=0.5,
    )
    graph["20"] = node("SaveImage", images=["12", 0], filename_prefix="given")

    played = await client.play(graph)

    given = np.asarray(Image.open(client.home / "output/given_00001_.png")).astype(int)
    [video] = [path for path in client.paths(played) if path.suffix == ".mp4"]
    shown = read_frames(video).astype(int)
    assert np.abs(shown[0] - given)[:-12].mean() < 8
    assert grain(shown) < 3


async def test_clownshark_hands_its_noise_levels_on(client):
    graph = hero()
    common = {"eta": 0.0, "sampler_name": "exponential/res_2s", "bongmath": True}
    graph["13"] = node(
        "ClownsharKSampler_Beta",
        **common,
        scheduler="simple",
        steps=10,
        steps_to_run=3,
        denoise=1.0,
        cfg=3.5,
        seed=7,
        sampler_mode="standard",
        model=["5", 0],
        positive=["12", 0],
        negative=["12", 1],
        latent_image=["12", 2],
    )
    graph["14"] = node(
        "ClownsharkChainsampler_Beta",
        **common,
        steps_to_run=-1,
        cfg=1.0,
        sampler_mode="resample",
        model=["6", 0],
        positive=["12", 0],
        negative=["12", 1],
        latent_image=["13", 0],
    )

    played = await client.play(graph)

    assert played.last[0] == "execution_success"
    assert grain(client.frames(played)) < 3


async def test_clownsharks_latent_in_a_core_sampler_leaves_noise(client):
    graph = hero()
    graph["13"] = node(
        "ClownsharKSampler_Beta",
        eta=0.0,
        sampler_name="linear/euler",
        bongmath=True,
        scheduler="beta57",
        steps=20,
        steps_to_run=5,
        denoise=1.0,
        cfg=3.5,
        seed=7,
        sampler_mode="standard",
        model=["5", 0],
        positive=["12", 0],
        negative=["12", 1],
        latent_image=["12", 2],
    )

    assert grain(client.frames(await client.play(graph))) > 4
