"""How large anything may be that comes over the helper's socket or out of its book; what is larger is no request of ours."""

from __future__ import annotations

from typing import Annotated

import msgspec

# Every number is bounded, so that no sum of them leaves what a float or the file can hold.
LONGEST_STAGE = 7 * 24 * 3600.0
MOST_SECONDS = 1e10
MOST_STAGES = 1_000_000_000
MOST_CRASHES = 1_000_000
LATEST = 1e11  # unix time; the kernel's clock ends before it
MOST_MHZ = 100_000

LONGEST_SENTENCE = 500
MOST_CARDS = 64
MOST_RECORDS = 64  # on one GPU

# `\Z`, because `$` would take a line break at the end.
ProfileName = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")]
ProfileOrStock = Annotated[str, msgspec.Meta(pattern=r"\A([A-Za-z0-9][A-Za-z0-9._-]{0,63})?\Z")]
CardName = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
Fingerprint = Annotated[str, msgspec.Meta(max_length=64)]
Sentence = Annotated[str, msgspec.Meta(max_length=LONGEST_SENTENCE)]
StageSeconds = Annotated[float, msgspec.Meta(ge=0, le=LONGEST_STAGE)]
WorkSeconds = Annotated[float, msgspec.Meta(ge=0, le=MOST_SECONDS)]
Stages = Annotated[int, msgspec.Meta(ge=0, le=MOST_STAGES)]
Crashes = Annotated[int, msgspec.Meta(ge=0, le=MOST_CRASHES)]
Moment = Annotated[float, msgspec.Meta(ge=0, le=LATEST)]
Megahertz = Annotated[int, msgspec.Meta(ge=0, le=MOST_MHZ)]
