"""A GPU on a terminal: its state in a few lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..graphs.memory import gigabytes
from ..settings import GpuSettings
from . import probation
from .card import Card, Sample, User
from .profile import ProfileError, plan
from .wire import CardState


def lines(
    card: Card, reading: Sample, users: Sequence[User], state: CardState | None
) -> Iterator[str]:
    """Show a GPU as it is now, in a few lines."""
    yield f"{card.short}  {card.uuid}  (driver {card.driver})"
    yield f"  clocks   {_clocks(card, reading, state)}"
    yield f"  power    {_power(card, reading)}"
    heat = "not known" if reading.celsius is None else f"{reading.celsius} °C"
    slowed = [reason for reason in reading.reasons or () if reason != "idle"]
    yield f"  temp     {heat}{', thermal throttling' if reading.hot else ''}"
    if slowed:
        yield f"  limited  by {', '.join(slowed)}"
    yield f"  memory   {_memory(reading)}{_load(reading)}"
    for user in users:
        taken = "" if user.vram is None else f", {gigabytes(user.vram):.1f} GiB"
        yield f"  used by  {user.name or 'a process of another user'} (pid {user.pid}{taken})"
    if state is not None:
        yield f"  profile  {_profile(state)}"
        if state.problem is not None:
            yield f"           {state.problem}"


def brief(card: Card, reading: Sample | None, state: CardState | None) -> str:
    """Show how a GPU is, in one line next to others."""
    if reading is None:
        return f"GPU {card.short}: no values yet"
    told = [
        "" if reading.celsius is None else f"{reading.celsius} °C",
        "" if reading.core_mhz is None else f"{reading.core_mhz} MHz",
        "" if reading.power_watts is None else _power(card, reading),
        "" if reading.vram_used is None else _memory(reading),
        f"profile {state.in_force}" if state is not None and state.in_force else "",
    ]
    slowed = [reason for reason in reading.reasons or () if reason != "idle"]
    told.append(f"limited by {', '.join(slowed)}" if slowed else "")
    return f"GPU {card.short}: {', '.join(text for text in told if text) or 'no values'}"


def allowed(card: Card) -> Iterator[str]:
    """Show what can be set on a card."""
    yield f"core clock   {f'{card.core} MHz' if card.core else 'not known'}"
    yield f"core offset  {f'{card.offset} MHz' if card.offset else 'cannot be set (driver 555 or newer can)'}"
    limit = f"{card.power} W, {card.power_default} W by default" if card.power else "cannot be set"
    yield f"power limit  {limit}"


def profile_lines(card: Card, settings: GpuSettings, state: CardState | None) -> Iterator[str]:
    """Show what every profile would set on a GPU, and the state of each."""
    for name, profile in settings.profiles.items():
        roles = [role for role in ("working", "idle") if name in getattr(settings, role)]
        title = f"{name} ({', '.join(roles)})" if roles else name
        try:
            steps = ", ".join(str(step) for step in plan(card, name, profile).steps)
        except ProfileError as error:
            yield f"{title}: does not fit: {error.why}"
            continue
        yield f"{title}: {steps}"
        known = state.profile(name) if state is not None else None
        if known is not None:
            told = probation.told(name, known.record)
            yield f"  {told if told is not None else f'Profile {name} is proven.'}"


def _clocks(card: Card, reading: Sample, state: CardState | None) -> str:
    if reading.core_mhz is None:
        return "not known"
    text = f"core {reading.core_mhz} MHz"
    if state is not None and state.highest_mhz is not None:
        text += f" (at most {state.highest_mhz} by profile {state.in_force})"
    elif card.core is not None:
        text += f" (at most {card.core.high})"
    if reading.offset_mhz:
        text += f", offset {reading.offset_mhz:+d} MHz"
    if reading.memory_mhz is not None:
        text += f", memory {reading.memory_mhz} MHz"
    return text if reading.pstate is None else f"{text}, P{reading.pstate}"


def _power(card: Card, reading: Sample) -> str:
    if reading.power_watts is None:
        return "not known"
    text = f"{reading.power_watts:.0f} W"
    if reading.limit_watts is not None:
        text += f" of {reading.limit_watts:.0f} W"
        if card.power_default is not None and abs(reading.limit_watts - card.power_default) > 1:
            text += f" (stock {card.power_default} W)"
    return text


def _memory(reading: Sample) -> str:
    if reading.vram_used is None or reading.vram_total is None:
        return "not known"
    return f"{gigabytes(reading.vram_used):.1f} of {gigabytes(reading.vram_total):.1f} GiB"


def _load(reading: Sample) -> str:
    return "" if reading.utilisation is None else f", busy {reading.utilisation} %"


def _profile(state: CardState) -> str:
    if state.held == "":
        return "stock, set by the user; `zoetrope gpu apply` returns it to the settings"
    wanted = state.held if state.held is not None else state.working
    if not wanted:
        return "stock; the settings have no working profile for it"
    known = state.profile(wanted)
    trust = f", {known.record.trust.word}" if known is not None else ""
    if state.in_force:
        how = "set by the user" if state.role == "held" else state.role
        return f"{state.in_force} ({how}{trust if state.in_force == wanted else ''})"
    return f"stock now; {wanted} while it works{trust}"
