"""Batches of a latent go through the nodes below one by one, and come together as they were."""

import numpy as np
import pytest

from tests.engine.simulated.stage import node, picture
from zoetrope.engine.simulated import lists
from zoetrope.engine.simulated.nodes.native_upscale import finish, join, pad, split
from zoetrope.engine.simulated.values import Latent, Listed, Result


def batches(whole, frames, overlap):
    options = {"chunking_mode.frames_per_chunk": frames}
    chunks, shared = split(
        None, latent=Latent(whole), temporal_overlap=overlap, chunking_mode="manual", **options
    ).values
    return chunks.values, shared


@pytest.mark.parametrize("frames", [5, 9, 13, 41, 81, 121])
@pytest.mark.parametrize("overlap", [0, 1, 3, 30])
@pytest.mark.parametrize("length", [2, 3, 6, 21])
def test_a_clip_that_is_cut_and_joined_is_the_same(frames, overlap, length):
    whole = np.random.default_rng(1).random((1, 16, length, 2, 2), dtype=np.float32)
    parts, shared = batches(whole, frames, overlap)
    assert all(part.samples.shape[2] <= (frames - 1) // 4 + 1 for part in parts)
    joined = join(None, latents=parts, temporal_overlap=(shared,)).values[0]
    assert joined.samples.shape == whole.shape
    np.testing.assert_allclose(joined.samples, whole, atol=1e-6)


def test_only_4n_plus_1_frames_are_a_batch():
    with pytest.raises(ValueError, match="4n"):
        batches(np.zeros((1, 16, 9, 2, 2), np.float32), 12, 0)


@pytest.mark.parametrize(("count", "padded"), [(1, 1), (2, 5), (5, 5), (6, 9), (81, 81)])
def test_what_is_padded_is_cut_off_again(count, padded):
    frames = np.random.default_rng(2).integers(0, 255, (count, 51, 35, 3), dtype=np.uint8)
    (more,) = pad(None, resized_images=frames).values
    assert more.shape == (padded, 64, 48, 3)
    (kept,) = finish(
        None, images=more, original_resized_images=frames, color_correction_method="none"
    ).values
    np.testing.assert_array_equal(kept, frames[:, :50, :34])


def test_a_shorter_list_goes_on_with_its_last_value():
    def add(*, a, b):
        return Result((a + b,))

    assert lists.call("Add", add, {"a": 1, "b": 2}).values == (3,)
    found = lists.call("Add", add, {"a": Listed((1, 2, 3)), "b": Listed((10, 20))})
    assert found.values == (Listed((11, 22, 23)),)
    assert lists.call("Add", add, {"a": Listed((1,)), "b": 2}).values == (3,)


async def test_each_batch_is_sampled_and_all_of_them_are_one_clip(client):
    picture(64, 64).save(client.home / "input/start.png")
    graph = {
        "1": node("LoadImage", image="start.png"),
        "2": node("RepeatImageBatch", image=["1", 0], amount=17),
        "3": node("VAELoader", vae_name="seedvr2_ema_vae_fp16.safetensors"),
        "4": node("VAEEncode", pixels=["2", 0], vae=["3", 0]),
        "5": node(
            "SeedVR2TemporalChunk",
            **{
                "latent": ["4", 0],
                "temporal_overlap": 1,
                "chunking_mode": "manual",
                "chunking_mode.frames_per_chunk": 9,
            },
        ),
        "6": node(
            "UNETLoader", unet_name="seedvr2_3b_fp16.safetensors", weight_dtype="default"
        ),
        "7": node("SeedVR2Conditioning", model=["6", 0], vae_conditioning=["5", 0]),
        "8": node(
            "KSampler", model=["6", 0], positive=["7", 0], negative=["7", 1],
            latent_image=["5", 0], seed=1, steps=1, cfg=1.0, sampler_name="euler",
            scheduler="simple", denoise=1.0,
        ),
        "9": node("SeedVR2TemporalMerge", latents=["8", 0], temporal_overlap=["5", 1]),
        "11": node("VAEDecode", samples=["9", 0], vae=["3", 0]),
        "12": node("CreateVideo", images=["11", 0], fps=16.0),
        "13": node(
            "SaveVideo", video=["12", 0], filename_prefix="v", format="mp4", codec="h264"
        ),
    }  # fmt: skip
    played = await client.play(graph)
    steps = [each for each in played.of("progress") if each["node"] == "8"]
    assert len(steps) == 2, "two batches, of one step each"
    assert client.frames(played).shape == (17, 64, 64, 3)
