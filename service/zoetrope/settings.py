"""Everything an operator can set: TOML in, frozen structs out, one clear line for each mistake."""

from __future__ import annotations

import difflib
import ipaddress
import os
import types
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import tomli

from .errors import SettingsError

DEFAULT_FILE = Path("/etc/zoetrope/zoetrope.toml")

Seconds = Annotated[float, msgspec.Meta(ge=0)]
Count = Annotated[int, msgspec.Meta(ge=0)]
Positive = Annotated[int, msgspec.Meta(ge=1)]
Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
# One component of a path, never hidden: our own part files are.
FileName = Annotated[str, msgspec.Meta(pattern=r"^[^./\\][^/\\]*$")]
FolderName = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*$")]


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
    # beside it holds all of it.
    embed_graph: bool = False


class StateSettings(Section, frozen=True):
    """Where the ledger and the work in progress live."""

    path: Path = Path("/var/lib/zoetrope")
    min_free_megabytes: Count = 2048


class RecipesSettings(Section, frozen=True):
    """Where recipes are looked for, after the shipped ones, and which one a bare drop uses."""

    path: tuple[Path, ...] = (Path("/etc/zoetrope/recipes"),)
    default: Name = "wan22-i2v-hero"


class JobsSettings(Section, frozen=True):
    """How jobs are treated: `review` overrides the recipes, `retries` bounds attempts beyond the ladder."""

    review: bool | None = None
    retries: Count = 3
    patience_seconds: Annotated[float, msgspec.Meta(gt=0)] = 180.0


class Restart(Section, frozen=True):
    """How an engine is restarted: a systemd unit or a command, never both."""

    unit: str | None = None
    command: tuple[str, ...] | None = None


class EngineSettings(Section, frozen=True):
    """One ComfyUI, usually one per GPU."""

    name: Name
    url: str = "http://127.0.0.1:8188"
    restart: Restart | None = None
    report: Path | None = None  # what pre-start.sh found before it started
    silence_seconds: Annotated[float, msgspec.Meta(gt=0)] = 10.0


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
    sha256: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-fA-F]{64}$")]
    bytes: Positive | None = None


class ModelsSettings(Section, frozen=True):
    """Where models lie, and which of them are fetched; without `path` they are the engine's own matter."""

    path: Path | None = None
    folders: tuple[Path, ...] = ()
    recipes: tuple[Name, ...] | None = None  # unset: those of the default recipe
    extra: tuple[ExtraModel, ...] = ()
    token_file: Path | None = None


class Settings(Section, frozen=True):
    """The whole settings file."""

    inbox: InboxSettings = InboxSettings()
    outbox: OutboxSettings = OutboxSettings()
    state: StateSettings = StateSettings()
    recipes: RecipesSettings = RecipesSettings()
    jobs: JobsSettings = JobsSettings()
    engines: tuple[EngineSettings, ...] = (EngineSettings(name="comfyui"),)
    models: ModelsSettings = ModelsSettings()
    web: WebSettings = WebSettings()

    @property
    def ledger_file(self) -> Path:
        """The ledger's database."""
        return self.state.path / "ledger.db"

    @property
    def work(self) -> Path:
        """The folder that holds one folder for each job in progress."""
        return self.state.path / "work"


def find_file(given: str | None, environ: Mapping[str, str] = os.environ) -> Path | None:
    """Say which settings file counts: the one given, then ZOETROPE_CONFIG, then the system's if it exists."""
    if named := given or environ.get("ZOETROPE_CONFIG"):
        return Path(named)
    return DEFAULT_FILE if DEFAULT_FILE.exists() else None


def load(file: Path | None) -> Settings:
    """Read a settings file, or give the defaults when there is none."""
    if file is None:
        return Settings()
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise SettingsError(
            f"{file}: cannot be read ({error.strerror}).", "Check the path and its permissions."
        ) from error
    except UnicodeDecodeError as error:
        raise SettingsError(
            f"{file}: is not UTF-8 text (byte {error.start}).", "Save it as UTF-8."
        ) from error
    return parse(text, str(file))


def parse(text: str, origin: str) -> Settings:
    """Turn TOML text into settings; every mistake becomes one line of the error's sentence."""
    try:
        raw = tomli.loads(text)
    except tomli.TOMLDecodeError as error:
        raise SettingsError(f"{origin}: not valid TOML: {error}.") from error
    problems = list(_mistakes(raw, Settings, ""))
    if not problems:
        settings = msgspec.convert(raw, Settings, dec_hook=_decode)
        problems = list(_contradictions(settings))
        if not problems:
            return settings
    raise SettingsError("\n".join(f"{origin}: {problem}" for problem in problems))


