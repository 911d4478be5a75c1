"""Numbers as a browser has them: doubles, written the shortest way that reads back as the same one."""

from __future__ import annotations

import math
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final

_EXACT: Final = 2**53
_WRITTEN_OUT: Final = 1e21


def plain(value: Any) -> Any:
    """Spell a JSON value as it comes out of a browser; the same object where nothing changes."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if -_EXACT <= value <= _EXACT else _whole(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        return (
            int(Decimal(repr(value))) if value.is_integer() and abs(value) < _WRITTEN_OUT else value
        )
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    return value


def _whole(value: int) -> int | float | None:
    try:
        double = float(value)
    except OverflowError:
        return None
    return int(Decimal(repr(double))) if abs(double) < _WRITTEN_OUT else double


def half_up(value: float) -> float:
    """Round to a whole number, halves upward, as `Math.round` does."""
    return math.floor(value + 0.5) if math.isfinite(value) else value


def fixed(value: float, places: int) -> float:
    """Round the double's exact value to so many decimals, as `toFixed` does."""
    if not math.isfinite(value) or abs(value) >= _WRITTEN_OUT:
        return value
    return float(Decimal(value).quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_UP))


def text(value: object) -> str:
    """Write a value as a browser writes it into a text."""
    value = plain(value)
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ",".join(text(inner) for inner in value)
    if isinstance(value, dict):
        return "[object Object]"
    if isinstance(value, float) and 1e-6 > abs(value) > 0:
        mantissa, _, power = f"{value!r}".partition("e-")
        return f"{mantissa}e-{int(power)}"
    return (
        f"{Decimal(repr(value)):f}" if isinstance(value, float) and abs(value) < 1 else str(value)
    )
