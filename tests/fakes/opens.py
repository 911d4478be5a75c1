"""Watches which files are opened, and whether the event loop had to wait for them."""

import os
import sys
import threading
from collections import Counter

LOOK_AT: list["Opens"] = []


class Opens:
    """The files that are opened while it watches, by thread; what Python imports does not count."""

    def __init__(self) -> None:
        self.loop = threading.get_ident()
        self.all: Counter[str] = Counter()
        self.on_loop: list[str] = []

    def hear(self, path: object) -> None:
        if not isinstance(path, str | bytes | os.PathLike):
            return
        name = os.fsdecode(path)
        if name.endswith((".py", ".pyc", ".so")) or name.startswith(("/proc", "/sys", "/dev")):
            return
        self.all[name] += 1
        if threading.get_ident() == self.loop:
            self.on_loop.append(name)

    def __enter__(self) -> "Opens":
        LOOK_AT.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        LOOK_AT.remove(self)


def _hear(event: str, args: tuple[object, ...]) -> None:
    if LOOK_AT and event == "open":
        LOOK_AT[-1].hear(args[0])


sys.addaudithook(_hear)
