"""Which function plays which node class."""

from collections.abc import Callable
from typing import Final

from ..values import Result

#: A node's function takes the context and the node's inputs by name.
Function = Callable[..., Result]

REGISTRY: Final[dict[str, Function]] = {}


def plays(*class_types: str) -> Callable[[Function], Function]:
    """Enter a function as the player of some node classes."""

    def enter(function: Function) -> Function:
        for class_type in class_types:
            REGISTRY[class_type] = function
        return function

    return enter
