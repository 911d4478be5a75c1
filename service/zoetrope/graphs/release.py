"""Versions of ComfyUI: which of two is the older one."""

from __future__ import annotations

import re


def numbers(version: str) -> tuple[int, ...]:
    """Read the numbers that a version begins with, with or without a `v`; none where it is no version."""
    found = re.match(r"v?(\d{1,6}(?:\.\d{1,6})*)", version)
    return tuple(int(part) for part in found[1].split(".")) if found else ()


def is_older(found: str, needed: str) -> bool:
    """Tell whether a version is certainly older than the one that is needed."""
    return bool(numbers(found)) and numbers(found) < numbers(needed)
