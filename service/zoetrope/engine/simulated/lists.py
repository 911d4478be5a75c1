"""Outputs of several values: what is below them runs once for each, until a node joins them again."""

from collections.abc import Callable, Mapping
from typing import Any

from .values import Listed, Result

#: Nodes that get all values at once; every input of theirs is a list.
JOINING = frozenset({"SeedVR2TemporalMerge"})


def call(class_type: str, function: Callable[..., Result], given: Mapping[str, Any]) -> Result:
    """Call a node's function as often as its inputs have values; a shorter list goes on with its last one."""
    if class_type in JOINING:
        return function(**{name: _all(value) for name, value in given.items()})
    times = max((len(_all(value)) for value in given.values()), default=1)
    made = [
        function(**{name: _all(value)[: i + 1][-1] for name, value in given.items()})
        for i in range(times)
    ]
    if len(made) == 1:
        return made[0]
    slots = zip(*(result.values for result in made), strict=True)
    return Result(tuple(Listed(values) for values in slots), made[-1].ui)


def _all(value: object) -> tuple[Any, ...]:
    return value.values if isinstance(value, Listed) else (value,)
