"""The threads on which the service waits for disks, all of them there from the start."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor

# As many as asyncio itself takes.
MOST = min(32, (os.cpu_count() or 1) + 4)


def running_threads(count: int = MOST) -> ThreadPoolExecutor:
    """Give a pool whose threads all run already.

    One that starts threads as work comes reports a failure while the host has none left, although the
    work is queued by then and another thread does it later.
    """
    pool = ThreadPoolExecutor(count, thread_name_prefix="disk")
    together = threading.Barrier(count + 1)
    try:
        for _ in range(count):
            pool.submit(together.wait)
    except RuntimeError:
        together.abort()
        pool.shutdown(wait=False)
        raise
    together.wait()
    return pool
