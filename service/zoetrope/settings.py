"""Everything an operator can set: TOML in, frozen structs out, one clear line for each mistake."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import msgspec

from . import tables
from .address import is_http, is_loopback, masked
from .domain.hours import Hours
from .domain.hours import parse as parse_hours
from .errors import SettingsError
from .mistakes import decode, mistakes, nearest, show
from .structs import primed

DEFAULT_FILE = Path("/etc/zoetrope/zoetrope.toml")

Seconds = Annotated[float, msgspec.Meta(ge=0)]
Count = Annotated[int, msgspec.Meta(ge=0)]
Positive = Annotated[int, msgspec.Meta(ge=1)]
# In Python's patterns `$` also stands before a line break at the end, hence the look ahead.
Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$(?!\n)")]
RuleId = Annotated[str, msgspec.Meta(pattern=r"^[A-Z][0-9]{3}$(?!\n)")]
Reasoned = Annotated[str, msgspec.Meta(min_length=3)]
# One component of a path, never hidden: our own part files are.
FileName = Annotated[str, msgspec.Meta(pattern=r"^[^./\\\x00-\x1f][^/\\\x00-\x1f]*$(?!\n)")]
FolderName = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*$(?!\n)")]


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One table of the settings file."""


class InboxSettings(Section, frozen=True):
    """Where pictures arrive and when one counts as complete."""

    path: Path = Path("/srv/zoetrope/inbox")
    settle_seconds: Seconds = 3.0
    ticket_grace_seconds: Seconds = 2.0
    rescan_seconds: Annotated[float, msgspec.Meta(gt=0)] = 30.0
    claim: Literal["move", "copy"] = "move"
    duplicates: Literal["skip", "new-seed", "always"] = "skip"
    watch: Literal["auto", "inotify", "poll"] = "auto"
    max_megabytes: Positive = 256
    max_megapixels: Positive = 100
    decode_seconds: Annotated[float, msgspec.Meta(gt=0)] = 30.0
    decode_workers: Annotated[int, msgspec.Meta(ge=1, le=16)] = 2


class OutboxSettings(Section, frozen=True):
    """Where finished videos appear."""

    path: Path = Path("/srv/zoetrope/outbox")
    # Off, because a video is what people pass on, and the prompt would go with it; the receipt
    # next to it holds all of it.
    embed_graph: bool = False


class StateSettings(Section, frozen=True):
    """Where the ledger and the work in progress live."""

    path: Path = Path("/var/lib/zoetrope")
    min_free_megabytes: Count = 2048


Days = Annotated[float, msgspec.Meta(ge=0, le=36_500)]


class KeepSettings(Section, frozen=True):
    """How long what has ended stays; 0 is for ever, or without a limit."""

    # Long enough for a holiday between a failure and its retry.
    work_days: Days = 14
    # A failed job holds its stages' frames without loss: a gigabyte or more each.
    work_gigabytes: Annotated[float, msgspec.Meta(ge=0, le=1_000_000)] = 50
    # With `claim = "move"` a rejected picture may be the only one that its owner has, and it is small.
    rejected_days: Days = 90
    # Finished videos are what all of this is for: they go only if an operator says so.
    outbox_days: Days = 0


class RecipesSettings(Section, frozen=True):
    """Where recipes are looked for, after the shipped ones, and which one a bare drop uses."""

    path: tuple[Path, ...] = (Path("/etc/zoetrope/recipes"),)
    default: Name = "wan22-i2v-hero"


class JobsSettings(Section, frozen=True):
    """How jobs are treated: `review` overrides the recipes, `retries` bounds attempts beyond the fallbacks."""

    review: bool | None = None
    retries: Count = 3
    patience_seconds: Annotated[float, msgspec.Meta(gt=0)] = 180.0
    # In local time, such as "22:00-07:00, 12:00-13:30"; unset, at any time.
    hours: str | None = None
    # Long enough for the next picture of somebody who drops one after another; loading the models
    # again takes a minute of a stage's many. 0 is never: the GPU is for nothing else.
    free_after_minutes: Annotated[float, msgspec.Meta(ge=0, le=10_080)] = 10.0
    # An engine is back within this time after a restart, also where its packages are updated first.
    move_minutes: Annotated[float, msgspec.Meta(ge=0, le=100_000)] = 5.0  # 0: jobs never move
    # Far longer than the largest model takes to load from a slow disk, or a model to compile.
    stuck_minutes: Annotated[float, msgspec.Meta(gt=0, le=100_000)] = 60.0

    @property
    def working_hours(self) -> Hours | None:
        """The hours as a value."""
        return parse_hours(self.hours) if self.hours is not None else None


