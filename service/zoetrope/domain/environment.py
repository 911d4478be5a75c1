"""What an attempt ran with besides its graph: model files, node packs, packages, driver and GPU."""

from __future__ import annotations

import msgspec


class ModelFile(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A model file that a graph loads, as it was when the attempt was submitted."""

    name: str  # folder and file, such as "vae/wan_2.1_vae.safetensors"
    size: int = 0
    modified: int = 0  # nanoseconds since 1970
    sha256: str = ""
    unknown: str = ""  # why there is no hash

    def same_file(self, other: ModelFile) -> bool:
        """Return whether size and time are known and unchanged, so that the file was not replaced."""
        mine, theirs = (self.size, self.modified), (other.size, other.modified)
        return bool(self.modified) and mine == theirs and self.name == other.name


class NodePack(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A node pack that the engine was started with."""

    name: str
    version: str = ""  # that it says of itself
    source: str = ""  # what names its content: a path of the Nix store, or a git commit
    unknown: str = ""  # why neither is known


class Environment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the engine had when the attempt was submitted; ComfyUI's version and kernel are the attempt's own."""

    gpu: str = ""
    driver: str = ""
    runtime: str = ""  # the versions of Python and of the packages that compute
    flags: tuple[str, ...] = ()  # with which ComfyUI was started
    dynamic_vram: str = ""  # on or off, where that is known
    models: tuple[ModelFile, ...] = ()
    packs: tuple[NodePack, ...] = ()
    packs_unknown: str = ""  # why there is no list of node packs
