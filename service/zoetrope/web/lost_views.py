"""Lost work as the API shows it and the command line reads it."""

from __future__ import annotations

import msgspec

from ..jobs.lost_work import LostNote


class LostPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some of the lost work, in the order of the ids; `next` is the cursor of the page after, if there is one."""

    lost: tuple[LostNote, ...]
    total: int
    folder: str  # on the host
    next: str | None = None
