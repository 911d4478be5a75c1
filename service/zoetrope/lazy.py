"""A value that an object works out at its first use and keeps, without a lock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

Owner = TypeVar("Owner")
Value = TypeVar("Value")


class lazy(Generic[Owner, Value]):  # noqa: N801  used like property
    """A property that is worked out once for each object; of two threads that ask at once, both work it out.

    Before Python 3.12, functools.cached_property has one lock for all objects of a class, so that an object in
    one thread waits for another object in another (https://github.com/python/cpython/issues/87634).
    """

    def __init__(self, work: Callable[[Owner], Value]) -> None:
        self._work = work
        self.__doc__ = work.__doc__

    def __set_name__(self, owner: type[Any], name: str) -> None:
        self._name = name

    @overload
    def __get__(self, found: None, owner: type[Any]) -> lazy[Owner, Value]: ...

    @overload
    def __get__(self, found: Owner, owner: type[Any]) -> Value: ...

    def __get__(self, found: Owner | None, owner: type[Any]) -> lazy[Owner, Value] | Value:
        if found is None:
            return self
        # From now on the object's own attribute comes first.
        value = found.__dict__[self._name] = self._work(found)
        return value
