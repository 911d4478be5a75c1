"""The checks that every running service has: one for each file in `checks/`."""

from __future__ import annotations

import importlib
import pkgutil

from ..runtime import Runtime
from . import checks
from .base import Check, Health

# What is told first; any other check comes after these, by its name.
ORDER = (
    "engine",
    "kernel",
    "models",
    "memory",
    "card",
    "heat",
    "profile",
    "baseline",
    "inbox",
    "outbox",
    "ledger",
    "lost",
    "disk",
    "queue",
    "pace",
    "work",
    "clock",
    "recipes",
)


def standard(runtime: Runtime) -> Health:
    """Make the checks of a service; parts that come later are seen when they are there."""
    names = [module.name for module in pkgutil.iter_modules(checks.__path__)]
    found: list[Check] = []
    for name in sorted(names, key=lambda n: (ORDER.index(n) if n in ORDER else len(ORDER), n)):
        module = importlib.import_module(f"{checks.__name__}.{name}")
        if (check := module.make(runtime)) is not None:
            found.append(check)
    return Health(found)