class Restart(Section, frozen=True):
    """How an engine is restarted: a systemd unit or a command, never both."""

    unit: str | None = None
    command: tuple[str, ...] | None = None


#: The url of an engine that the service starts itself; the second is the name that it had first.
SIMULATED = ("simulated:", "rehearsal:")


LOCAL = "http://127.0.0.1:8188"


class EngineSettings(Section, frozen=True):
    """One ComfyUI, usually one per GPU."""

    name: Name
    url: str = LOCAL
    url_file: Path | None = None  # holds the address instead, where that has a password
    gpu: str | None = None  # its GPU's UUID; needed where the host has several
    restart: Restart | None = None
    report: Path | None = None  # what pre-start.sh found before it started
    pending: Path | None = None  # there while its restart waits for something, such as a reboot
    flag_request: Path | None = None  # where the service asks pre-start.sh for launch flags
    silence_seconds: Annotated[float, msgspec.Meta(gt=0)] = 10.0

    @property
    def simulated(self) -> bool:
        """Whether it is a simulated engine, started by the service itself."""
        return self.url in SIMULATED and self.url_file is None


class WebSettings(Section, frozen=True):
    """Where the page and the API listen."""

    listen: str = "127.0.0.1:8190"
    token_file: Path | None = None
    allowed_hosts: tuple[str, ...] = ()
    max_upload_megabytes: Positive = 256

    @property
    def host(self) -> str:
        """The address part of `listen`."""
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """The port part of `listen`."""
        return int(self.listen.rpartition(":")[2])

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the page."""
        return is_loopback(self.host)


class ExtraModel(Section, frozen=True):
    """A model file of the operator's own, fetched like the shipped recipes' ones."""

    file: FileName
    folder: FolderName
    url: str
    sha256: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-fA-F]{64}$(?!\n)")]
    bytes: Positive | None = None


class ModelsSettings(Section, frozen=True):
    """Where models lie, and which of them are fetched; without `path` they are the engine's own matter."""

    path: Path | None = None
    folders: tuple[Path, ...] = ()
    recipes: tuple[Name, ...] | None = None  # unset: those of the default recipe
    extra: tuple[ExtraModel, ...] = ()
    token_file: Path | None = None


NO_MEMORY_CLOCKS = (
    "memory clocks are never set, because any limit on them slows the fabric inside the GPU too, by 16 to"
    " 32 % (NVIDIA/open-gpu-kernel-modules #1265); leave the key out and set max_core_mhz instead"
)


class ProfileSettings(Section, frozen=True):
    """Clocks and a power limit for the GPUs that are meant; what is left out stays as the GPU has it."""

    refused: ClassVar[dict[str, str]] = dict.fromkeys(
        (
            *("max_memory_mhz", "min_memory_mhz", "memory_mhz", "memory_offset_mhz"),
            *("max_mem_mhz", "mem_offset_mhz", "memory_clock_mhz", "max_memory_clock"),
        ),
        NO_MEMORY_CLOCKS,
    )

    cards: tuple[str, ...] = ("*",)  # UUIDs, names or patterns such as "*5090*"
    max_core_mhz: Positive | None = None
    core_offset_mhz: int | None = None  # with a highest clock, an undervolt
    power_limit_w: Positive | None = None


class GpuSettings(Section, frozen=True):
    """Which profile a GPU runs at while it works and while it does not: the first of the names that fits it."""

    helper_socket: Path = Path("/run/zoetrope-gpu.sock")
    working: tuple[Name, ...] = ()
    idle: tuple[Name, ...] = ()
    idle_seconds: Seconds = 120.0
    profiles: dict[Name, ProfileSettings] = {}


class LintSettings(Section, frozen=True):
    """Rules of the linter that do not count on this host, each with the reason in words."""

    ignore: dict[RuleId, Reasoned] = {}


