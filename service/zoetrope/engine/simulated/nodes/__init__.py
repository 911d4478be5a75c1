"""The nodes that the simulated engine plays, one module a family."""

from . import (
    image,
    interpolate,
    latent,
    loaders,
    native_upscale,
    patches,
    sampling,
    upscale,
    video,
    wan,
)
from .registry import REGISTRY

__all__ = [
    "REGISTRY",
    "image",
    "interpolate",
    "latent",
    "loaders",
    "native_upscale",
    "patches",
    "sampling",
    "upscale",
    "video",
    "wan",
]
