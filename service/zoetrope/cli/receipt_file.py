"""A receipt.json as `zoetrope reproduce` reads it; those of earlier versions hold less, and are read as well."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from ..beneath import Beneath
from ..domain.environment import Environment
from ..errors import RecipeError, ZoetropeError
from ..graphs import shared
from ..graphs.memory import CLASSES
from ..graphs.recipe import Recipe
from ..graphs.versions import unpacked
from ..inbox.entry import classify
from ..jobs.outbox import RECEIPT
from ..jobs.receipt import SCHEMA
from ..structs import UNREADABLE, primed


class PastAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """What was submitted, and what the engine had then."""

    engine: str = ""
    graph: str = ""
    version: str = ""  # of ComfyUI
    attention: str = ""
    memory: float = 0.0
    environment: Environment | None = None


class PastStage(msgspec.Struct, frozen=True, kw_only=True):
    """One stage."""

    name: str = ""
    attempts: tuple[PastAttempt, ...] = ()

    @property
    def last(self) -> PastAttempt:
        """The attempt that made what was published."""
        return self.attempts[-1] if self.attempts else PastAttempt()


class PastImage(msgspec.Struct, frozen=True, kw_only=True):
    """A picture that the video began with, under the name that it was dropped with."""

    sha256: str = ""
    name: str = ""


class PastPlan(msgspec.Struct, frozen=True, kw_only=True):
    """The part of the plan that a comparison needs."""

    seed: int = 0
    memory: int = 0


class PastReceipt(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that making a video again needs."""

    schema: int
    job: str
    stages: tuple[PastStage, ...]
    zoetrope: str = ""
    stem: str = ""
    recipe: str = ""
    recipe_version: str = ""
    recipe_files: dict[str, str] = {}
    ticket: dict[str, Any] = {}
    seed: int | None = None
    plan: PastPlan | None = None
    images: tuple[PastImage, ...] = msgspec.field(default=(), name="stills")

    def wish(self) -> dict[str, Any]:
        """Give the ticket that asks for the same: the seed made explicit, no second review."""
        # What its presets stood for then is said by the other values.
        unsaid = {"parameters", "preset"}
        ticket = {key: value for key, value in self.ticket.items() if key not in unsaid}
        seed = self.seed if self.seed is not None else self.plan.seed if self.plan else None
        return {
            **ticket,
            **self.ticket.get("parameters", {}),
            **({} if seed is None else {"seed": seed}),
            "review": False,
        }

    def names(self, files: Sequence[Path]) -> tuple[str, ...]:
        """Name pictures for an upload so that the new video is named as the one of then; `files` are those that are there."""
        found = []
        for number, file in enumerate(files):
            then = self.images[number].name if number < len(self.images) else ""
            then = then.rpartition("/")[2]
            if number:
                found.append(then or file.name)
                continue
            # A receipt of an earlier version says no stem: it was that of the first picture.
            stem = self.stem or classify(then).stem
            found.append(f"{stem}{file.suffix}" if stem else file.name)
        return tuple(found)

    def models(self) -> tuple[str, ...]:
        """Name the model files that its workflows loaded."""
        found = (stage.last.environment for stage in self.stages)
        return tuple(dict.fromkeys(m.name for each in found if each for m in each.models))

    def digests(self) -> dict[str, str]:
        """Give the digest of the workflow that each stage ended with."""
        return {stage.name: stage.last.graph for stage in self.stages}

    def packed(self) -> Recipe:
        """Make the recipe of the files that the receipt holds, if they are the version that it names."""
        if not self.recipe_files:
            raise RecipeError(
                "The receipt holds no copy of its recipe: an earlier version of zoetrope wrote it.",
                "Run `zoetrope reproduce` on the host that wrote it.",
                key="recipe-version",
            )
        return unpacked(self.recipe_version, self.recipe, self.recipe_files)

    def classes(self) -> tuple[int, ...]:
        """Give the classes of GPU memory that its recipe distinguishes."""
        try:
            return tuple(self.packed().file.memory)
        except RecipeError:
            return CLASSES


def read(file: Path) -> PastReceipt:
    """Read a receipt, or raise with the reason why it is none."""
    none = ZoetropeError(
        f"{file} is not a receipt of zoetrope.", "Name a receipt.json of the outbox.", key="receipt"
    )
    try:
        with open_plain(file) as content:
            past = decode(content.read())
    except (OSError, *UNREADABLE) as error:
        raise none from error
    if past.schema > SCHEMA:
        raise ZoetropeError(
            f"{file} is a receipt of a newer zoetrope: its schema is {past.schema}, this version reads {SCHEMA}.",
            "Use the version that wrote it, or a newer one.",
            key="receipt",
        )
    if not past.stages:
        raise none
    return past


def open_plain(file: Path) -> BinaryIO:
    """Open a plain file of an outbox folder; members of the share may put links to private files in its place."""
    with Beneath(file.parent) as folder:
        try:
            handle = folder.open(file.name)
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            raise ZoetropeError(
                f"{file} is a link; links in an outbox folder are not followed.",
                "Put the file itself in its place.",
                key="link-inside",
            ) from error
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise ZoetropeError(f"{file} is not a plain file.", "Remove it.", key="file")
    return os.fdopen(handle, "rb")


def decode(content: bytes) -> PastReceipt:
    """Read a receipt's bytes."""
    return msgspec.json.decode(content, type=primed(PastReceipt))


def at(given: Path) -> Path:
    """Find the receipt that a path means: itself, or the one in an outbox folder."""
    return given / RECEIPT if given.is_dir() else given


def unpack(receipt: PastReceipt, folder: Path) -> Path:
    """Write a receipt's recipe as a folder that a shelf can hold; nothing that is there is overwritten."""
    recipe = receipt.packed()
    root = folder.resolve()
    home = root / receipt.recipe
    files = {
        (root / name if name == shared.FILE else home / name).resolve(): content
        for name, content in recipe.files.items()
    }
    if home.parent != root or not all(file.is_relative_to(root) for file in files):
        raise ZoetropeError(
            "A name in the receipt's recipe_files leads out of the folder.",
            "Nothing was written; do not trust this receipt.",
            key="receipt",
        )
    for file, content in files.items():
        if file.exists() and file.read_bytes() != content:
            raise ZoetropeError(
                f"{file} exists already with other content.", "Name an empty folder.", key="file"
            )
    for file, content in files.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return home