class Settings(Section, frozen=True):
    """The whole settings file."""

    inbox: InboxSettings = InboxSettings()
    outbox: OutboxSettings = OutboxSettings()
    state: StateSettings = StateSettings()
    keep: KeepSettings = KeepSettings()
    recipes: RecipesSettings = RecipesSettings()
    jobs: JobsSettings = JobsSettings()
    engines: tuple[EngineSettings, ...] = (EngineSettings(name="comfyui"),)
    models: ModelsSettings = ModelsSettings()
    gpu: GpuSettings = GpuSettings()
    lint: LintSettings = LintSettings()
    web: WebSettings = WebSettings()

    @property
    def ledger_file(self) -> Path:
        """The ledger's database."""
        return self.state.path / "ledger.db"

    @property
    def work(self) -> Path:
        """The folder that holds one folder for each job in progress."""
        return self.state.path / "work"

    @property
    def lost(self) -> Path:
        """The folder of work that the ledger knows nothing of."""
        return self.state.path / "lost+found"

    @property
    def outbox_identity(self) -> Path:
        """The file that remembers which folder the outbox is."""
        return self.state.path / "outbox.json"

    @property
    def keep_book(self) -> Path:
        """The file that says how long things have been kept."""
        return self.state.path / "keep.json"

    @property
    def pause_file(self) -> Path:
        """The file that keeps a user's pause over restarts."""
        return self.state.path / "pause.json"

    @property
    def recipe_versions(self) -> Path:
        """The folder of the recipes that jobs were accepted with."""
        return self.state.path / "recipe-versions"

    @property
    def flag_requests(self) -> Path:
        """The folder that remembers which launch flags the service asks for."""
        return self.state.path / "flag-requests"

    @property
    def model_hashes(self) -> Path:
        """The file that remembers the hashes of model files."""
        return self.state.path / "model-hashes.json"


def find_file(given: str | None, environ: Mapping[str, str] = os.environ) -> Path | None:
    """Say which settings file counts: the one given, then ZOETROPE_CONFIG, then the system's if it exists."""
    if named := given or environ.get("ZOETROPE_CONFIG"):
        return Path(named)
    return DEFAULT_FILE if DEFAULT_FILE.exists() else None


def load(file: Path | None) -> Settings:
    """Read a settings file, or give the defaults when there is none."""
    if file is None:
        return Settings()
    with reading(file):
        text = file.read_text(encoding="utf-8")
    return parse(text, str(file))


@contextlib.contextmanager
def reading(file: Path) -> Iterator[None]:
    """Report what keeps a settings file from being read as an error with a next step."""
    try:
        yield
    except OSError as error:
        raise SettingsError(
            f"{file}: cannot be read ({error.strerror}).", "Check the path and its permissions."
        ) from error
    except UnicodeDecodeError as error:
        raise SettingsError(
            f"{file}: is not UTF-8 text (byte {error.start}).", "Save it as UTF-8."
        ) from error


def parse(text: str, origin: str) -> Settings:
    """Turn TOML text into settings; every mistake becomes one line of the error's sentence."""
    try:
        raw = tables.read(text)
    except tables.BrokenTable as error:
        raise SettingsError(f"{origin}: {error}.") from error
    problems = list(mistakes(raw, Settings, ""))
    if not problems:
        settings = msgspec.convert(raw, primed(Settings), dec_hook=decode)
        problems = list(_contradictions(settings))
        if not problems:
            return settings
    raise SettingsError("\n".join(f"{origin}: {problem}" for problem in problems))


def _contradictions(settings: Settings) -> Iterator[str]:
    """Name pairs of settings that cannot both hold; no look at the file system."""
    paths = {
        "inbox.path": settings.inbox.path,
        "outbox.path": settings.outbox.path,
        "state.path": settings.state.path,
    }
    for key, path in paths.items():
        if not path.is_absolute():
            yield f"{key}: found {show(str(path))}, allowed is an absolute path"
    clean = {key: Path(os.path.normpath(path)) for key, path in paths.items()}
    pairs = [
        # The outer key comes first: the second path must not be the first or lie inside it.
        ("inbox.path", "outbox.path", "finished videos would be taken as new pictures"),
        ("inbox.path", "state.path", "work in progress would be taken as new pictures"),
        ("outbox.path", "inbox.path", "new pictures would lie among finished videos"),
    ]
    for outer, inner, consequence in pairs:
        if clean[outer] == clean[inner]:
            if outer < inner:
                yield f"{inner}: is the same path as {outer} ({clean[outer]}); give each its own folder"
        elif clean[inner].is_relative_to(clean[outer]):
            yield f"{inner}: {clean[inner]} lies inside {outer} ({clean[outer]}); {consequence}"
    work = clean["state.path"] / "work"
    for key in ("inbox.path", "outbox.path"):
        if clean[key] == clean["state.path"] and key == "outbox.path":
            yield f"{key}: is the same path as state.path ({clean[key]}); give each its own folder"
        elif clean[key].is_relative_to(work):
            yield f"{key}: {clean[key]} lies inside {work}, which holds work in progress"
    try:
        _ = settings.jobs.working_hours
    except ValueError as error:
        yield f'jobs.hours: {error}; allowed are ranges of the local time, such as "22:00-07:00, 12:00-13:30"'
    yield from _engine_contradictions(settings.engines)
    folders = [*([settings.models.path] if settings.models.path else []), *settings.models.folders]
    for folder in folders:
        if not folder.is_absolute():
            key = "models.path" if folder is settings.models.path else "models.folders"
            yield f"{key}: found {show(str(folder))}, allowed is an absolute path"
    yield from _gpu_contradictions(settings.gpu)
    yield from _web_contradictions(settings.web)


