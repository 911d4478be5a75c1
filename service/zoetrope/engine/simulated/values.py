"""What travels along the links of a graph here."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

#: Pictures: count, height, width, red-green-blue; whole numbers, unlike the real engine's.
Frames = npt.NDArray[np.uint8]
#: Latents: batch, channel, time, height, width.
Samples = npt.NDArray[np.float32]

Expert = Literal["high", "low", "both"]


@dataclass(frozen=True)
class Result:
    """What a node gives: its outputs, and what it tells the page."""

    values: tuple[object, ...]
    ui: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Listed:
    """Several values of one output, one after the other."""

    values: tuple[Any, ...]


@dataclass(frozen=True)
class SimulatedModel:
    """A diffusion model by name, with all that was done to it."""

    name: str
    shift: float = 8.0
    patches: tuple[str, ...] = ()

    @property
    def expert(self) -> Expert:
        """Which half of the WAN 2.2 pair the file is, going by its name."""
        name = self.name.lower().replace("_", "").replace("-", "")
        if "highnoise" in name:
            return "high"
        return "low" if "lownoise" in name else "both"

    def patched(self, patch: str) -> "SimulatedModel":
        """Return the model with one more patch."""
        return replace(self, patches=(*self.patches, patch))


@dataclass(frozen=True)
class Scene:
    """What a video should show: where it starts, where it ends, how long it is."""

    width: int
    height: int
    length: int
    start: Frames | None = None
    end: Frames | None = None


@dataclass(frozen=True)
class Conditioning:
    """A text, with the pictures that a node tied to it."""

    text: str
    scene: Scene | None = None


@dataclass(frozen=True)
class Trajectory:
    """The path from one seed's noise; the later steps of a video must stay on it."""

    seed: int
    draw: int = 0


@dataclass(frozen=True)
class Latent:
    """Samples, and the path they are on if a sampler has touched them."""

    samples: Samples
    path: Trajectory | None = None


@dataclass(frozen=True)
class Sound:
    """Samples of each channel, from -1 to 1, at a rate."""

    samples: npt.NDArray[np.float32]
    rate: int


@dataclass(frozen=True)
class SimulatedVideo:
    """Frames with a rate and perhaps sound, or the file that holds them."""

    fps: Fraction
    frames: Frames | None = None
    sound: Sound | None = None
    file: Path | None = None
    bit_depth: int = 8


@dataclass(frozen=True)
class Handle:
    """Something that only has to exist: a text encoder, a VAE, a loaded upscaler."""

    kind: str
    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
