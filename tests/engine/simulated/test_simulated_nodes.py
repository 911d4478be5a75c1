"""Nodes read and write files as the real ones do."""

import json
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from tests.engine.simulated.stage import node, picture, read_frames, tiny
from zoetrope.engine.simulated.nodes import REGISTRY
from zoetrope.graphs import catalog

NEEDED = """
UNETLoader UnetLoaderGGUF LoraLoaderModelOnly ModelSamplingSD3 CLIPLoader CLIPLoaderGGUF
CLIPTextEncode VAELoader LoadImage WanImageToVideo WanFirstLastFrameToVideo KSampler
KSamplerAdvanced VAEDecode VAEDecodeTiled VAEEncode CreateVideo SaveVideo LoadVideo
GetVideoComponents SaveImage PreviewImage ImageScale VHS_LoadVideo VHS_VideoCombine
SeedVR2LoadDiTModel SeedVR2LoadVAEModel SeedVR2TorchCompileSettings SeedVR2VideoUpscaler
PathchSageAttentionKJ SaveLatent LoadLatent ClownsharKSampler_Beta ClownsharkChainsampler_Beta
WanVideoNAG ImageFromBatch ImageScaleToTotalPixels FrameInterpolationModelLoader FrameInterpolate
ResizeImageMaskNode VAEEncodeTiled SeedVR2Preprocess SeedVR2Conditioning SeedVR2TemporalChunk
SeedVR2TemporalMerge SeedVR2PostProcessing
""".split()  # noqa: SIM905 - a list of names reads better in rows


def test_what_the_recipes_need_is_played_and_every_player_has_a_signature():
    assert set(NEEDED) | {"RIFE VFI"} <= set(REGISTRY)
    assert set(REGISTRY) <= set(catalog.load().nodes)


async def test_a_video_carries_its_graph_and_rate(client):
    graph = tiny()

    played = await client.play(graph, extra_data={"extra_pnginfo": {"workflow": {"id": "w"}}})

    with av.open(str(client.paths(played)[0])) as container:
        assert json.loads(container.metadata["prompt"]) == graph
        assert json.loads(container.metadata["workflow"]) == {"id": "w"}
        stream = container.streams.video[0]
        assert (stream.codec_context.name, float(stream.average_rate)) == ("h264", 16.0)
    assert client.frames(played).shape == (5, 64, 64, 3)


async def test_the_counter_goes_on_from_the_highest_file(client):
    folder = client.home / "output/zt"
    folder.mkdir()
    (folder / "tiny_00041_.mp4").touch()
    (folder / "tinyish_00099_.mp4").touch()

    assert client.paths(await client.play(tiny()))[0].name == "tiny_00042_.mp4"


async def test_a_moved_file_frees_its_name(client):
    [path] = client.paths(await client.play(tiny(seed=1)))
    path.unlink()

    assert client.paths(await client.play(tiny(seed=2)))[0] == path


@pytest.mark.parametrize(
    ("prefix", "name"),
    [
        ("a/b/c", "a/b/c_00001_.mp4"),
        ("%width%x%height%", "64x64_00001_.mp4"),
        ("%date:yyyy%", "%date:yyyy%_00001_.mp4"),
    ],
)
async def test_a_prefix_makes_folders_and_expands(client, prefix, name):
    played = await client.play(tiny(_17={"filename_prefix": prefix}))

    assert client.paths(played) == [client.home / "output" / name]


async def test_new_bytes_under_an_old_name_run_again(client):
    await client.play(tiny())
    picture(64, 64).rotate(90).save(client.home / "input/start.png")

    played = await client.play(tiny())

    cached = played.of("execution_cached")[0]["nodes"]
    assert "8" in cached
    assert not {"11", "12", "17"} & set(cached)


async def test_what_the_newest_prompt_cannot_use_is_forgotten(client):
    await client.play(tiny(seed=1))
    await client.play(tiny(seed=2))

    played = await client.play(tiny(seed=1))

    assert "13" not in played.of("execution_cached")[0]["nodes"]


