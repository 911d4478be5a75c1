"""Nodes that load model files: here they only remember which."""

from ..context import Context
from ..values import Conditioning, Handle, Result, SimulatedModel
from .registry import plays


@plays("UNETLoader", "UnetLoaderGGUF", "UnetLoaderGGUFAdvanced")
def unet(_: Context, *, unet_name: str, **_options: object) -> Result:
    """Load a diffusion model."""
    return Result((SimulatedModel(unet_name),))


@plays("DiffusionModelLoaderKJ", "GGUFLoaderKJ")
def unet_of_kj(_: Context, *, model_name: str, **_options: object) -> Result:
    """Load a diffusion model by KJNodes' loaders."""
    return Result((SimulatedModel(model_name),))


@plays("LoraLoaderModelOnly")
def lora(_: Context, *, model: SimulatedModel, lora_name: str, strength_model: float) -> Result:
    """Apply a LoRA: noted, without effect on the arithmetic."""
    return Result((model.patched(f"lora {lora_name} {strength_model}"),))


@plays("CLIPLoader", "CLIPLoaderGGUF")
def clip(_: Context, *, clip_name: str, **options: object) -> Result:
    """Load a text encoder."""
    return Result((Handle("clip", clip_name, options),))


@plays("CLIPVisionLoader")
def clip_vision(_: Context, *, clip_name: str) -> Result:
    """Load an image encoder, which WAN 2.2 does not use."""
    return Result((Handle("clip_vision", clip_name),))


@plays("CLIPVisionEncode")
def clip_vision_encode(_: Context, *, clip_vision: Handle, **_options: object) -> Result:
    """Encode an image for a model that looks at it."""
    return Result((Handle("clip_vision_output", clip_vision.name),))


@plays("VAELoader", "VAELoaderKJ")
def vae(_: Context, *, vae_name: str, **_options: object) -> Result:
    """Load a VAE."""
    return Result((Handle("vae", vae_name),))


@plays("CLIPTextEncode")
def text(_: Context, *, text: str, clip: Handle) -> Result:
    """Encode a text: the words themselves travel on, to be read by the sampler."""
    del clip
    return Result((Conditioning(text),))


@plays("ConditioningZeroOut")
def zero_out(_: Context, *, conditioning: Conditioning) -> Result:
    """Empty a conditioning's text."""
    return Result((Conditioning("", conditioning.scene),))
