"""One table says how often a sampler asks the model in one step."""

import pytest

from zoetrope.engine.simulated import sampling
from zoetrope.graphs import catalog, samplers
from zoetrope.graphs.samplers import evaluations
from zoetrope.lint.rules import guidance
from zoetrope.lint.rules import sampling as rules


@pytest.mark.parametrize(
    ("sampler", "count"),
    [
        ("euler", 1),
        ("dpmpp_2m_sde_heun", 1),
        ("dpmpp_3m_sde", 1),
        ("res_multistep", 1),
        ("heun", 2),
        ("dpm_2_ancestral", 2),
        ("dpmpp_sde_gpu", 2),
        ("seeds_3", 3),
        ("res_2s", 2),
        ("res_2m", 1),
        ("exponential/res_2s", 2),
        ("multistep/res_3m", 1),
        ("res_3s_alt", 3),
        ("linear/rk4_4s", 4),
        ("hybrid/pec423_2h2s", 2),
        ("dpm_adaptive", None),
        ("", None),
    ],
)
def test_a_step_costs_as_many_evaluations_as_the_sampler_makes(sampler, count):
    assert evaluations(sampler) == count


def test_linter_and_simulated_engine_go_by_the_same_table():
    for module in (sampling, guidance, rules):
        assert module.evaluations is samplers.evaluations


def test_every_sampler_with_a_count_is_one_that_comfyui_has():
    known = catalog.load().nodes["KSamplerAdvanced"].inputs["sampler_name"].options
    assert set(samplers.SEVERAL) | samplers.ADAPTIVE <= set(known)