async def test_a_cache_of_none_runs_everything(start):
    client = await start(cache="none")
    await client.play(tiny())

    assert (await client.play(tiny())).of("execution_cached")[0]["nodes"] == []


async def test_a_broken_picture_fails_when_it_is_read(client):
    (client.home / "input/start.png").write_bytes(b"not a picture")

    error = (await client.play(tiny())).last[1]

    assert error["exception_type"] == "PIL.UnidentifiedImageError"
    assert error["exception_message"].startswith("cannot identify image file")


async def test_a_picture_is_turned_upright_and_loses_its_alpha(client):
    image = Image.new("RGBA", (40, 20), (200, 10, 10, 0))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(client.home / "input/turned.png", exif=exif)
    graph = {
        "1": node("LoadImage", image="turned.png"),
        "2": node("SaveImage", images=["1", 0], filename_prefix="up"),
    }

    [path] = client.paths(await client.play(graph))

    with Image.open(path) as saved:
        assert saved.size == (20, 40)
        assert saved.mode == "RGB"
        assert saved.getpixel((10, 5)) == (200, 10, 10)
        assert json.loads(saved.text["prompt"])["1"]["class_type"] == "LoadImage"


async def test_a_preview_goes_to_temp_which_a_restart_wipes(client):
    graph = {"1": node("LoadImage", image="start.png"), "2": node("PreviewImage", images=["1", 0])}

    [path] = client.paths(await client.play(graph))
    await client.engine.restart()

    assert path.parent == client.home / "temp"
    assert not path.exists()


async def test_a_clip_is_scaled_interpolated_and_saved(client):
    clip = client.paths(await client.play(tiny(_12={"length": 9})))[0]
    clip.rename(client.home / "input/clip.mp4")
    graph = {
        "1": node("LoadVideo", file="clip.mp4"),
        "2": node("GetVideoComponents", video=["1", 0]),
        "3": node(
            "SeedVR2LoadDiTModel",
            model="seedvr2_ema_3b_fp8_e4m3fn.safetensors",
            device="cuda:0",
            blocks_to_swap=20,
            offload_device="cpu",
        ),
        "4": node(
            "SeedVR2LoadVAEModel",
            model="ema_vae_fp16.safetensors",
            device="cuda:0",
            decode_tiled=True,
            decode_tile_size=64,
            decode_tile_overlap=32,
        ),
        "5": node(
            "SeedVR2VideoUpscaler",
            image=["2", 0],
            dit=["3", 0],
            vae=["4", 0],
            seed=1,
            resolution=128,
            max_resolution=0,
            batch_size=5,
            uniform_batch_size=True,
            color_correction="lab",
            temporal_overlap=2,
        ),
        "6": node(
            "RIFE VFI",
            ckpt_name="rife49.pth",
            frames=["5", 0],
            clear_cache_after_n_frames=10,
            multiplier=2,
            fast_mode=True,
            ensemble=True,
            scale_factor=1.0,
            dtype="float32",
            torch_compile=False,
            batch_size=1,
        ),
        "7": node("CreateVideo", images=["6", 0], fps=32.0),
        "8": node("SaveVideo", video=["7", 0], filename_prefix="up", format="auto", codec="auto"),
    }

    played = await client.play(graph)

    frames = client.frames(played)
    assert frames.shape == (17, 128, 128, 3)
    steps = [p["value"] for p in played.of("progress") if p["node"] == "5"]
    assert steps[0] == 20
    assert steps[-1] == 100
    small = read_frames(client.home / "input/clip.mp4").astype(float)
    assert abs(frames[0].mean() - small[0].mean()) < 4


