"""Writes models of the real sizes, data types and key names, with random weights, for measuring without a download.

    python tests/gpu/truth/weights.py COMFYUI MODELS --device cuda

Run with the Python of that ComfyUI: the shapes come from its own classes. The files are as large as the published
ones in workflows/models.toml, to a thousandth. Only the tokenizer is a small one.
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[2]
EXPERTS = ("high", "low")
TEXT_ENCODER = "umt5_xxl_fp8_e4m3fn_scaled.safetensors"
VAE = "wan_2.1_vae.safetensors"
SEEDVR2 = "seedvr2_3b_fp16.safetensors"
SEEDVR2_VAE = "seedvr2_ema_vae_fp16.safetensors"
LORA_RANK = 128
# Of fp8 numbers, which reach to 448: six standard deviations fit.
FP8_SPREAD = 64.0

Shapes = Mapping[str, Any]
#: What a file holds, in its order: a name, a data type as safetensors writes it, a shape, and what draws it.
Entry = tuple[str, str, tuple[int, ...], Callable[[], Any]]


def expert(shapes: Shapes, draw: Draw) -> Iterator[Entry]:
    """List an expert as fp8_scaled: matrices in fp8 with one scale each, everything else in fp16."""
    yield "scaled_fp8", "F8_E4M3", (2,), draw.zeros((2,), "F8_E4M3")
    for name, like in shapes.items():
        shape = tuple(like.shape)
        if len(shape) == 2:
            yield name, "F8_E4M3", shape, draw.fp8(shape)
            scale = 1 / math.sqrt(shape[1]) / FP8_SPREAD
            yield f"{name.removesuffix('.weight')}.scale_weight", "F32", (1,), draw.value(scale)
        else:
            yield name, "F16", shape, draw.fp16(name, shape)


def text_encoder(shapes: Shapes, pieces: bytes, draw: Draw) -> Iterator[Entry]:
    """List the text encoder as fp8_scaled; its table of words stays in fp16."""
    yield "scaled_fp8", "F8_E4M3", (0,), draw.zeros((0,), "F8_E4M3")
    yield "spiece_model", "U8", (len(pieces),), draw.bytes(pieces)
    for name, like in shapes.items():
        shape = tuple(like.shape)
        if len(shape) == 2 and "bias" not in name and not name.startswith("shared"):
            yield name, "F8_E4M3", shape, draw.fp8(shape)
            scale = 1 / math.sqrt(shape[1]) / FP8_SPREAD
            yield f"{name.removesuffix('.weight')}.scale_weight", "F32", (1,), draw.value(scale)
        else:
            yield name, "F16", shape, draw.fp16(name, shape)


def half(shapes: Shapes, draw: Draw) -> Iterator[Entry]:
    """List a model whose weights are all in fp16."""
    for name, like in shapes.items():
        yield name, "F16", tuple(like.shape), draw.fp16(name, tuple(like.shape))


def lora(shapes: Shapes, draw: Draw) -> Iterator[Entry]:
    """List a LoRA for every attention and feed-forward matrix of an expert."""
    for name, like in shapes.items():
        if re.search(r"(attn\.[qkvo]|ffn\.[02])\.weight$", name):
            stem = f"diffusion_model.{name.removesuffix('.weight')}"
            rows, columns = like.shape
            for part, shape in (("down", (LORA_RANK, columns)), ("up", (rows, LORA_RANK))):
                key = f"{stem}.lora_{part}.weight"
                yield key, "F16", shape, draw.fp16(key, shape, 0.05)
            yield f"{stem}.alpha", "F16", (), draw.value(float(LORA_RANK), "F16")


class Draw:
    """Draws seeded weights on a device: small ones that keep the size of what passes, norms of one, offsets of zero."""

    def __init__(self, torch: Any, device: str, seed: int) -> None:
        self.torch, self.device = torch, device
        self.source = torch.Generator(device=device).manual_seed(seed)
        self.kinds = {"F16": torch.float16, "F32": torch.float32, "F8_E4M3": torch.float8_e4m3fn}

    def _normal(self, shape: tuple[int, ...], spread: float) -> Any:
        drawn = self.torch.empty(shape, device=self.device, dtype=self.torch.float16)
        return drawn.normal_(0.0, spread, generator=self.source)

    def fp8(self, shape: tuple[int, ...]) -> Callable[[], Any]:
        """Draw a matrix whose scale is written beside it."""
        return lambda: self._normal(shape, FP8_SPREAD).to(self.torch.float8_e4m3fn)

    def fp16(self, name: str, shape: tuple[int, ...], scale: float = 1.0) -> Callable[[], Any]:
        """Draw what stays in sixteen bits."""
        torch = self.torch
        if name.endswith("modulation"):
            return lambda: self._normal(shape, 0.02)
        if len(shape) <= 1 or name.endswith("gamma"):
            one = name.endswith(("weight", "gamma"))
            return lambda: (torch.ones if one else torch.zeros)(shape, dtype=torch.float16)
        return lambda: self._normal(shape, scale / math.sqrt(math.prod(shape[1:])))

    def value(self, value: float, kind: str = "F32") -> Callable[[], Any]:
        """Give one number."""
        shape = () if kind == "F16" else (1,)
        return lambda: self.torch.full(shape, value, dtype=self.kinds[kind])

    def zeros(self, shape: tuple[int, ...], kind: str) -> Callable[[], Any]:
        """Give a mark that holds nothing."""
        return lambda: self.torch.zeros(shape).to(self.kinds[kind])

    def bytes(self, held: bytes) -> Callable[[], Any]:
        """Give bytes as they are."""
        return lambda: self.torch.frombuffer(bytearray(held), dtype=self.torch.uint8)


def header(entries: list[Entry]) -> tuple[bytes, int]:
    """Give the beginning of a safetensors file, and how many bytes follow."""
    width = {"F16": 2, "F32": 4, "F8_E4M3": 1, "U8": 1}
    said: dict[str, Any] = {}
    end = 0
    for name, kind, shape, _ in entries:
        begin, end = end, end + width[kind] * math.prod(shape)
        said[name] = {"dtype": kind, "shape": list(shape), "data_offsets": [begin, end]}
    text = json.dumps(said, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text, end


def write(torch: Any, path: Path, entries: list[Entry]) -> int:
    """Write a safetensors file tensor by tensor, so that no model is held whole; give its bytes."""
    text, _ = header(entries)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(text)
        for *_, draw in entries:
            tensor = draw().contiguous().flatten()
            if tensor.numel():
                tensor.view(torch.uint8).cpu().numpy().tofile(file)
        file.flush()
        os.fsync(file.fileno())
    return path.stat().st_size


def models(
    torch: Any, native_upscaler: bool
) -> Iterator[tuple[str, Callable[[Draw], Iterator[Entry]]]]:
    """List the files to write, by their paths below the models' folder."""
    ops = importlib.import_module("comfy.ops")

    def shapes(make: Callable[[], Any]) -> dict[str, Any]:
        with torch.device("meta"):
            return dict(make().state_dict())

    wan = importlib.import_module("comfy.ldm.wan.model").WanModel
    of_expert = shapes(
        lambda: wan(
            model_type="t2v",
            in_dim=36,
            out_dim=16,
            dim=5120,
            ffn_dim=13824,
            num_heads=40,
            num_layers=40,
            operations=ops.disable_weight_init,
        )
    )
    for which in EXPERTS:
        yield (
            f"diffusion_models/wan2.2_i2v_{which}_noise_14B_fp8_scaled.safetensors",
            lambda draw: expert(of_expert, draw),
        )
    vae = importlib.import_module("comfy.ldm.wan.vae").WanVAE
    of_vae = shapes(lambda: vae(dim=96, z_dim=16, temperal_downsample=[False, True, True]))
    yield f"vae/{VAE}", lambda draw: half(of_vae, draw)
    t5 = importlib.import_module("comfy.text_encoders.t5")
    config = json.loads(Path(str(t5.__file__)).with_name("umt5_config_xxl.json").read_text())
    of_t5 = shapes(
        lambda: t5.T5(config, dtype=torch.float16, device="meta", operations=ops.manual_cast)
    )
    of_t5 = {name: like for name, like in of_t5.items() if not name.startswith("decoder.")}
    sys.path.insert(0, str(TESTS / "comfyui/tiny"))
    pieces = importlib.import_module("make").sentence_pieces(512)
    yield f"text_encoders/{TEXT_ENCODER}", lambda draw: text_encoder(of_t5, pieces, draw)
    for which in EXPERTS:
        yield (
            f"loras/wan2.2_i2v_lightx2v_4steps_lora_v1_{which}_noise.safetensors",
            lambda draw: lora(of_expert, draw),
        )
    if not native_upscaler:
        return
    network = importlib.import_module("comfy.ldm.seedvr.model").NaDiT
    of_seedvr = shapes(
        lambda: network(
            norm_eps=1e-5,
            num_layers=32,
            mlp_type="swiglu",
            vid_out_norm=True,
            operations=ops.disable_weight_init,
        )
    )
    yield f"diffusion_models/{SEEDVR2}", lambda draw: half(of_seedvr, draw)
    wrapper = importlib.import_module("comfy.ldm.seedvr.vae").VideoAutoencoderKLWrapper
    of_seedvr_vae = shapes(wrapper)
    yield f"vae/{SEEDVR2_VAE}", lambda draw: half(of_seedvr_vae, draw)


