"""`zoetrope gpu`: the cards at one glance, and the clocks at which they work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from . import show
from .options import Options, common, pass_options

if TYPE_CHECKING:
    from ..errors import Reason
    from ..gpu.card import Card
    from ..gpu.device import Nvml
    from ..gpu.wire import Apply, CardState, Reset
    from ..settings import Settings

config = click.option("--config", metavar="FILE", help="The settings; or ZOETROPE_CONFIG, or /etc/zoetrope/zoetrope.toml.")  # fmt: skip
which = click.option("--card", metavar="CARD", default="*", help="A UUID, a name or a pattern such as '*5090*'; by default every card.")  # fmt: skip


@click.group(epilog="\b\nExample:\n  zoetrope gpu status\n  zoetrope gpu apply baseline --dry-run")
@common
def gpu() -> None:
    """See the cards of this host, and set the clocks at which they work.

    Clocks are set by the root helper alone, by the names of profiles in the settings. A profile is on probation
    until real work ran under it without trouble; trouble brings the card back to stock, for good, until you say
    otherwise with `apply`.
    """


@gpu.command(
    short_help="Show every card at one glance.", epilog="\b\nExample:\n  zoetrope gpu status"
)
@config
@common
@pass_options
def status(options: Options, config: str | None) -> int:
    """Show every card: clocks against its profile, power, heat, what slows it, memory, and who uses it."""
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
    short_help="Show the profiles, and what each card allows.",
    epilog="\b\nExample:\n  zoetrope gpu profiles",
)
@config
@common
@pass_options
def profiles(options: Options, config: str | None) -> int:
    """Show what each card allows, and how every profile would be on it."""
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
    short_help="Set a profile now, and until told otherwise.",
    epilog="\b\nExample:\n  zoetrope gpu apply baseline --dry-run",
)
@click.argument("name", required=False)
@which
@click.option("--dry-run", is_flag=True, help="Say what would be set, and set nothing.")
@config
@common
@pass_options
def apply(options: Options, name: str | None, card: str, dry_run: bool, config: str | None) -> int:
    """Set a profile now and until told otherwise; what barred it is forgiven, and its probation begins anew.

    Without NAME, cards go back to what the settings say: their working profile while they work.
    """
    from ..errors import ZoetropeError
    from ..gpu import wire
    from ..gpu.profile import choose

    settings = _settings(config)
    if name is not None and name not in settings.gpu.profiles:
        from ..mistakes import nearest

        known = settings.gpu.profiles
        told = nearest(name, known) if known else "the settings have none: [gpu.profiles.NAME]."
        raise ZoetropeError(f"There is no profile {name!r}; {told}", key="gpu-profile")
    cards = _cards(card)
    if name is not None:
        # Of several cards, those that it is for; if it is for none of them, each says so.
        meant = tuple(each for each in cards if choose(each, [name], settings.gpu.profiles))
        cards = meant or cards
    if dry_run:
        return _dry_run(settings, cards, name)
    questions = [wire.Apply(card=each.uuid, profile=name) for each in cards]
    return _ask_each(options, settings, questions)


@gpu.command(
    short_help="Put cards back to stock, until told otherwise.",
    epilog="\b\nExample:\n  zoetrope gpu reset --card '*5090*'",
)
@which
@config
@common
@pass_options
def reset(options: Options, card: str, config: str | None) -> int:
    """Put cards back to stock now; they stay there until `zoetrope gpu apply`."""
    from ..gpu import wire

    questions = [wire.Reset(card=each.uuid) for each in _cards(card)]
    return _ask_each(options, _settings(config), questions)


@gpu.command(
    short_help="Show seconds and watt-hours per video, by profile.",
    epilog="\b\nExample:\n  zoetrope gpu report",
)
@click.option("--last", type=click.IntRange(1, 10_000), default=1000, show_default=True, help="So many of the last finished videos.")  # fmt: skip
@common
@pass_options
def report(options: Options, last: int) -> int:
    """Show what finished videos took, so that it is seen whether a profile pays; asks the service."""
    body = options.client().get("/api/v1/gpu/report", last=last)
    if options.json:
        click.echo(body)
        return 0
    from ..client import decode
    from ..gpu.report import ReportRow, lines

    rows = decode(body, tuple[ReportRow, ...])
    if not rows:
        click.echo("No finished video was measured yet.")
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
    click.echo("[]" if options.json else "No NVIDIA card is seen on this host.")
    return 0


def _cards(pattern: str) -> tuple[Card, ...]:
    from ..errors import ZoetropeError

    nvml = _open()
    cards = nvml.cards() if nvml is not None else ()
    found = tuple(card for card in cards if card.is_called(pattern))
    if not found:
        there = ", ".join(f"{card.short} ({card.uuid})" for card in cards) or "none"
        raise ZoetropeError(
            f"No card is called {pattern!r}.", f"There are: {there}.", key="gpu-not-found"
        )
    return found


def _states(settings: Settings) -> tuple[dict[str, CardState], Reason | None]:
    """Ask the helper, which need not be there, how the cards stand."""
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
            click.echo(f"{card.short} ({card.uuid}): stock; the settings name no profile for it.")
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


def _ask_each(options: Options, settings: Settings, questions: Sequence[Apply | Reset]) -> int:
    """Ask the helper one thing after the other; all are tried, and any refusal is a failure."""
    import msgspec

    from ..gpu.client import ask_once

    code = 0
    changed = []
    for question in questions:
        answer = ask_once(settings.gpu.helper_socket, question)
        if answer.reason is not None:
            click.echo(str(answer.reason), err=True)
            code = 1
            continue
        changed += [state for state in answer.cards if state.uuid == question.card]
    if options.json:
        click.echo(msgspec.json.encode(changed))
        return code
    for state in changed:
        click.echo(f"{state.name} ({state.uuid}): {_now(state)}")
    return code


def _now(state: CardState) -> str:
    if state.in_force:
        return f"profile {state.in_force}"
    return f"stock; {state.chosen} while it works" if state.chosen else "stock"
