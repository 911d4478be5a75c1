"""The real ComfyUI, of a recorded version and with tiny random models, named by ZOETROPE_COMFYUI_URL."""

import os

import pytest

from tests.engine.simulated.conftest import session

__all__ = ["session"]


@pytest.fixture
def real_url() -> str:
    return os.environ["ZOETROPE_COMFYUI_URL"].rstrip("/")
