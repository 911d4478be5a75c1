"""The memory of GPUs: what one reports, what it is sold with, and the classes that recipes, flags and rules speak of."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

#: The classes that the shipped recipes, the linter's budgets and ComfyUI's launch flags know, in
#: gigabytes; a GPU belongs to the largest that it has.
CLASSES: Final = (16, 24, 32, 80)

# A GPU reports a little less than it is sold with: 15.6 of 16 GB, 31.8 of 32, 79.2 of 80.
_REPORTED = 0.95
_SOLD = (8, 10, 11, 12, 16, 20, 24, 32, 40, 48, 80, 96, 141)


def gigabytes(total: int) -> float:
    """Give a GPU's memory, which is reported in bytes, in the unit of recipes and rules."""
    return round(total / 2**30, 1)


def sold_with(size: float, reported: float) -> bool:
    """Tell whether a GPU that reports so many gigabytes is sold with so many, or with more."""
    return reported >= size * _REPORTED


def sold(reported: float) -> float:
    """Give the gigabytes that a GPU is sold with: rules and tables speak of those."""
    return max([reported, *(size for size in _SOLD if sold_with(size, reported))])


def class_of(reported: float, classes: Iterable[int] = CLASSES) -> int:
    """Give the largest class that a GPU has; one that reports little or nothing is of the smallest.

    Without any class it is 0.
    """
    sizes = sorted(classes)
    return max([size for size in sizes if sold_with(size, reported)] or sizes[:1], default=0)
