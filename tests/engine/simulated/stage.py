"""Small graphs, and a client that plays them on an engine."""

import asyncio
import copy
import io
import json
import uuid
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import av
import numpy as np
from PIL import Image

HIGH = "wan2.2_i2v_high_noise_14B_fp8_scaled.safetensors"
LOW = "wan2.2_i2v_low_noise_14B_fp8_scaled.safetensors"
CLIENT = "stage"

# The numbers of the nodes are those of the recorded runs, so the order of events can be compared.
_TINY = {
    "1": ("UNETLoader", {"unet_name": HIGH, "weight_dtype": "default"}),
    "2": ("UNETLoader", {"unet_name": LOW, "weight_dtype": "default"}),
    "5": ("ModelSamplingSD3", {"model": ["1", 0], "shift": 5.0}),
    "6": ("ModelSamplingSD3", {"model": ["2", 0], "shift": 5.0}),
    "7": (
        "CLIPLoader",
        {"clip_name": "umt5_xxl_fp8_e4m3fn_scaled.safetensors", "type": "wan", "device": "default"},
    ),
    "8": ("CLIPTextEncode", {"clip": ["7", 0], "text": "the wind moves her hair"}),
    "9": ("CLIPTextEncode", {"clip": ["7", 0], "text": "still"}),
    "10": ("VAELoader", {"vae_name": "wan_2.1_vae.safetensors"}),
    "11": ("LoadImage", {"image": "start.png"}),
    "12": (
        "WanImageToVideo",
        {
            "positive": ["8", 0],
            "negative": ["9", 0],
            "vae": ["10", 0],
            "start_image": ["11", 0],
            "width": 64,
            "height": 64,
            "length": 5,
            "batch_size": 1,
        },
    ),
    "13": (
        "KSamplerAdvanced",
        {
            "model": ["5", 0],
            "positive": ["12", 0],
            "negative": ["12", 1],
            "latent_image": ["12", 2],
            "add_noise": "enable",
            "noise_seed": 7,
            "steps": 4,
            "cfg": 1.0,
            "sampler_name": "euler",
            "scheduler": "simple",
            "start_at_step": 0,
            "end_at_step": 2,
            "return_with_leftover_noise": "enable",
        },
    ),
    "14": (
        "KSamplerAdvanced",
        {
            "model": ["6", 0],
            "positive": ["12", 0],
            "negative": ["12", 1],
            "latent_image": ["13", 0],
            "add_noise": "disable",
            "noise_seed": 0,
            "steps": 4,
            "cfg": 1.0,
            "sampler_name": "euler",
            "scheduler": "simple",
            "start_at_step": 2,
            "end_at_step": 10000,
            "return_with_leftover_noise": "disable",
        },
    ),
    "15": ("VAEDecode", {"samples": ["14", 0], "vae": ["10", 0]}),
    "16": ("CreateVideo", {"images": ["15", 0], "fps": 16.0}),
    "17": (
        "SaveVideo",
        {"video": ["16", 0], "filename_prefix": "zt/tiny", "format": "mp4", "codec": "h264"},
    ),
}


def tiny(seed=7, **changes):
    """The whole of a WAN 2.2 graph at 64 x 64; changes are `node=dict(input=value)`, `_5=...`."""
    graph = {
        node_id: {"class_type": class_type, "inputs": copy.deepcopy(inputs)}
        for node_id, (class_type, inputs) in _TINY.items()
    }
    graph["13"]["inputs"]["noise_seed"] = seed
    for node_id, inputs in changes.items():
        graph[node_id.lstrip("_")]["inputs"].update(inputs)
    return graph


def node(class_type, **inputs):
    return {"class_type": class_type, "inputs": inputs}


def picture(width=96, height=64):
    """A picture with soft colours and some edges."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    red = 128 + 90 * np.sin(x / width * 5)
    green = 60 + 150 * y / height
    blue = np.where((x - width / 2) ** 2 + (y - height / 2) ** 2 < (height / 4) ** 2, 220, 50)
    return Image.fromarray(np.stack([red, green, blue], -1).clip(0, 255).astype(np.uint8))


def png(image):
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


@dataclass
class Played:
    """What came of one prompt."""

    prompt_id: str
    events: list = field(default_factory=list)
    entry: dict = field(default_factory=dict)

    @property
    def outputs(self):
        return self.entry["outputs"]

    @property
    def last(self):
        return self.entry["status"]["messages"][-1]

    def of(self, event):
        return [data for name, data in self.events if name == event]


class Client:
    """Talks to one engine as the service would."""

    def __init__(self, engine, session):
        self.engine = engine
        self.session = session

    @property
    def home(self):
        return self.engine.files.home

    async def get(self, path, **kwargs):
        async with self.session.get(self.engine.url + path, **kwargs) as response:
            return response.status, await _body(response)

    async def post(self, path, **kwargs):
        async with self.session.post(self.engine.url + path, **kwargs) as response:
            return response.status, await _body(response)

    async def submit(self, graph, client=CLIENT, **extra):
        body = {"prompt": graph, "client_id": client, **extra}
        status, answer = await self.post("/prompt", json=body)
        assert status == 200, answer
        return answer["prompt_id"]

    async def listen(self, client=CLIENT):
        return await self.session.ws_connect(f"{self.engine.url}/ws?clientId={client}")

    async def play(self, graph, *, client=CLIENT, **extra):
        async with await self.listen(client) as socket:
            prompt_id = await self.submit(graph, client, **extra)
            events = await until_done(socket, prompt_id)
        return Played(prompt_id, events, await self.ended(prompt_id))

    async def ended(self, prompt_id):
        """Wait for a prompt in the history; long, because a real one on a busy machine loads its models first."""
        async with asyncio.timeout(60):
            while True:
                _, history = await self.get(f"/history/{prompt_id}")
                if history:
                    return history[prompt_id]
                await asyncio.sleep(0.002)

    def paths(self, played):
        return [
            self.home / item["type"] / item["subfolder"] / item["filename"]
            for output in played.outputs.values()
            for kind in ("images", "gifs", "latents")
            for item in output.get(kind, ())
        ]

    def frames(self, played):
        return read_frames(self.paths(played)[0])


async def _body(response):
    data = await response.read()
    if response.content_type == "application/json":
        return json.loads(data)
    return data


async def next_event(socket, *names):
    async with asyncio.timeout(60):
        while True:
            message = await socket.receive()
            if message.type != aiohttp.WSMsgType.TEXT:
                raise ConnectionError(message.type)
            event = json.loads(message.data)
            if not names or event["type"] in names:
                return event["type"], event["data"]


async def until_done(socket, prompt_id):
    events = []
    while True:
        event, data = await next_event(socket)
        events.append((event, data))
        if event == "executing" and data == {"node": None, "prompt_id": prompt_id}:
            return events


def read_frames(path: Path):
    with av.open(str(path)) as container:
        return np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])


def grain(frames):
    """How noisy pictures are: what is left of them after smooth parts and edges are taken out."""
    grey = frames[:, :-12].astype(np.float32).mean(-1)
    second = grey[:, 1:-1, 1:-1] * 4
    second -= 2 * (grey[:, :-2, 1:-1] + grey[:, 2:, 1:-1] + grey[:, 1:-1, :-2] + grey[:, 1:-1, 2:])
    second += grey[:, :-2, :-2] + grey[:, :-2, 2:] + grey[:, 2:, :-2] + grey[:, 2:, 2:]
    return float(np.median(np.abs(second)))


def new_id():
    return str(uuid.uuid4())
