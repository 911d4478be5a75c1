"""Beats: what happens one after the other becomes one prompt that says when each begins and ends."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from ..errors import Rejected

SHORTEST = 0.5  # seconds; the model has no more than two latent frames for less


def timed(beats: Sequence[str], seconds: float) -> str:
    """Divide the clip's time evenly among the beats, and write them as the documents do."""
    texts = [beat.strip() for beat in beats]
    if not texts or not all(texts):
        raise Rejected(
            "The ticket's prompt is a list with an empty beat in it."
            if texts
            else "The ticket's prompt is a list without a beat.",
            "Say in each beat what happens, or leave the prompt out.",
            key="ticket-value",
        )
    if seconds <= 0:
        raise Rejected(
            "The ticket's prompt is a list of beats, and this recipe's clips have no length of their own.",
            "Write the prompt as one text.",
            key="ticket-value",
        )
    room = max(1, int(seconds / SHORTEST))
    if len(texts) > room:
        raise Rejected(
            f"The ticket's prompt has {len(texts)} beats for {seconds:g} s; there is room for {room}.",
            "Join some of them, or ask for a longer clip.",
            key="ticket-value",
        )
    times = [round(seconds * index / len(texts), 2) for index in range(len(texts) + 1)]
    return " ".join(
        f"Beat {number} ({begin:g}-{end:g}s): {_sentence(beat)}"
        for number, (beat, (begin, end)) in enumerate(
            zip(texts, itertools.pairwise(times), strict=True), 1
        )
    )


def _sentence(beat: str) -> str:
    return beat if beat[-1] in ".!?…" else f"{beat}."