def is_loopback(host: str) -> bool:
    """Tell whether an address or host name can only be reached from this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def nearest(word: str, valid: typing.Iterable[str]) -> str:
    """Offer the valid word that is closest to a mistyped one, or list them all when none is close."""
    choices = sorted(valid)
    close = difflib.get_close_matches(word, choices, n=1, cutoff=0.5)
    return f"did you mean `{close[0]}`?" if close else f"valid are: {', '.join(choices)}."


def _decode(wanted: type, value: Any) -> Any:
    if wanted is Path and isinstance(value, str):
        return Path(value)
    raise TypeError(f"cannot turn {type(value).__name__} into {wanted.__name__}")


def _mistakes(raw: Any, wanted: Any, where: str) -> Iterator[str]:
    """Walk the raw tables beside the structs, so that all mistakes are told at once and with their place."""
    wanted = _bare(wanted)
    if isinstance(wanted, type) and issubclass(wanted, msgspec.Struct):
        if not isinstance(raw, dict):
            yield f"{where}: found {_show(raw)}, a table is allowed here"
            return
        hints = typing.get_type_hints(wanted, include_extras=True)
        for key, value in raw.items():
            path = f"{where}.{key}" if where else key
            if key not in hints:
                yield f"{path}: unknown key; {nearest(key, hints)}"
            else:
                yield from _mistakes(value, hints[key], path)
        for field in msgspec.structs.fields(wanted):
            if field.required and field.name not in raw:
                yield f"{where}: the key `{field.name}` is missing"
        return
    inner = _element(wanted)
    if inner is not None and isinstance(raw, list):
        for index, value in enumerate(raw):
            yield from _mistakes(value, inner, f"{where}[{index}]")
        return
    try:
        msgspec.convert(raw, wanted, dec_hook=_decode)
    except msgspec.ValidationError:
        yield f"{where}: found {_show(raw)}, allowed is {_describe(wanted)}"


def _bare(wanted: Any) -> Any:
    """Drop `| None` where the rest is a table, so that its keys are checked one by one."""
    if isinstance(wanted, types.UnionType):
        rest = [part for part in wanted.__args__ if part is not types.NoneType]
        if len(rest) == 1 and isinstance(rest[0], type) and issubclass(rest[0], msgspec.Struct):
            return rest[0]
    return wanted


def _element(wanted: Any) -> Any:
    """The element type of a list that the TOML may hold, if the wanted type is one."""
    parts = wanted.__args__ if isinstance(wanted, types.UnionType) else (wanted,)
    for part in parts:
        if typing.get_origin(part) is tuple:
            return typing.get_args(part)[0]
    return None


def _describe(wanted: Any) -> str:
    if isinstance(wanted, types.UnionType):
        return " or ".join(
            _describe(part) for part in wanted.__args__ if part is not types.NoneType
        )
    origin = typing.get_origin(wanted)
    if origin is Literal:
        return " or ".join(f'"{choice}"' for choice in typing.get_args(wanted))
    if origin is tuple:
        return f"a list of {_describe(typing.get_args(wanted)[0])}"
    if origin is Annotated:
        base, *metas = typing.get_args(wanted)
        limits = [
            text
            for meta in metas
            for text in (
                f"at least {meta.ge:g}" if meta.ge is not None else "",
                f"above {meta.gt:g}" if meta.gt is not None else "",
                f"at most {meta.le:g}" if meta.le is not None else "",
                "of letters, digits and . _ - only" if meta.pattern is not None else "",
            )
            if text
        ]
        return " ".join([_describe(base), ", ".join(limits)]).rstrip()
    names = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}
    return (
        "a path" if wanted is Path else names.get(wanted, getattr(wanted, "__name__", str(wanted)))
    )


def _show(value: Any) -> str:
    text = {True: "true", False: "false"}[value] if isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _contradictions(settings: Settings) -> Iterator[str]:
    """Name pairs of settings that cannot both hold; no look at the file system."""
    paths = {
        "inbox.path": settings.inbox.path,
        "outbox.path": settings.outbox.path,
        "state.path": settings.state.path,
    }
    for key, path in paths.items():
        if not path.is_absolute():
            yield f"{key}: found {_show(str(path))}, allowed is an absolute path"
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
    yield from _engine_contradictions(settings.engines)
    folders = [*([settings.models.path] if settings.models.path else []), *settings.models.folders]
    for folder in folders:
        if not folder.is_absolute():
            key = "models.path" if folder is settings.models.path else "models.folders"
            yield f"{key}: found {_show(str(folder))}, allowed is an absolute path"
    yield from _web_contradictions(settings.web)


def _engine_contradictions(engines: tuple[EngineSettings, ...]) -> Iterator[str]:
    if not engines:
        yield "engines: found an empty list, at least one engine is needed"
    names: dict[str, int] = {}
    urls: dict[str, int] = {}
    for index, engine in enumerate(engines):
        where = f"engines[{index}]"
        if engine.report is not None and not engine.report.is_absolute():
            yield f"{where}.report: found {_show(str(engine.report))}, allowed is an absolute path"
        if engine.name in names:
            yield f"{where}.name: {engine.name!r} is also the name of engines[{names[engine.name]}]"
        names.setdefault(engine.name, index)
        if engine.url == "rehearsal:":
            if engine.restart is not None:
                yield f"{where}.restart: the embedded engine is restarted without it; leave it out"
            continue
        address = engine.url.rstrip("/")
        if address in urls:
            yield f"{where}.url: {engine.url!r} is also the url of engines[{urls[address]}]"
        urls.setdefault(address, index)
        if not address.startswith(("http://", "https://")):
            yield f'{where}.url: found {engine.url!r}, allowed is "http://HOST:PORT", "https://HOST:PORT" or "rehearsal:"'
        if engine.restart is not None:
            ways = [way for way in (engine.restart.unit, engine.restart.command) if way]
            if len(ways) != 1:
                yield f"{where}.restart: allowed is exactly one of `unit` and `command`"


def _web_contradictions(web: WebSettings) -> Iterator[str]:
    host, colon, port = web.listen.rpartition(":")
    if not (colon and host and port.isdecimal() and int(port) < 65536):
        yield f'web.listen: found {web.listen!r}, allowed is "ADDRESS:PORT", such as "127.0.0.1:8190"'
    elif not web.loopback and web.token_file is None:
        yield (
            f"web.listen: {web.listen} can be reached from other machines, so web.token_file is needed;"
            " name a file with a token, or listen on 127.0.0.1"
        )
