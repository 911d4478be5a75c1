"""Every shipped recipe on a real ComfyUI with the real node packs: its graphs are accepted, and run on tiny weights.

`make tiny-models` makes them: the server's tiny models answer to the real files' names, among them
`loras/`, `unet/` (GGUF) and those of ComfyUI's own SeedVR2 and RIFE. The tiny model of SeedVR2's pack is
`SEEDVR2/tiny_seedvr2_3b.safetensors`, the wrapper's are `diffusion_models/tiny_wan22_i2v_d1536.safetensors`
(30 layers) and a VAE of the real size.
"""

import asyncio
import uuid

import av
import numpy as np
import pytest
from PIL import Image

from tests.fakes.source_image import plain_image
from zoetrope.engine.comfyui import ComfyEngine
from zoetrope.engine.protocol import Finished
from zoetrope.errors import EngineRefused
from zoetrope.graphs.graph import put
from zoetrope.graphs.release import is_older
from zoetrope.graphs.shelf import Recipes, shipped
from zoetrope.inbox.ticket import resolve
from zoetrope.settings import EngineSettings

pytestmark = pytest.mark.engine

SHELF = Recipes((shipped(),))
STAGES = [(name, spec.name) for name in SHELF.names() for spec in SHELF.get(name).file.stages]
# What differs on a host without a card: nothing else does.
WITHOUT_A_CARD = {
    # The wrapper wants a VAE of the real size, and experts as wide as a real one, be their weights what they may.
    "WanVideoModelLoader": {"model": "tiny_wan22_i2v_d1536.safetensors"},
    "WanVideoVAELoader": {"model_name": "tiny_wan21_vae_d96.safetensors"},
    "SeedVR2LoadDiTModel": {
        # The pack looks at the hash of a file with the real name, so the tiny one keeps its own.
        "model": "tiny_seedvr2_3b.safetensors",
        "device": "cpu", "offload_device": "none", "blocks_to_swap": 0, "attention_mode": "sdpa",
        "swap_io_components": False, "cache_model": False,
    },
    "SeedVR2LoadVAEModel": {"device": "cpu", "offload_device": "none", "cache_model": False},
    "SeedVR2VideoUpscaler": {"resolution": 96, "max_resolution": 0, "offload_device": "none"},
    "ResizeImageMaskNode": {"resize_type.shorter_size": 96},
}  # fmt: skip
PATIENCE = 600  # the wrapper, on a processor


@pytest.fixture
async def engine(real_url):
    engine = ComfyEngine(EngineSettings(name="real", url=real_url), f"test-{uuid.uuid4().hex}")
    await engine.start()
    yield engine
    await engine.close()


CLIP = 6  # frames: no 4n+1, so that SeedVR2 pads it


def draw(folder):
    picture = Image.effect_noise((64, 64), 40).convert("RGB")
    picture.save(folder / "still.png")
    with av.open(str(folder / "clip.mp4"), "w") as video:
        stream = video.add_stream("libx264", rate=16)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for shade in range(CLIP):
            frame = np.full((64, 64, 3), 40 * shade, dtype=np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")):
                video.mux(packet)
        for packet in stream.encode():
            video.mux(packet)


def watch(file) -> tuple[list[float], tuple[int, int], float]:
    """Give a video's brightness by frame, its size and its rate."""
    with av.open(str(file)) as video:
        stream = video.streams.video[0]
        means = [frame.to_ndarray(format="gray").mean() for frame in video.decode(stream)]
        return means, (stream.width, stream.height), float(stream.average_rate)


def small(recipe, spec, files, order=""):
    """Build a stage's graph for a clip of five frames, or of a video's own."""
    clip = recipe.file.clip
    image = plain_image("x", frames=CLIP if clip else 0, fps=16.0 if clip else 0.0)
    asked = {} if clip else {"frames": 5, "width": 256, "height": 256}
    if order:
        asked["order"] = order
    ticket = resolve(asked, recipe)
    plan = recipe.plan(ticket, image, uuid.uuid4().int % 2**31, end=image)
    graph = recipe.build(plan, spec, files=files, prefix=f"zoetrope/{uuid.uuid4().hex}")
    for name, node in graph.items():
        changes = WITHOUT_A_CARD.get(node.class_type, {})
        graph = put(graph, {f"{name}.{key}": value for key, value in changes.items()})
    return graph


@pytest.mark.parametrize(("name", "stage"), STAGES)
async def test_every_stage_of_every_recipe_runs(engine, tmp_path, name, stage):
    draw(tmp_path)
    recipe = SHELF.get(name)
    spec = recipe.stage(stage)
    files = {
        "picture": await engine.upload(tmp_path / "still.png", "still.png"),
        "end_picture": await engine.upload(tmp_path / "still.png", "still.png"),
        "source": await engine.upload(tmp_path / "clip.mp4", "clip.mp4"),
    }
    prompt_id = str(uuid.uuid4())
    graph = small(recipe, spec, files)
    if is_older((await engine.stats()).version, recipe.file.comfyui) and spec.source:
        with pytest.raises(EngineRefused) as error:
            await engine.submit(graph, prompt_id, tags={})
        assert error.value.reason.key in ("node-missing", "model-missing")
        return
    await engine.submit(graph, prompt_id, tags={})
    async with asyncio.timeout(PATIENCE):
        *_, end = [event async for event in engine.follow(prompt_id)]
    assert isinstance(end, Finished), end
    (made,) = [output for output in end.outputs if output.node == spec.output]
    if spec.source:
        await engine.fetch(made, tmp_path / "made.mp4")
        shades, size, rate = watch(tmp_path / "made.mp4")
        assert (len(shades), size, rate) == (2 * CLIP - 1, (96, 96), 32.0)
        # Every second frame is one of the clip's, in their order.
        assert shades[::2] == sorted(shades[::2])
        assert shades[-1] > shades[0] + 100


async def test_the_experiment_runs_in_its_other_order_too(engine, tmp_path):
    draw(tmp_path)
    recipe = SHELF.get("wan22-two-pass")
    name = await engine.upload(tmp_path / "still.png", "still.png")
    graph = small(recipe, recipe.file.stages[0], {"picture": name}, order="low-high")
    prompt_id = str(uuid.uuid4())
    await engine.submit(graph, prompt_id, tags={})
    async with asyncio.timeout(PATIENCE):
        *_, end = [event async for event in engine.follow(prompt_id)]
    assert isinstance(end, Finished), end
