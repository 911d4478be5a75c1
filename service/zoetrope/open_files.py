"""How many files and connections the process may have open at once."""

from __future__ import annotations

import contextlib
import resource

# What a busy host needs many times over. A limit of millions would slow each process that is started:
# some close all descriptors up to it first.
ENOUGH = 65_536


def wanted(soft: int, hard: int) -> int:
    """Say how many there should be: as many as may be, within reason, and never fewer than there were."""
    if soft == resource.RLIM_INFINITY:
        return soft
    return max(soft, ENOUGH if hard == resource.RLIM_INFINITY else min(hard, ENOUGH))


def raise_limit() -> int:
    """Raise the limit as far as it should be, and give what it is now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if (more := wanted(soft, hard)) != soft:
        # Where that is forbidden, everything works with fewer.
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (more, hard))
    return limit()


def limit() -> int:
    """Give the number that is in force."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return ENOUGH if soft == resource.RLIM_INFINITY else soft
