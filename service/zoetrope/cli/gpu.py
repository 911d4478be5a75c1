"""`zoetrope gpu`: the state of this host's GPUs, and profiles for their clocks and power."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from . import show
from .options import Options, Renamed, common, local, pass_options

if TYPE_CHECKING:
    from ..errors import Reason
    from ..gpu.card import Card
    from ..gpu.device import Nvml
    from ..gpu.wire import Apply, CardState, Enable, Reset
    from ..settings import Settings

config = click.option("--config", metavar="FILE", help="The settings file. [env: ZOETROPE_CONFIG; default: /etc/zoetrope/zoetrope.toml]")  # fmt: skip
which = click.option("--gpu", "--card", "card", cls=Renamed, metavar="GPU", default="*", help="A UUID, a name or a pattern such as '*5090*'; default: every GPU.")  # fmt: skip


@click.group(epilog="\b\nExample:\n  zoetrope gpu status\n  zoetrope gpu apply baseline --dry-run")
@local
def gpu() -> None:
    """Show the GPUs of this host, and set their clocks and power limits by profile.

    The settings declare the profiles; only the root helper sets them. A profile is unproven until jobs ran under
    it without errors. An error resets the GPU to stock and disables the profile until you run `zoetrope gpu apply`.
    """


@gpu.command(
    short_help="Show the state of every GPU.", epilog="\b\nExample:\n  zoetrope gpu status"
)
@config
@local
@pass_options
def status(options: Options, config: str | None) -> int:
    """Show every GPU: clocks and profile, power, temperature, what limits it, memory, and its processes."""
    settings = _settings(config)
    nvml = _open()
    if nvml is None:
        return _nothing(options)
    states, problem = _states(settings)
    rows = [
        (card, nvml.read(card.uuid), nvml.users(card.uuid), states.get(card.uuid))
        for card in nvml.cards()
    ]
    if options.json:
        import msgspec

        keys = ("card", "reading", "users", "state")
        click.echo(msgspec.json.encode([dict(zip(keys, row, strict=True)) for row in rows]))
        return 0
    from ..gpu.screen import lines

    for row in rows:
        click.echo("\n".join(show.clean(line) for line in lines(*row)))
    if problem is not None and (settings.gpu.working or settings.gpu.idle):
        click.echo(str(problem))
    return 0


@gpu.command(
    short_help="Show the profiles, and the limits of every GPU.",
    epilog="\b\nExample:\n  zoetrope gpu profiles",
)
@config
@local
@pass_options
def profiles(options: Options, config: str | None) -> int:
    """Show the limits of every GPU, and what each profile would set on it."""
    settings = _settings(config)
    nvml = _open()
    if nvml is None:
        return _nothing(options)
    states, _ = _states(settings)
    cards = nvml.cards()
    if options.json:
        import msgspec

        rows = [{"card": card, "state": states.get(card.uuid)} for card in cards]
        click.echo(msgspec.json.encode(rows))
        return 0
    from ..gpu.screen import allowed, profile_lines

    for card in cards:
        click.echo(click.style(f"{show.clean(card.short)}  {card.uuid}", bold=True))
        for line in (*allowed(card), *profile_lines(card, settings.gpu, states.get(card.uuid))):
            click.echo(f"  {line}")
    return 0


@gpu.command(
    short_help="Set a profile until the next apply or reset.",
    epilog="\b\nExample:\n  zoetrope gpu apply baseline --dry-run",
)
@click.argument("name", required=False)
@which
@click.option("--dry-run", is_flag=True, help="Show what would be set; set nothing.")
@config
@local
@pass_options
def apply(options: Options, name: str | None, card: str, dry_run: bool, config: str | None) -> int:
    """Set the profile NAME now; it stays until the next `zoetrope gpu apply` or `zoetrope gpu reset`.

    A disabled profile is enabled again, as unproven. Without NAME, the GPUs return to the settings: the working
    profile while jobs run.
    """
    from ..errors import ZoetropeError
    from ..gpu import wire
    from ..gpu.profile import choose

    settings = _settings(config)
    if name is not None and name not in settings.gpu.profiles:
        from ..mistakes import nearest

        known = settings.gpu.profiles
        hint = nearest(name, known) if known else "the settings have none: add [gpu.profiles.NAME]."
        raise ZoetropeError(f"There is no profile {name!r}; {hint}", key="gpu-profile")
    cards = _cards(card)
    if name is not None:
        # Of several GPUs, those that it is for; if it is for none of them, each says so.
        meant = tuple(each for each in cards if choose(each, [name], settings.gpu.profiles))
        cards = meant or cards
    if dry_run:
        return _dry_run(settings, cards, name)
    questions = [wire.Apply(card=each.uuid, profile=name) for each in cards]
    return _ask_each(options, settings, questions)


@gpu.command(
    short_help="Reset GPUs to stock until the next apply.",
    epilog="\b\nExample:\n  zoetrope gpu reset --gpu '*5090*'",
)
@which
@config
@local
@pass_options
def reset(options: Options, card: str, config: str | None) -> int:
    """Reset GPUs to stock now; they stay at stock until `zoetrope gpu apply`."""
    from ..gpu import wire

    questions = [wire.Reset(card=each.uuid) for each in _cards(card)]
    return _ask_each(options, _settings(config), questions)


@gpu.command(
    short_help="Enable profiles again whose record was not readable.",
    epilog="\b\nExample:\n  sudo zoetrope gpu enable",
)
@config
@local
@pass_options
def enable(options: Options, config: str | None) -> int:
    """Enable all profiles again, as untried, after the root helper could not read its record of disabled ones.

    Only root may. The record that was not readable stays where `zoetrope gpu status` says. For a profile that was
    disabled because something failed under it, run `zoetrope gpu apply NAME` instead.
    """
    from ..gpu import wire

    return _ask_each(options, _settings(config), [wire.Enable()])


@gpu.command(
    short_help="Show seconds and watt-hours per video, by profile.",
    epilog="\b\nExample:\n  zoetrope gpu report",
)
@click.option("--last", type=click.IntRange(1, 10_000), default=1000, show_default=True, metavar="NUMBER", help="How many of the newest finished videos count.")  # fmt: skip
@common
@pass_options
def report(options: Options, last: int) -> int:
    """Show time and energy per finished video, by recipe, GPU and profile; compare each profile with stock."""
    body = options.client().get("/api/v1/gpu/report", last=last)
    if options.json:
        click.echo(body)
        return 0
    from ..client import decode
    from ..gpu.report import ReportRow, lines

    rows = decode(body, tuple[ReportRow, ...])
    if not rows:
        click.echo("No finished video has been measured yet.")
        return 0
    for line in lines(rows):
        click.echo(show.clean(line))
    return 0


def _settings(config: str | None) -> Settings:
    from .. import settings

    return settings.load(settings.find_file(config))


def _open() -> Nvml | None:
    from ..gpu.device import open_nvml

    return open_nvml()


def _nothing(options: Options) -> int:
    click.echo("[]" if options.json else "No NVIDIA GPU found on this host.")
    return 0


def _cards(pattern: str) -> tuple[Card, ...]:
    from ..errors import ZoetropeError

    nvml = _open()
    cards = nvml.cards() if nvml is not None else ()
    found = tuple(card for card in cards if card.is_called(pattern))
    if not found:
        if not cards:
            raise ZoetropeError(
                "No NVIDIA GPU found on this host.",
                "Check that `nvidia-smi` lists it.",
                key="gpu-not-found",
            )
        there = ", ".join(f"{card.short} ({card.uuid})" for card in cards)
        raise ZoetropeError(
            f"No GPU matches {pattern!r}.", f"There are: {there}.", key="gpu-not-found"
        )
    return found


def _states(settings: Settings) -> tuple[dict[str, CardState], Reason | None]:
    """Ask the helper for the state of the GPUs; it may not be installed."""
    from ..gpu import wire
    from ..gpu.client import HelperDown, ask_once

    if not settings.gpu.profiles:
        return {}, None
    try:
        answer = ask_once(settings.gpu.helper_socket, wire.StatusRequest())
    except HelperDown as error:
        return {}, error.reason
    return {state.uuid: state for state in answer.cards}, answer.reason


def _dry_run(settings: Settings, cards: Sequence[Card], name: str | None) -> int:
    from ..gpu.profile import ProfileError, declared, plan

    code = 0
    for card in cards:
        wanted = [name] if name is not None else [n for n in declared(card, settings.gpu) if n]
        if not wanted:
            click.echo(f"{card.short} ({card.uuid}): stock; the settings have no profile for it.")
        for each in wanted:
            try:
                worked_out = plan(card, each, settings.gpu.profiles[each])
            except ProfileError as error:
                click.echo(str(error), err=True)
                code = 1
            else:
                click.echo(f"{card.short} ({card.uuid}), profile {each}:")
                for step in worked_out.steps:
                    click.echo(f"  {step}")
    return code


def _ask_each(
    options: Options, settings: Settings, questions: Sequence[Apply | Reset | Enable]
) -> int:
    """Send the requests one after the other; all are tried, and any rejected one is a failure."""
    import msgspec

    from ..gpu import wire
    from ..gpu.client import ask_once

    code = 0
    changed = []
    for question in questions:
        answer = ask_once(settings.gpu.helper_socket, question)
        if answer.reason is not None:
            click.echo(str(answer.reason), err=True)
            code = 1
            continue
        meant = None if isinstance(question, wire.Enable) else question.card
        changed += [state for state in answer.cards if meant in (None, state.uuid)]
    if options.json:
        click.echo(msgspec.json.encode(changed))
        return code
    for state in changed:
        click.echo(f"{state.name} ({state.uuid}): {_now(state)}")
    return code


def _now(state: CardState) -> str:
    if state.in_force:
        return f"profile {state.in_force}"
    return f"stock now; profile {state.chosen} while jobs run" if state.chosen else "stock"
