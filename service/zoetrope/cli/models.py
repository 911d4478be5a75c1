"""`zoetrope models`: the model files that recipes need: list, verify, download."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import Options, local, pass_options

if TYPE_CHECKING:
    from ..models.manifest import Model
    from ..models.store import FoundModel, Store
    from ..settings import Settings

config = click.option("--config", metavar="FILE", help="The settings file. [env: ZOETROPE_CONFIG; default: /etc/zoetrope/zoetrope.toml]")  # fmt: skip

Needed = dict[str, "tuple[Model, tuple[str, ...]]"]


@click.group(epilog="\b\nExample:\n  zoetrope models list; zoetrope models fetch")
@local
def models() -> None:
    """List, verify and download the model files that recipes need.

    Without RECIPES on the command line, the recipes are those of models.recipes in the settings.
    """


@models.command(
    "list",
    short_help="List the model files with their sizes and states.",
    epilog="\b\nExample:\n  zoetrope models list wan22-i2v-hero",
)
@click.argument("recipes", nargs=-1)
@config
@local
@pass_options
def list_(options: Options, recipes: tuple[str, ...], config: str | None) -> int:
    """List the model files with their sizes and states; exit with 1 if one is not ready."""
    from ..models.store import READY

    settings, needed = _needed(config, recipes)
    store = _store(settings)
    found = [(store.look(model), users) for model, users in needed.values()]
    _show(options, found)
    return 0 if all(each.state in READY for each, _ in found) else 1


@models.command(
    short_help="Check the hash of every file.",
    epilog="\b\nExample:\n  zoetrope models verify wan22-i2v-hero",
)
@click.argument("recipes", nargs=-1)
@config
@local
@pass_options
def verify(options: Options, recipes: tuple[str, ...], config: str | None) -> int:
    """Compute the hash of every file and compare it; exit with 1 if one is missing or differs."""
    from ..models.store import READY

    settings, needed = _needed(config, recipes)
    store = _store(settings)
    found = []
    for model, users in needed.values():
        if not options.json:
            click.echo(f"reading {model.path} ...", err=True)
        found.append((store.verify(model), users))
    _show(options, found)
    return 0 if all(each.state in READY for each, _ in found) else 1


@models.command(
    short_help="Download the missing files.",
    epilog="\b\nExample:\n  zoetrope models fetch wan22-i2v-hero",
)
@click.argument("recipes", nargs=-1)
@click.option("--notify", is_flag=True, help="Report progress to systemd instead of the terminal.")
@config
@local
def fetch(recipes: tuple[str, ...], notify: bool, config: str | None) -> int:
    """Download the missing model files, and resume interrupted downloads.

    A file is put in place only after its hash was checked. Ctrl-C keeps what was downloaded.
    """
    from ..logs import set_up

    settings, needed = _needed(config, recipes)
    set_up()
    wanted = [model for model, _ in needed.values()]
    return _until_signalled(lambda: _fetch(settings, _store(settings), wanted, notify=notify))


@models.command(
    short_help="List what recipes need, without checking the disk.",
    epilog="\b\nExample:\n  zoetrope models manifest --recipes wan22-i2v-hero --tsv",
)
@click.option("--recipes", multiple=True, metavar="NAME", help="A recipe, by name or folder; may be repeated, or several with commas.")  # fmt: skip
@click.option("--tsv", is_flag=True, help="Separate the columns (folder, file, bytes, recipes) with tabs.")  # fmt: skip
@config
@local
@pass_options
def manifest(options: Options, recipes: tuple[str, ...], tsv: bool, config: str | None) -> int:
    """List the model files that recipes need, without checking the disk."""
    import msgspec

    names = tuple(name for words in recipes for name in words.split(",") if name)
    _, needed = _needed(config, names, only=True)
    if options.json:
        click.echo(msgspec.json.encode([model for model, _ in needed.values()]))
        return 0
    for model, users in needed.values():
        size = "-" if model.bytes is None else str(model.bytes)
        words = (model.folder, model.file, size, ",".join(users))
        click.echo(("\t" if tsv else "  ").join(words))
    return 0


def _needed(
    config: str | None, names: Sequence[str], *, only: bool = False
) -> tuple[Settings, Needed]:
    """Read the settings, and work out which files the named or configured recipes need."""
    from .. import settings as settings_file
    from ..graphs.shelf import load, of_host
    from ..models.manifest import catalogue, needs, together

    settings = settings_file.load(settings_file.find_file(config))
    shelf = of_host(settings)
    known = catalogue(settings.models)
    if not names and not only:
        wanted = settings.models.recipes
        names = (settings.recipes.default,) if wanted is None else wanted
    found = []
    for name in names:
        recipe = load(Path(name)) if "/" in name else shelf.get(name)
        found.append((recipe.name, needs(recipe, known)))
    if not only:
        # What the settings describe is wanted, whichever recipe uses it.
        own = [known[f"{extra.folder}/{extra.file}"] for extra in settings.models.extra]
        found.append(("this host", tuple(own)))
    return settings, together(found)


def _store(settings: Settings) -> Store:
    from ..errors import SettingsError
    from ..models.store import Store

    if settings.models.path is None:
        raise SettingsError(
            "The settings do not set models.path.",
            'Set it to the folder of the model files, such as "/var/lib/zoetrope-models".',
        )
    return Store(settings.models.path, settings.models.folders)


async def _fetch(settings: Settings, store: Store, wanted: Sequence[Model], *, notify: bool) -> int:
    import aiohttp

    from ..models.fetch import Fetcher, FetchProgress, alone
    from ..notifier import Notifier

    notifier = Notifier.from_environ() if notify else Notifier()
    notifier.ready("checking which models are missing")
    token = ""
    if settings.models.token_file is not None:
        token = (await asyncio.to_thread(settings.models.token_file.read_text)).strip()
    said = ""

    def report(progress: FetchProgress) -> None:
        nonlocal said
        if str(progress) == said:
            return
        said = str(progress)
        notifier.status(said)
        if not notify:
            click.echo(f"\r\x1b[K{said}", nl=False)

    with alone(store.path):
        async with aiohttp.ClientSession() as session:
            errors = await Fetcher(store, session, token=token, tell=report).fetch(wanted)
    if said and not notify:
        click.echo()
    for error in errors:
        click.echo(str(error), err=True)
    if not errors:
        notifier.status("all models are present")
        click.echo("All models are present.")
    return 1 if errors else 0


def _until_signalled(work: Callable[[], Coroutine[Any, Any, int]]) -> int:
    """Run until done, or until SIGTERM or Ctrl-C; partial downloads are resumed the next time."""
    import signal

    async def run() -> int:
        task = asyncio.ensure_future(work())
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, task.cancel)
        try:
            return await task
        except asyncio.CancelledError:
            click.echo("\nStopped; the next `zoetrope models fetch` resumes here.", err=True)
            return 1

    return asyncio.run(run())


def _show(options: Options, found: Sequence[tuple[FoundModel, tuple[str, ...]]]) -> None:
    import msgspec

    if options.json:
        rows = [
            {
                "folder": each.model.folder,
                "file": each.model.file,
                "bytes": each.model.bytes,
                "have": each.have,
                "state": str(each.state),
                "path": str(each.path),
                "recipes": users,
            }
            for each, users in found
        ]
        click.echo(msgspec.json.encode(rows))
        return
    for each, users in found:
        size = f"{each.model.bytes / 1e9:.2f} GB" if each.model.bytes else "?"
        share = ""
        if each.state == "partial" and each.model.bytes:
            share = f" {each.have / each.model.bytes:.0%}".replace("%", " %")
        name = each.model.path
        click.echo(f"{str(each.state) + share:<14} {size:>9}  {name}  ({', '.join(users)})")
