"""Node classes by what they do, where a signature alone does not tell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

#: Nodes that load diffusion weights, with the input that names the file.
WEIGHTS: Final[Mapping[str, str]] = {
    "UNETLoader": "unet_name",
    "UnetLoaderGGUF": "unet_name",
    "UnetLoaderGGUFAdvanced": "unet_name",
    "DiffusionModelLoaderKJ": "model_name",
    "GGUFLoaderKJ": "model_name",
    "CheckpointLoaderSimple": "ckpt_name",
    "CheckpointLoaderKJ": "ckpt_name",
    "ImageOnlyCheckpointLoader": "ckpt_name",
    "WanVideoModelLoader": "model",
}

#: Nodes that add one LoRA to a model, with the input that says how strongly.
LORAS: Final[Mapping[str, str]] = {
    "LoraLoader": "strength_model",
    "LoraLoaderModelOnly": "strength_model",
    "LoraLoaderBypass": "strength_model",
    "LoraLoaderBypassModelOnly": "strength_model",
    "WanVideoLoraSelect": "strength",
}

VAES: Final[Mapping[str, str]] = {
    "VAELoader": "vae_name",
    "VAELoaderKJ": "vae_name",
    "WanVideoVAELoader": "model_name",
}

#: Nodes of WanVideoWrapper that read a text encoder's file.
WRAPPER_TEXT_ENCODERS: Final = ("LoadWanVideoT5TextEncoder", "WanVideoTextEncodeCached")

#: Nodes that hold a constant, with the input that holds it.
CONSTANTS: Final[Mapping[str, str]] = {
    "PrimitiveInt": "value",
    "PrimitiveFloat": "value",
    "PrimitiveBoolean": "value",
    "PrimitiveString": "value",
    "PrimitiveStringMultiline": "value",
    "INTConstant": "value",
    "FloatConstant": "value",
    "BOOLConstant": "value",
    "StringConstant": "string",
    "StringConstantMultiline": "string",
}

#: Nodes that pass on one of `on_false` and `on_true`.
SWITCHES: Final = frozenset({"ComfySwitchNode", "LazySwitchKJ"})

#: Nodes that make WAN's conditioning and empty latent from a picture or from nothing.
FROM_PICTURE: Final = frozenset({"WanImageToVideo", "WanFirstLastFrameToVideo"})
WRAPPER_EMBEDS: Final = frozenset({"WanVideoImageToVideoEncode", "WanVideoEmptyEmbeds"})

#: Nodes that decide the size and length of a WAN clip, with the input that says the length.
CANVASES: Final[Mapping[str, str]] = {
    "WanImageToVideo": "length",
    "WanFirstLastFrameToVideo": "length",
    "Wan22FunControlToVideo": "length",
    "WanFunControlToVideo": "length",
    "WanFunInpaintToVideo": "length",
    "Wan22ImageToVideoLatent": "length",
    "WanVaceToVideo": "length",
    "WanCameraImageToVideo": "length",
    "WanAnimateToVideo": "length",
    "WanSoundImageToVideo": "length",
    "WanPhantomSubjectToVideo": "length",
    "EmptyHunyuanLatentVideo": "length",
    "WanVideoImageToVideoEncode": "num_frames",
    "WanVideoEmptyEmbeds": "num_frames",
    "WanVideoVACEEncode": "num_frames",
}

DECODERS: Final = frozenset(
    {"VAEDecode", "VAEDecodeTiled", "VHS_VAEDecodeBatched", "WanVideoDecode"}
)

#: Nodes that put frames between frames.
INTERPOLATORS: Final = frozenset({"RIFE VFI", "FILM VFI", "FrameInterpolate", "FL_RIFE"})

#: Nodes that turn frames into a video, with the input that says the rate.
VIDEO_MAKERS: Final[Mapping[str, str]] = {
    "CreateVideo": "fps",
    "VHS_VideoCombine": "frame_rate",
    "SaveWEBM": "fps",
    "SaveAnimatedWEBP": "fps",
    "SaveAnimatedPNG": "fps",
}

#: Nodes whose frames come from a file.
VIDEO_LOADERS: Final = frozenset(
    {"GetVideoComponents", "VHS_LoadVideo", "VHS_LoadVideoPath", "VHS_LoadVideoFFmpeg"}
)

#: Nodes that change no picture's size.
SAME_SIZE: Final = INTERPOLATORS | {
    "ColorMatch",
    "ImageFromBatch",
    "ImageBatch",
    "RepeatImageBatch",
    "GetImageRangeFromBatch",
}

#: Nodes that change no number of frames.
SAME_COUNT: Final = frozenset(
    {"ColorMatch", "ImageScale", "ImageScaleBy", "ImageScaleToTotalPixels", "ImageResizeKJv2"}
    | {"ResizeImageMaskNode"}
)

CACHES: Final = frozenset({"EasyCache", "LazyCache", "TeaCache", "MagCache", "WanVideoTeaCacheKJ"})
WRAPPER_CACHES: Final = frozenset({"WanVideoEasyCache", "WanVideoTeaCache", "WanVideoMagCache"})

NAG: Final = frozenset({"WanVideoNAG", "NAGuidance"})

#: Nodes that compile a model.
COMPILERS: Final = frozenset(
    {"TorchCompileModel", "TorchCompileModelAdvanced", "TorchCompileModelWanVideo"}
    | {"TorchCompileModelWanVideoV2"}
)

#: SeedVR2 before its version 2.5, in one node.
OLD_SEEDVR2: Final = frozenset({"SeedVR2", "SeedVR2BlockSwap", "SeedVR2ExtraArgs"})
