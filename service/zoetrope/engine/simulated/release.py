"""What one release of ComfyUI answers in another way than another; the simulated engine is one of them at a time."""

from typing import Any, Final

import msgspec

#: What every release can do that a page may ask about.
_FEATURES: Final[dict[str, Any]] = {
    "supports_preview_metadata": True,
    "max_upload_size": 100 * 1024 * 1024,
    "extension": {"manager": {"supports_v4": True}},
    "node_replacements": True,
    "assets": False,
}
_WEIGHTS: Final = (".bin", ".ckpt", ".pkl", ".pt", ".pt2", ".pth", ".safetensors", ".sft")
_ENDINGS: Final = {
    "classifiers": ("",),
    "clip_gguf": (".gguf",),
    "datasets": (),
    "diffusers": ("folder",),
    "unet_gguf": (".gguf",),
}


class Release(msgspec.Struct, frozen=True):
    """How a release answers."""

    features: dict[str, Any] = msgspec.field(default_factory=lambda: _FEATURES)
    #: Whether a job says how many of its outputs a page can show.
    counts_previews: bool = False
    #: Whether a model folder is listed with the endings of the files in it.
    names_endings: bool = False
    #: Model folders that earlier releases have not.
    folders: tuple[str, ...] = ()

    def described(self, folder: str) -> dict[str, Any]:
        """Give what else `/experiment/models` says of a folder."""
        return {"extensions": list(_ENDINGS.get(folder, _WEIGHTS))} if self.names_endings else {}


#: Recorded are 0.27.1 and 0.33.0: what lies between is taken for the older.
_SINCE_0_33: Final = Release(
    features={**_FEATURES, "supports_model_type_tags": True},
    counts_previews=True,
    names_endings=True,
    folders=("datasets",),
)


def release(version: str) -> Release:
    """Say how a recorded version answers."""
    major, minor = (int(part) for part in version.split(".")[:2])
    return _SINCE_0_33 if (major, minor) >= (0, 33) else Release()
