"""ComfyUI as an engine: its client, its socket, and one typed decoder of all that it says."""

from .client import ComfyEngine

__all__ = ["ComfyEngine"]
