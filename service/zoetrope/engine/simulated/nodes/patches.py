"""Nodes that patch a model: noted, and otherwise without effect here."""

from dataclasses import replace

from ..context import Context
from ..values import Result, SimulatedModel
from .registry import plays


@plays("ModelSamplingSD3")
def shift(_: Context, *, model: SimulatedModel, shift: float) -> Result:
    """Set the shift of a flow model's noise levels."""
    return Result((replace(model, shift=shift),))


@plays(
    "PathchSageAttentionKJ",
    "ModelPatchTorchSettings",
    "TorchCompileModel",
    "TorchCompileModelWanVideoV2",
    "WanVideoNAG",
    "WanVideoTeaCacheKJ",
    "WanChunkFeedForward",
    "SkipLayerGuidanceWanVideo",
    "CFGZeroStar",
    "CFGNorm",
    "EasyCache",
)
def patch(context: Context, *, model: SimulatedModel, **_options: object) -> Result:
    """Patch a model in a way that changes its speed or looks, not its noise."""
    return Result((model.patched(context.class_type),))
