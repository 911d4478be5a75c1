"""The simulated engine: ComfyUI's protocol with honest arithmetic in place of the models."""

from .engine import SimulatedEngine
from .faults import Fault, FaultKind
from .models import DEFAULT_MODELS, extended

__all__ = ["DEFAULT_MODELS", "Fault", "FaultKind", "SimulatedEngine", "extended"]
