"""The three folders of an engine, and its rules for names in them."""

import hashlib
import mimetypes
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from .errors import OutsideOutput
from .kept import KEPT_PROMPTS, KeptFiles
from .models import FOLDERS, ModelNames


class Saved(msgspec.Struct, frozen=True):
    """Where a save node may put its next file."""

    folder: Path
    name: str
    counter: int
    subfolder: str


class Stored(msgspec.Struct, frozen=True):
    """An upload: the name that it has now, and whether there was no file of that name before."""

    name: str
    new: bool


class Files:
    """An engine's input, output and temp folders under one home."""

    def __init__(
        self,
        home: Path,
        models: ModelNames,
        localtime: Callable[[], time.struct_time],
        keep: int = KEPT_PROMPTS,
    ) -> None:
        self.home = home.absolute()
        self.input = self.home / "input"
        self.output = self.home / "output"
        self.temp = self.home / "temp"
        self.kept = KeptFiles(self.home, keep)
        self._models = models
        self._localtime = localtime

    def prepare(self) -> None:
        """Make the folders; what an earlier process left in temp is wiped."""
        shutil.rmtree(self.temp, ignore_errors=True)
        for folder in (self.input, self.output, self.temp):
            folder.mkdir(parents=True, exist_ok=True)
        self.kept.open()

    def empty_input(self) -> None:
        """Remove every upload, as a clean-up of the host's would."""
        with self.kept.lock:
            shutil.rmtree(self.input, ignore_errors=True)
            self.input.mkdir(parents=True)

    def by_type(self, kind: str) -> Path | None:
        """Return the folder that a `type` in the protocol names."""
        return {"input": self.input, "output": self.output, "temp": self.temp}.get(kind)

    def annotated(self, name: str, default: Path | None = None) -> tuple[str, Path | None]:
        """Split `x.png [output]` into the name and its folder."""
        for kind in ("output", "input", "temp"):
            if name.endswith(f"[{kind}]"):
                return name[: -len(kind) - 2].rstrip(), self.by_type(kind)
        return name, default

    def find(self, name: str) -> Path | None:
        """Return the existing file that a loading node's input names; never one outside."""
        plain, folder = self.annotated(name, self.input)
        if folder is None or not plain:
            return None
        path = Path(os.path.normpath(folder / plain))
        if not _inside(folder, path) or not path.is_file():
            return None
        return path

    def viewed(self, name: str, subfolder: str, kind: str) -> Path | int:
        """Return the file that /view should send, or the status it rejects with."""
        plain, folder = self.annotated(name, self.by_type(kind))
        if not plain or plain.startswith("/") or ".." in plain or folder is None:
            return 400
        place = Path(os.path.normpath(folder / subfolder))
        if not place.is_relative_to(folder):
            return 403
        path = place / Path(plain).name
        return path if path.is_file() else 404

    def digest(self, name: str) -> str:
        """Return a name for a file's content, by which its loading node is cached."""
        path = self.find(name)
        return hashlib.sha256(path.read_bytes()).hexdigest() if path else ""

    def listed(self, kind: str) -> list[str]:
        """List what a loading node offers: files of a kind, at the top level of the input folder."""
        names = sorted(p.name for p in self.input.iterdir() if p.is_file())
        if kind == "latent":
            return [n for n in names if n.endswith(".latent")]
        return [n for n in names if (mimetypes.guess_type(n)[0] or "").startswith(f"{kind}/")]

    def models(self, folder: str) -> list[str]:
        """List a model folder: the names this engine pretends to have, and files really there."""
        names = set(self._models.get(folder, ()))
        place = self.home / "models" / folder
        if place.is_dir():
            names.update(p.relative_to(place).as_posix() for p in place.rglob("*") if p.is_file())
        return sorted(names)

    @property
    def model_folders(self) -> list[str]:
        """Return the names of the model folders."""
        return sorted({*FOLDERS, *self._models})

    def next_output(
        self, prefix: str, *, width: int = 0, height: int = 0, temp: bool = False
    ) -> Saved:
        """Choose where a save node writes: one above the highest counter that is present."""
        root = self.temp if temp else self.output
        expanded = os.path.normpath(self._expand(prefix, width, height))
        subfolder, name = os.path.split(expanded)
        folder = Path(os.path.normpath(root / subfolder))
        if not _inside(root, folder):
            raise OutsideOutput(
                "**** ERROR: Saving image outside the output folder is not allowed."
                f"\n full_output_folder: {folder}\n         output_dir: {root}"
                f"\n         commonpath: {os.path.commonpath((folder, root))}"
            )
        folder.mkdir(parents=True, exist_ok=True)
        counters = (_counter(p.name, name) for p in folder.iterdir())
        return Saved(folder, name, max(counters, default=0) + 1, subfolder)

    def saving(self, place: Saved, name: str) -> Path:
        """Return the path of a file that a node is about to write, which is the engine's to remove later."""
        return self.kept.made(place.folder / name)

    def upload(
        self, kind: str, subfolder: str, name: str, data: bytes, *, overwrite: bool
    ) -> str | None:
        """Keep an uploaded file; None if it would lie outside, or its folder is none."""
        folder = self.by_type(kind)
        if folder is None:
            return None
        # Not while a prompt's old files go, and the folders that they leave empty.
        with self.kept.lock:
            stored = store_upload(folder, subfolder, name, data, overwrite=overwrite)
            if stored is None:
                return None
            self.kept.given(Path(os.path.normpath(folder / subfolder / stored.name)), stored.new)
        return stored.name

    def _expand(self, prefix: str, width: int, height: int) -> str:
        """Fill in what the server itself knows; other placeholders stay literal."""
        now = self._localtime()
        values = {
            "width": str(width),
            "height": str(height),
            "year": str(now.tm_year),
            "month": f"{now.tm_mon:02}",
            "day": f"{now.tm_mday:02}",
            "hour": f"{now.tm_hour:02}",
            "minute": f"{now.tm_min:02}",
            "second": f"{now.tm_sec:02}",
        }
        for name, value in values.items():
            prefix = prefix.replace(f"%{name}%", value)
        return prefix


def _inside(folder: Path, path: Path) -> bool:
    """Whether a path is in a folder, as written and with every link followed, as ComfyUI asks since 0.33."""
    return path.is_relative_to(folder) and path.resolve().is_relative_to(folder.resolve())


def _counter(file: str, name: str) -> int:
    """Read the counter out of `name_00007_.mp4`; 0 for the file of another prefix."""
    if not file.lower().startswith(f"{name.lower()}_"):
        return 0
    digits = file[len(name) + 1 :].split(".")[0].split("_")[0]
    return int(digits) if digits.isdigit() else 0


def store_upload(
    folder: Path, subfolder: str, name: str, data: bytes, *, overwrite: bool
) -> Stored | None:
    """Keep an uploaded file under its name or the next free one; None if it would lie outside."""
    place = Path(os.path.normpath(folder / os.path.normpath(subfolder)))
    path = Path(os.path.normpath(place / name))
    if not path.is_relative_to(folder) or path == folder:
        return None
    path.parent.mkdir(parents=True, exist_ok=True)
    if not overwrite:
        stem, suffix = os.path.splitext(name)  # noqa: PTH122 - the name may hold folders
        number = 0
        while path.exists():
            if path.read_bytes() == data:
                return Stored(name, new=False)
            number += 1
            name = f"{stem} ({number}){suffix}"
            path = place / name
    new = not path.exists()
    path.write_bytes(data)
    return Stored(name, new)
