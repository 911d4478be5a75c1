"""How often each sampler asks the model in one step: the one table that linter and simulated engine go by."""

from __future__ import annotations

import re

# ComfyUI's own samplers that look at the middle or the end of a step before they take it. All others
# of its list ask once: what they know of earlier steps costs nothing.
SEVERAL = {
    "heun": 2,
    "heunpp2": 3,
    "dpm_2": 2,
    "dpm_2_ancestral": 2,
    "dpmpp_2s_ancestral": 2,
    "dpmpp_2s_ancestral_cfg_pp": 2,
    "dpmpp_sde": 2,
    "dpmpp_sde_gpu": 2,
    "exp_heun_2_x0": 2,
    "exp_heun_2_x0_sde": 2,
    "sa_solver_pece": 2,
    "seeds_2": 2,
    "seeds_3": 3,
}
# It chooses its own steps; the number that it is given only says where to begin.
ADAPTIVE = {"dpm_adaptive"}
# RES4LYF says it in the name: `res_2s`, `exponential/res_3s_alt`, `hybrid/pec423_2h2s`, `rk4_4s`.
_STAGES = re.compile(r"(?:_|\dh)(\d{1,2})s(?:_|$)")


def evaluations(sampler: str) -> int | None:
    """Count a step's evaluations of the model; None where nothing tells, as of no sampler at all."""
    name = sampler.rpartition("/")[2]
    if not name or name in ADAPTIVE:
        return None
    if name in SEVERAL:
        return SEVERAL[name]
    return max(1, int(found[1])) if (found := _STAGES.search(name)) else 1
