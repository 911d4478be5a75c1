"""What is known of a host is read from its flags and its card."""

import pytest

from zoetrope.graphs import catalog
from zoetrope.lint.facts import HostFacts, pinned_context, reported


@pytest.mark.parametrize(
    ("architecture", "blackwell"),
    [("sm_120", True), ("sm_100a", True), ("sm_89", False), ("sm_90a", False), ("", None)],
)
def test_blackwell_cards_are_known_by_their_architecture(architecture, blackwell):
    assert HostFacts(architecture=architecture).blackwell is blackwell


@pytest.mark.parametrize(
    ("architecture", "compute"), [("sm_86", 86), ("sm_90a", 90), ("gfx1100", None), ("", None)]
)
def test_the_compute_capability_is_known_by_the_architecture(architecture, compute):
    assert HostFacts(architecture=architecture).compute == compute


@pytest.mark.parametrize(
    ("flags", "half"),
    [
        ((), False),
        (("--fast",), True),
        (("--fast", "--lowvram"), True),
        (("--fast", "fp16_accumulation", "autotune"), True),
        (("--fast autotune",), False),
        (("--fast=fp16_accumulation",), True),
        (("--fast", "autotune", "--x", "fp16_accumulation"), False),
    ],
)
def test_half_precision_sums_are_known_by_the_flags(flags, half):
    assert HostFacts(flags=flags).half_sums is half


def test_sage_everywhere_is_known_by_the_flag():
    assert HostFacts(flags=("--use-sage-attention",)).everywhere_sage
    assert not HostFacts(flags=("--use-flash-attention",)).everywhere_sage


def test_a_context_is_of_the_version_that_recipes_are_written_for():
    context = pinned_context(host=HostFacts(memory_gb=16))
    assert context.catalog.comfyui == catalog.PINNED
    assert context.host.memory_gb == 16


def test_what_was_found_on_a_host_is_said_in_the_rules_words():
    host = reported(
        memory_gb=31.8, capability="12.0", kernels=["sdpa", "sageattn"], flags=["--cpu"]
    )
    assert host.memory_gb == 32
    assert host.architecture == "sm_120"
    assert host.blackwell
    assert host.kernels == {"sdpa", "sageattention"}
    assert host.flags == ("--cpu",)
    unknown = reported(memory_gb=0, capability="", kernels=None, flags=())
    assert unknown == HostFacts()
