"""The environment of a Python that this one starts: the same packages, wherever they come from."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection
from pathlib import Path


def environment(*, without: Collection[str] = (), **changed: str) -> dict[str, str]:
    """Copy this process's environment for a child, which then finds every package that this one finds.

    A wrapper of nixpkgs puts packages on `sys.path` inside of the process alone (site.addsitedir).
    """
    kept = {name: value for name, value in os.environ.items() if name not in without}
    # Absolute, because a child may start in another folder; an empty entry would name that one.
    paths = dict.fromkeys(str(Path(path).absolute()) for path in sys.path if path)
    return kept | {"PYTHONPATH": os.pathsep.join(paths)} | changed
