"""How often a sampler asks the model in one step, read from the sampler's name."""

from __future__ import annotations

import re

# `res_2s`, `exponential/res_3s_alt`, `dpmpp_2s_ancestral`, `hybrid/pec423_2h2s`
_STAGES = re.compile(r"(?:_|\dh)(\d{1,2})s(?:_|$)")


def evaluations_a_step(sampler: str) -> int | None:
    """Count a step's evaluations for samplers whose name tells, one for all others; None without a name."""
    if not sampler:
        return None
    return max(1, int(found[1])) if (found := _STAGES.search(sampler)) else 1
