"""The measures, one file each: whoever lies in this folder takes part."""

from __future__ import annotations

import importlib
import pkgutil

from ..measure import Measure


def all_measures() -> tuple[type[Measure], ...]:
    """Find every measure of this folder, in the order in which they are judged."""
    found: set[type[Measure]] = set()
    for module in pkgutil.iter_modules(__path__):
        names = vars(importlib.import_module(f"{__name__}.{module.name}")).values()
        found |= {n for n in names if isinstance(n, type) and issubclass(n, Measure)} - {Measure}
    return tuple(sorted(found, key=lambda each: (each.rank, each.__name__)))
