"""What a reload of the settings changes at once, and what needs a restart."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from .settings import Section, Settings

# What the running process keeps open: the address and who may use it, the ledger, and the folder of
# half-built results.
FIXED = ("web.listen", "web.token_file", "web.allowed_hosts", "state.path", "outbox.path")


class Reload(msgspec.Struct, frozen=True, kw_only=True):
    """The settings from now on, the keys that they change, and the keys that need a restart."""

    settings: Settings
    changed: tuple[str, ...] = ()
    after_restart: tuple[str, ...] = ()

    def __str__(self) -> str:
        words = [f"changed: {', '.join(self.changed)}" if self.changed else "nothing changes now"]
        if self.after_restart:
            words.append(f"needs a restart: {', '.join(self.after_restart)}")
        return f"settings reloaded; {'; '.join(words)}"


def reload(old: Settings, new: Settings) -> Reload:
    """Compare two settings key by key, and keep what a running service cannot change."""
    different = tuple(_differences(old, new, ""))
    late = tuple(key for key in different if key in FIXED)
    for key in late:
        table, _, name = key.partition(".")
        section = getattr(new, table)
        kept = msgspec.structs.replace(section, **{name: getattr(getattr(old, table), name)})
        new = msgspec.structs.replace(new, **{table: kept})
    changed = tuple(key for key in different if key not in FIXED)
    return Reload(settings=new, changed=changed, after_restart=late)


def _differences(old: Section, new: Section, where: str) -> Iterator[str]:
    for field in msgspec.structs.fields(old):
        before, after = getattr(old, field.name), getattr(new, field.name)
        if isinstance(before, Section) and isinstance(after, Section):
            yield from _differences(before, after, f"{where}{field.name}.")
        elif before != after:
            yield f"{where}{field.name}"