def _engine_contradictions(engines: tuple[EngineSettings, ...]) -> Iterator[str]:
    if not engines:
        yield "engines: found an empty list, at least one engine is needed"
    names: dict[str, int] = {}
    urls: dict[str, int] = {}
    for index, engine in enumerate(engines):
        where = f"engines[{index}]"
        for key in ("report", "pending", "flag_request", "url_file"):
            file = getattr(engine, key)
            if file is not None and not file.is_absolute():
                yield f"{where}.{key}: found {show(str(file))}, allowed is an absolute path"
        if engine.name in names:
            yield f"{where}.name: {engine.name!r} is also the name of engines[{names[engine.name]}]"
        names.setdefault(engine.name, index)
        if engine.simulated:
            if engine.restart is not None:
                yield f"{where}.restart: the service restarts a simulated engine itself; remove the key"
            continue
        address = engine.url.rstrip("/")
        if engine.url_file is not None:
            if engine.url != LOCAL:
                yield f"{where}.url_file: allowed is exactly one of `url` and `url_file`"
        elif address in urls:
            yield f"{where}.url: {masked(engine.url)!r} is also the url of engines[{urls[address]}]"
        else:
            urls[address] = index
        if not is_http(address) and engine.url_file is None:
            yield f'{where}.url: found {masked(engine.url)!r}, allowed is "http://HOST:PORT", "https://HOST:PORT" or "simulated:"'
        if engine.restart is not None:
            ways = [way for way in (engine.restart.unit, engine.restart.command) if way]
            if len(ways) != 1:
                yield f"{where}.restart: allowed is exactly one of `unit` and `command`"


def _gpu_contradictions(gpu: GpuSettings) -> Iterator[str]:
    if not gpu.helper_socket.is_absolute():
        found = show(str(gpu.helper_socket))
        yield f"gpu.helper_socket: found {found}, allowed is an absolute path"
    for role in ("working", "idle"):
        for name in getattr(gpu, role):
            if name not in gpu.profiles:
                told = nearest(name, gpu.profiles) if gpu.profiles else "there are none."
                yield f"gpu.{role}: there is no profile {name!r}; {told}"
    for name, profile in gpu.profiles.items():
        where = f"gpu.profiles.{name}"
        figures = (profile.max_core_mhz, profile.core_offset_mhz, profile.power_limit_w)
        if figures == (None, None, None):
            yield f"{where}: is empty; set max_core_mhz, power_limit_w or both"
        elif (profile.core_offset_mhz or 0) > 0 and profile.max_core_mhz is None:
            yield (
                f"{where}.core_offset_mhz: an offset of {profile.core_offset_mhz:+d} MHz alone lifts the"
                " highest clock too, which is an overclock; set max_core_mhz with it"
            )
        if not profile.cards:
            yield f"{where}.cards: found an empty list; name a UUID or a pattern, or leave the key out"


def _web_contradictions(web: WebSettings) -> Iterator[str]:
    host, colon, port = web.listen.rpartition(":")
    if not (colon and host and port.isdecimal() and int(port) < 65536):
        yield f'web.listen: found {web.listen!r}, allowed is "ADDRESS:PORT", such as "127.0.0.1:8190"'
    elif not web.loopback and web.token_file is None:
        yield (
            f"web.listen: {web.listen} can be reached from other machines, so web.token_file is needed;"
            " name a file with a token, or listen on 127.0.0.1"
        )