def main() -> None:
    """Write the models, with one line of JSON for each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("comfyui", type=Path, help="the folder with ComfyUI's main.py")
    parser.add_argument("models", type=Path, help="the folder to write them to; 45 GB")
    parser.add_argument("--device", default="cpu", help="where they are drawn: cpu or cuda (cpu)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="write only the files whose path has this in it")
    parser.add_argument("--without", default="\0", help="leave out those that have this in it")
    parser.add_argument("--sizes", action="store_true", help="write nothing, only say the sizes")
    options = parser.parse_args()
    sys.path.insert(0, str(options.comfyui.resolve()))
    # ComfyUI reads its command line when it is imported.
    sys.argv = [sys.argv[0], "--cpu"]
    importlib.import_module("comfy.options").enable_args_parsing()
    import torch

    upscaler = (options.comfyui / "comfy/ldm/seedvr").is_dir()
    for number, (path, entries) in enumerate(models(torch, upscaler)):
        if options.only not in path or options.without in path:
            continue
        listed = list(entries(Draw(torch, options.device, options.seed + number)))
        began = time.monotonic()
        if options.sizes:
            text, held = header(listed)
            size = len(text) + held
        else:
            size = write(torch, options.models / path, listed)
        took = round(time.monotonic() - began, 2)
        print(json.dumps({"file": path, "bytes": size, "seconds": took}), flush=True)


if __name__ == "__main__":
    main()
