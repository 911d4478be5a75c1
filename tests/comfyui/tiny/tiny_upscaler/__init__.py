"""For tests alone: ComfyUI's own SeedVR2 as small as the model that `make tiny-models` wrote. Real weights do not load with it."""

import json
from pathlib import Path

import comfy.ldm.seedvr.model as network
import comfy.ldm.seedvr.vae as autoencoder

_SIZES = json.loads(Path(__file__).with_name("sizes.json").read_text())
_Real = network.NaDiT


class SmallUpscaler(_Real):
    """In the place of the network whose sizes ComfyUI fixes when it knows the file for SeedVR2's."""

    def __init__(self, *args, **options):
        super().__init__(*args, **(options | _SIZES["model"]))


network.NaDiT = SmallUpscaler
autoencoder.BYTEDANCE_BLOCK_OUT_CHANNELS = tuple(_SIZES["vae"])
NODE_CLASS_MAPPINGS = {}
