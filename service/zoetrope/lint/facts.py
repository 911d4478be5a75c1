"""What the linter may know next to the graph: the host, the recipe, the picture, the catalogues."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import takewhile

import msgspec

from ..graphs import catalog as catalogs
from ..graphs.catalog import Catalog
from ..graphs.memory import sold

#: Weights that a host rejects unless its operator says otherwise: all-in-one merges, and the
#: generation before this one. WAN 2.1's VAE and LoRAs are none of these.
DENIED_MODELS = (r"rapid", r"(?:^|_)aio(?:_|$)", r"wan_?2_?1_.*(?:i2v|t2v)")

#: The packages of the kernels that the self-test knows by other names.
PACKAGES = {"sageattn": "sageattention", "flash_attn": "flash_attn", "sageattn3": "sageattn3"}


class HostFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The machine that will run the graph; what is not known is None, and rules about it are silent."""

    memory_gb: float | None = None  # as the GPU is sold
    ram_gb: float | None = None
    architecture: str = ""  # such as "sm_89" or "sm_120"
    kernels: frozenset[str] | None = None  # Python packages, such as "sageattention"
    flags: tuple[str, ...] = ()
    denied_models: tuple[str, ...] = DENIED_MODELS

    @property
    def compute(self) -> int | None:
        """The GPU's compute capability times ten, such as 89 for 8.9, if that is known."""
        digits = self.architecture.removeprefix("sm_").rstrip("af")
        return int(digits) if digits.isdigit() else None

    @property
    def blackwell(self) -> bool | None:
        """Whether the GPU is of the Blackwell generation, if that is known."""
        return None if self.compute is None else self.compute >= 100

    @property
    def everywhere_sage(self) -> bool:
        """Whether the engine's own flag puts SageAttention into every model."""
        return any(flag.split("=")[0] == "--use-sage-attention" for flag in self.flags)

    @property
    def half_sums(self) -> bool:
        """Whether the engine's flags let matrix products add up in half precision."""
        words = " ".join(self.flags).replace("--fast=", "--fast ").split()
        if "--fast" not in words:
            return False
        after = words[words.index("--fast") + 1 :]
        chosen = list(takewhile(lambda word: not word.startswith("--"), after))
        return not chosen or "fp16_accumulation" in chosen


def reported(
    *,
    memory_gb: float | None,
    capability: str = "",
    kernels: Iterable[str] | None = None,
    flags: Sequence[str] = (),
) -> HostFacts:
    """Say in the linter's words what was found on a host: memory as sold, packages by name, and sm_120 for "12.0"."""
    return HostFacts(
        memory_gb=sold(memory_gb) if memory_gb else None,
        architecture=f"sm_{capability.replace('.', '')}" if capability else "",
        kernels=frozenset(PACKAGES.get(name, name) for name in kernels or ()) or None,
        flags=tuple(flags),
    )


class RecipeFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the recipe says of its graph."""

    tags: frozenset[str] = frozenset()
    aspect: str = ""  # such as "9:16"


class PictureFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The picture (or the video's frames) that goes in."""

    width: int
    height: int
    alpha: bool = False


class LintContext(msgspec.Struct, frozen=True, kw_only=True):
    """Everything next to the graph."""

    catalog: Catalog
    host: HostFacts = HostFacts()
    recipe: RecipeFacts = RecipeFacts()
    picture: PictureFacts | None = None
    #: The name of the graph's own file; empty where it does not come from one.
    file: str = ""
    #: The files (`folder/file`) whose size and hash are known; None if no one looked.
    pinned: frozenset[str] | None = None
    #: Rules that do not count for this graph, each with the reason.
    ignore: Mapping[str, str] = {}


def pinned_context(**facts: object) -> LintContext:
    """Give a context of the ComfyUI version that the recipes are written for."""
    return msgspec.structs.replace(LintContext(catalog=catalogs.load()), **facts)
