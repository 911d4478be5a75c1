"""What a video would be made with now, as the API shows it and the command line reads it."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from ..domain.environment import Environment

MOST_MODELS = 64


class EnvironmentForm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is asked about: model files as `folder/file`, and a recipe in a version of it."""

    models: Annotated[tuple[str, ...], msgspec.Meta(max_length=MOST_MODELS)] = ()
    recipe: str = ""
    recipe_version: Annotated[str, msgspec.Meta(pattern=r"^([0-9a-f]{64})?$(?!\n)")] = ""
    job: str = ""  # the one that was accepted with that version


class EngineEnvironment(msgspec.Struct, frozen=True, kw_only=True):
    """What one engine has."""

    name: str
    up: bool
    version: str = ""  # of ComfyUI
    attention: str = ""  # the kernel in use
    memory: float = 0.0  # of its GPU, in gigabytes; 0 where that is not known
    environment: Environment | None = None  # None while nobody knows the engine


class Environments(msgspec.Struct, frozen=True, kw_only=True):
    """What a video would be made with now.

    `recipe` says where that version would come from: it is kept; the recipe of that name still is that
    version; its files are needed, as the job's receipt holds them; or this host has never had it.
    """

    engines: tuple[EngineEnvironment, ...]
    recipe: Literal["kept", "current", "files", "unknown"] = "unknown"
