"""Makes a ComfyUI copy fit for tests without a GPU: tiny models of random weights under the names of the real ones.

Run with the Python of that ComfyUI (`make tiny-models`). The shapes come from ComfyUI's own classes and from those of the node
packs that are there, so that what is made is what that version loads. Only for a copy that serves tests: text encoder and
SeedVR2 are of fixed sizes in their code, so nodes of ours make those of ComfyUI small, and the pack's settings its SeedVR2.
"""

import argparse
import importlib
import importlib.util
import io
import json
import math
import os
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
EXPERTS = {"high": "HighNoise", "low": "LowNoise"}
GGUF_KINDS = ("Q4_K_M", "Q5_K_M", "Q8_0")
# A model of this many channels has one head; the wrapper's experts are as wide as a head needs, and as deep as real ones.
DIM, LAYERS = 128, 2
WRAPPER_DIM, WRAPPER_LAYERS = 1536, 30
# 96 is the size of the real one, which the wrapper's pack takes alone.
VAE_DIM, WRAPPER_VAE_DIM = 8, 96
WORDS = "a the of and slow camera pans over city night rain wind hair smile person walks water light sky cat video still"

Weights = dict[str, Any]


class Maker:
    """Writes models below one ComfyUI."""

    def __init__(self, comfyui: Path, seed: int = 0) -> None:
        import torch

        self.torch = torch
        self.comfyui = comfyui
        self.random = torch.Generator().manual_seed(seed)

    def pack(self, name: str) -> Path | None:
        """Find a node pack by its folder's name."""
        found = self.comfyui / "custom_nodes" / name
        return found if found.is_dir() else None

    def node(self, name: str) -> Any:
        """Add a node of ours that makes a network small, and give the sizes that it has then."""
        place = self.comfyui / "custom_nodes" / name
        shutil.rmtree(place, ignore_errors=True)
        # An earlier one of another name would do the same twice.
        shutil.copytree(HERE / name, place)
        return json.loads((place / "sizes.json").read_text())

    def shapes(self, make: Any) -> Mapping[str, Any]:
        """Give the state of a module that is made without weights."""
        with self.torch.device("meta"):
            return dict(make().state_dict())

    def weights(self, shapes: Mapping[str, Any], scale: float = 1.0) -> Weights:
        """Draw weights: small ones that keep the size of what passes through, norms of one, offsets of zero."""
        torch = self.torch
        made: Weights = {}
        for name, like in shapes.items():
            if not like.is_floating_point():
                made[name] = torch.zeros(like.shape, dtype=like.dtype)
            elif name.endswith("modulation"):
                made[name] = torch.randn(like.shape, generator=self.random).half() * 0.02
            elif like.ndim <= 1 or name.endswith("gamma"):
                one = name.endswith(("weight", "gamma"))
                made[name] = (torch.ones if one else torch.zeros)(like.shape).half() * scale
            else:
                size = scale / math.sqrt(math.prod(like.shape[1:]))
                made[name] = (torch.randn(like.shape, generator=self.random) * size).half()
        return made

    def write(self, folder: str, name: str, weights: Weights, *links: str) -> None:
        """Write a model, and let it answer to other names as well."""
        from safetensors.torch import save_file

        place = self.comfyui / "models" / folder
        place.mkdir(parents=True, exist_ok=True)
        save_file({key: value.contiguous() for key, value in weights.items()}, place / name)
        self.link(folder, name, *links)

    def link(self, folder: str, name: str, *links: str) -> None:
        """Let a model answer to other names as well."""
        place = self.comfyui / "models" / folder
        print(f"{place / name}: {(place / name).stat().st_size / 1e6:.1f} MB", *links)
        for other in links:
            (place / other).unlink(missing_ok=True)
            (place / other).symlink_to(name)

    def experts(self) -> None:
        """WAN 2.2's two experts, their LoRAs, and the same in GGUF."""
        shapes = self.shapes(lambda: self._wan(DIM, LAYERS))
        for expert, gguf_name in EXPERTS.items():
            weights = self.weights(shapes)
            real = f"wan2.2_i2v_{expert}_noise_14B_fp8_scaled.safetensors"
            self.write(
                "diffusion_models", f"tiny_wan22_i2v_{expert}_noise.safetensors", weights, real
            )
            self.write(
                "loras",
                f"tiny_wan22_{expert}_lora.safetensors",
                self.lora(shapes),
                f"wan2.2_i2v_lightx2v_4steps_lora_v1_{expert}_noise.safetensors",
            )
            if self.pack("ComfyUI-GGUF"):
                name = f"tiny_wan22_i2v_{expert}_noise_Q8_0.gguf"
                self.gguf(weights, self.comfyui / "models/unet", name)
                links = [f"Wan2.2-I2V-A14B-{gguf_name}-{kind}.gguf" for kind in GGUF_KINDS]
                self.link("unet", name, *links)
        if self.pack("ComfyUI-WanVideoWrapper"):
            wide = self.weights(self.shapes(lambda: self._wan(WRAPPER_DIM, WRAPPER_LAYERS)))
            self.write("diffusion_models", "tiny_wan22_i2v_d1536.safetensors", wide)

    def _wan(self, dim: int, layers: int) -> Any:
        import comfy.ops
        from comfy.ldm.wan.model import WanModel

        # As ComfyUI tells WAN 2.2's experts from WAN 2.1: a latent with mask and picture goes in, and no CLIP vision.
        return WanModel(
            model_type="t2v",
            in_dim=36,
            out_dim=16,
            dim=dim,
            ffn_dim=64,
            num_heads=max(1, dim // 128),
            num_layers=layers,
            operations=comfy.ops.disable_weight_init,
        )

    def lora(self, shapes: Mapping[str, Any], rank: int = 4) -> Weights:
        """A LoRA for every attention of a model."""
        torch = self.torch
        made: Weights = {}
        for name, like in shapes.items():
            if re.search(r"attn\.[qkvo]\.weight$", name):
                stem = f"diffusion_model.{name.removesuffix('.weight')}"
                down, up = (rank, like.shape[1]), (like.shape[0], rank)
                made[f"{stem}.lora_down.weight"] = (
                    torch.randn(down, generator=self.random).half() * 0.1
                )
                made[f"{stem}.lora_up.weight"] = (
                    torch.randn(up, generator=self.random).half() * 0.01
                )
                made[f"{stem}.alpha"] = torch.tensor(float(rank)).half()
        return made

    def gguf(self, weights: Weights, place: Path, name: str) -> None:
        """Write a model in GGUF, what can be quantized in eight bits."""
        import gguf
        import numpy as np

        place.mkdir(parents=True, exist_ok=True)
        writer = gguf.GGUFWriter(str(place / name), arch="wan")
        for key, value in weights.items():
            array = value.float().numpy()
            if array.ndim > 4:  # that GGUF cannot hold: the pack restores the shape from this field
                writer.add_array(f"comfy.gguf.orig_shape.{key}", list(array.shape))
                array = array.reshape(array.shape[0], -1)
            if array.ndim == 2 and array.shape[1] % 32 == 0 and key.startswith("blocks."):
                kind = gguf.GGMLQuantizationType.Q8_0
                writer.add_tensor(key, gguf.quants.quantize(array, kind), raw_dtype=kind)
            else:
                writer.add_tensor(key, array.astype(np.float32 if array.ndim == 1 else np.float16))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()

    def vae(self) -> None:
        """The video autoencoder; the wrapper wants the real size."""
        from comfy.ldm.wan.vae import WanVAE

        def sized(dim: int) -> Weights:
            steps = [False, True, True]
            shapes = self.shapes(lambda: WanVAE(dim=dim, z_dim=16, temperal_downsample=steps))
            return self.weights(shapes)

        small = f"tiny_wan21_vae_d{VAE_DIM}.safetensors"
        self.write("vae", small, sized(VAE_DIM), "wan_2.1_vae.safetensors")
        if self.pack("ComfyUI-WanVideoWrapper"):
            name = f"tiny_wan21_vae_d{WRAPPER_VAE_DIM}.safetensors"
            self.write("vae", name, sized(WRAPPER_VAE_DIM))

    def text_encoder(self) -> None:
        """A text encoder of two layers, and the node that lets ComfyUI make it so small."""
        import comfy.ops
        from comfy.text_encoders.t5 import T5

        torch = self.torch
        sizes = self.node("tiny_text_encoder")
        real = self.comfyui / "comfy/text_encoders/umt5_config_xxl.json"
        config = json.loads(real.read_text()) | sizes
        shapes = self.shapes(
            lambda: T5(config, dtype=torch.float16, device="meta", operations=comfy.ops.manual_cast)
        )
        weights = {k: v for k, v in self.weights(shapes).items() if not k.startswith("decoder.")}
        # By the shape of this one, which the small encoder does not have, ComfyUI knows the kind; it holds nothing.
        mark = "encoder.block.23.layer.1.DenseReluDense.wi_1.weight"
        weights[mark] = torch.zeros((10240, 0, 4096)).half()
        pieces = bytearray(sentence_pieces(sizes["vocab_size"]))
        weights["spiece_model"] = torch.frombuffer(pieces, dtype=torch.uint8).clone()
        real_name = "umt5_xxl_fp8_e4m3fn_scaled.safetensors"
        self.write("text_encoders", "tiny_umt5.safetensors", weights, real_name)

    def rife(self) -> None:
        """RIFE as its pack has it, with weights that hardly move anything."""
        pack = self.pack("ComfyUI-Frame-Interpolation")
        if pack is None:
            return
        sys.path.insert(0, str(pack))
        network = importlib.import_module("vfi_models.rife.rife_arch").IFNet(arch_ver="4.7")
        sys.path.remove(str(pack))
        place = pack / "ckpts" / "rife"
        place.mkdir(parents=True, exist_ok=True)
        state = {
            k: v * 0.1 if v.is_floating_point() else v for k, v in network.state_dict().items()
        }
        self.torch.save(state, place / "rife49.pth")
        print(place / "rife49.pth")

    def seedvr2(self) -> None:
        """SeedVR2 with two narrow layers; the pack's own settings are changed to be of that size."""
        pack = self.pack("ComfyUI-SeedVR2_VideoUpscaler")
        if pack is None:
            return
        settings = pack / "configs_3b/main.yaml"
        vae_settings = pack / "src/models/video_vae_v3/s8_c16_t4_inflation_sd3.yaml"
        change(settings, {"vid_dim": "128", "heads": "1", "num_layers": "2", "mm_layers": "1"})
        text = vae_settings.read_text()
        narrow = re.sub(r"(block_out_channels:\n)(?:  - \d+\n)+", r"\1" + "  - 32\n" * 4, text)
        vae_settings.write_text(narrow)
        # Without a GPU its list of devices is empty, and then no value of that input is valid.
        devices = pack / "src/optimization/memory_manager.py"
        code = devices.read_text()
        devices.write_text(
            code.replace("return result if result else []", 'return result or ["cpu"]')
        )
        for name, network in self._seedvr2(pack, settings, vae_settings).items():
            self.write("SEEDVR2", name, self.weights(network))
        # Of a file with a name that it knows, the pack compares the hash, once; and removes what is another.
        vae = self.comfyui / "models/SEEDVR2/ema_vae_fp16.safetensors"
        about = vae.stat()
        known = {vae.name: {"size": about.st_size, "mtime": about.st_mtime, "hash": "tiny"}}
        (vae.parent / ".validation_cache.json").write_text(json.dumps(known))

    def native_upscaler(self) -> None:
        """SeedVR2 as ComfyUI has it by itself, from 0.28 on, with two narrow layers."""
        if not (self.comfyui / "comfy/ldm/seedvr").is_dir():
            return
        import comfy.ldm.seedvr.vae as autoencoder
        import comfy.ops
        from comfy.ldm.seedvr.model import NaDiT

        sizes = self.node("tiny_upscaler")
        options = {"norm_eps": 1e-5, "mlp_type": "swiglu", "vid_out_norm": True, **sizes["model"]}
        weights = self.weights(
            self.shapes(lambda: NaDiT(**options, operations=comfy.ops.disable_weight_init))
        )
        # By this block, which the small network does not have, ComfyUI knows the kind; it holds nothing.
        weights["blocks.31.mlp.all.proj_in_gate.weight"] = self.torch.zeros((0,)).half()
        real = ("seedvr2_3b_int8_convrot.safetensors", "seedvr2_3b_fp16.safetensors")
        self.write("diffusion_models", "tiny_native_seedvr2.safetensors", weights, *real)
        autoencoder.BYTEDANCE_BLOCK_OUT_CHANNELS = tuple(sizes["vae"])
        self.write(
            "vae",
            "tiny_native_seedvr2_vae.safetensors",
            self.weights(self.shapes(autoencoder.VideoAutoencoderKLWrapper)),
            "seedvr2_ema_vae_fp16.safetensors",
        )

    def native_interpolation(self) -> None:
        """RIFE as ComfyUI has it by itself, narrow, with weights that hardly move anything."""
        if not (self.comfyui / "comfy_extras/frame_interpolation_models").is_dir():
            return
        from comfy_extras.frame_interpolation_models.ifnet import IFNet

        shapes = self.shapes(lambda: IFNet(channels=(16,) * 5))
        name, real = "tiny_native_rife.safetensors", "rife_v4.26.safetensors"
        self.write("frame_interpolation", name, self.weights(shapes, 0.1), real)

    def _seedvr2(self, pack: Path, settings: Path, vae_settings: Path) -> dict[str, Weights]:
        spec = importlib.util.spec_from_file_location(
            "seedvr2", pack / "__init__.py", submodule_search_locations=[str(pack)]
        )
        assert spec is not None
        # The package itself is not run: it would register nodes. What is below it is enough.
        sys.modules["seedvr2"] = importlib.util.module_from_spec(spec)
        config = importlib.import_module("seedvr2.src.common.config")
        from omegaconf import OmegaConf

        whole = config.load_config(str(settings))
        OmegaConf.set_readonly(whole, False)
        whole.vae.model = OmegaConf.merge(whole.vae.model, config.load_config(str(vae_settings)))
        return {
            "tiny_seedvr2_3b.safetensors": self.shapes(
                lambda: config.create_object(whole.dit.model)
            ),
            "ema_vae_fp16.safetensors": self.shapes(lambda: config.create_object(whole.vae.model)),
        }


def change(file: Path, values: Mapping[str, str]) -> None:
    """Set keys of a YAML file that stand on lines of their own."""
    text = file.read_text()
    for key, value in values.items():
        text, count = re.subn(rf"(?m)^(\s*{key}:) [0-9]+\b", rf"\1 {value}", text)
        if count != 1:
            raise SystemExit(f"{file} has {count} lines with {key}: another version of the pack")
    file.write_text(text)


def sentence_pieces(size: int) -> bytes:
    """Train a small tokenizer on a few words."""
    import sentencepiece

    words = WORDS.split()
    lines = [" ".join(words[(i * 7 + j * 3) % len(words)] for j in range(8)) for i in range(400)]
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_writer=model,
        vocab_size=size,
        model_type="unigram",
        byte_fallback=True,
        hard_vocab_limit=False,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        minloglevel=2,
    )
    return model.getvalue()


def main() -> None:
    """Read the command line and make everything that the packs of this ComfyUI can load."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "comfyui", type=Path, help="the folder with ComfyUI's main.py; a copy for tests"
    )
    comfyui = parser.parse_args().comfyui.resolve()
    if not (comfyui / "main.py").is_file():
        parser.error(f"{comfyui} has no main.py")
    os.chdir(comfyui)
    # ComfyUI reads its command line when it is imported.
    sys.argv = [sys.argv[0], "--cpu"]
    sys.path.insert(0, str(comfyui))
    importlib.import_module("comfy.options").enable_args_parsing()
    maker = Maker(comfyui)
    for make in (
        maker.experts,
        maker.vae,
        maker.text_encoder,
        maker.rife,
        maker.seedvr2,
        maker.native_upscaler,
        maker.native_interpolation,
    ):
        make()


if __name__ == "__main__":
    main()