async def test_swapped_blocks_need_somewhere_to_go(client):
    graph = {
        "1": node(
            "SeedVR2LoadDiTModel",
            model="seedvr2_ema_3b_fp16.safetensors",
            device="cuda:0",
            blocks_to_swap=20,
        ),
        "2": node(
            "SeedVR2VideoUpscaler",
            image=["4", 0],
            dit=["1", 0],
            vae=["3", 0],
            seed=1,
            resolution=128,
            max_resolution=0,
            batch_size=5,
            uniform_batch_size=False,
            color_correction="lab",
        ),
        "3": node("SeedVR2LoadVAEModel", model="ema_vae_fp16.safetensors", device="cuda:0"),
        "4": node("LoadImage", image="start.png"),
        "5": node("PreviewImage", images=["2", 0]),
    }

    assert (await client.play(graph)).last[1]["exception_type"] == "ValueError"


async def test_video_helper_suite_saves_and_loads(client):
    graph = tiny(_12={"length": 9})
    del graph["16"]
    graph["17"] = node(
        "VHS_VideoCombine",
        images=["15", 0],
        frame_rate=16,
        loop_count=0,
        filename_prefix="vhs",
        format="video/h264-mp4",
        pingpong=False,
        save_output=True,
    )
    played = await client.play(graph)
    [saved] = played.outputs["17"]["gifs"]
    assert (saved["filename"], saved["workflow"]) == ("vhs_00001.mp4", "vhs_00001.png")
    assert (saved["frame_rate"], saved["format"]) == (16.0, "video/h264-mp4")
    Path(saved["fullpath"]).rename(client.home / "input/vhs.mp4")
    back = {
        "1": node(
            "VHS_LoadVideo",
            video="vhs.mp4",
            force_rate=0,
            custom_width=0,
            custom_height=0,
            frame_load_cap=3,
            skip_first_frames=1,
            select_every_nth=2,
        ),
        "2": node("SaveImage", images=["1", 0], filename_prefix="frame"),
    }

    paths = client.paths(await client.play(back))

    assert len(paths) == 3
    third = np.asarray(Image.open(paths[1])).astype(int)
    clip = read_frames(client.home / "input/vhs.mp4").astype(int)
    assert np.abs(third[:-8] - clip[3, :-8]).max() <= 1


async def test_frames_kept_without_loss_come_back_as_they_were(client):
    graph = tiny(_12={"length": 9})
    graph["17"] = node(
        "VHS_VideoCombine",
        images=["15", 0],
        frame_rate=16,
        loop_count=0,
        filename_prefix="whole",
        format="video/ffv1-mkv",
        pix_fmt="bgra",
        pingpong=False,
        save_output=False,
    )
    graph["18"] = node("SaveImage", images=["15", 0], filename_prefix="frame")
    played = await client.play(graph)
    [saved] = played.outputs["17"]["gifs"]
    assert (saved["filename"], saved["type"]) == ("whole_00001.mkv", "temp")
    whole = read_frames(Path(saved["fullpath"]))
    pictures = [
        np.asarray(Image.open(client.home / "output" / each["filename"]).convert("RGB"))
        for each in played.outputs["18"]["images"]
    ]
    assert np.array_equal(whole, np.stack(pictures))


async def test_a_short_temporal_window_shows_in_the_video(client):
    graph = tiny(_12={"length": 33})
    graph["15"] = node(
        "VAEDecodeTiled",
        samples=["14", 0],
        vae=["10", 0],
        tile_size=512,
        overlap=64,
        temporal_size=16,
        temporal_overlap=4,
    )
    narrow = client.frames(await client.play(graph))
    graph["15"]["inputs"]["temporal_size"] = 36

    wide = client.frames(await client.play(graph))

    assert flicker(narrow) > 2 * flicker(wide)
    assert len(narrow) == len(wide) == 33


def flicker(frames):
    light = frames[:, :-8].astype(float).mean(axis=(1, 2, 3))
    return np.abs(np.diff(light, n=2)).max()


async def test_a_node_that_is_not_played_says_so(client):
    graph = {
        "1": node("LoadImage", image="start.png"),
        "2": node("ImageInvert", image=["1", 0]),
        "3": node("PreviewImage", images=["2", 0]),
    }

    error = (await client.play(graph)).last[1]

    assert "does not support ImageInvert" in error["exception_message"]
    assert error["node_id"] == "2"
