"""The sums of the host's memory: the measured run, the hosts that people have, and what has to hold for all of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoetrope.jobs.memory_budget import (
    GIB,
    KEEP,
    NONE,
    OWN,
    PROFILES,
    UNPINNED,
    HostMemory,
    StageMemory,
    choose,
    need,
    pinned_limit,
)

MIB = 1 << 20
# As its log of 2026-11-28 names them: two experts, the text encoder, the VAE.
MEASURED = StageMemory(
    recipe="lightning",
    stage="i2v",
    files={"high": 13630 * MIB, "low": 13630 * MIB, "encoder": 6419 * MIB, "vae": 241 * MIB},
    frames=81 * 480 * 832 * 24,
)


def host(gigabytes, *, swap=0, limit=None):
    """A host that is sold with so much memory; 2 % of it are the firmware's and the kernel's."""
    return HostMemory(total=int(gigabytes * GIB * 0.98), disk_swap=swap, limit=limit)


def test_the_measured_run_took_what_the_sums_say():
    here = HostMemory(total=128888 * MIB)
    # "Enabled pinned memory 112503"
    assert pinned_limit("0.33.0", here) // MIB == 112503 + 1
    taken = need(OWN, MEASURED, [MEASURED], pinned_limit("0.33.0", here)) / GIB
    # 36.4 GiB were taken with all of the GPU's memory, 35.1 with 16 GiB.
    assert 35.1 <= taken <= 1.05 * 36.4
    assert choose(here, [MEASURED], "0.33.0").profile == KEEP


UPSCALE = StageMemory(
    recipe="hero", stage="upscale", files={"seedvr2": int(3.6 * GIB)}, frames=6 * GIB
)


@pytest.mark.parametrize(
    ("memory", "version", "profile"),
    [
        (16, "0.30.2", UNPINNED),
        (16, "0.33.0", UNPINNED),
        # To 0.30 nine tenths of the memory are pinned, which the second expert fills (ComfyUI #15255).
        (32, "0.30.2", NONE),
        (32, "0.33.0", OWN),
        (32, "0.35.1", OWN),
        (32, "", NONE),
        (32, "nightly", NONE),
        *((size, "0.30.2", KEEP) for size in (64, 96, 128)),
        *((size, "0.33.0", KEEP) for size in (64, 96, 128)),
    ],
)
def test_the_hosts_memory_decides_what_is_kept(memory, version, profile):
    budget = choose(host(memory), [MEASURED, UPSCALE], version)
    assert (budget.profile, budget.fits) == (profile, True)


def test_the_flags_of_each_profile_keep_the_second_threshold_small():
    """Its default is all of the memory: then nothing of a recipe stays once another has run."""
    flags = {size: choose(host(size), [MEASURED, UPSCALE], "0.33.0").flags for size in (16, 32, 64)}
    assert flags == {
        16: (("--cache-none",), ("--disable-pinned-memory",)),
        32: (("--cache-ram",),),
        64: (("--cache-ram", "6", "6"),),
    }


def test_the_limit_of_the_unit_counts_and_0_35_takes_it_for_the_hosts_memory():
    limited = host(128, limit=24 * GIB)
    assert choose(limited, [MEASURED, UPSCALE], "0.33.0").profile == NONE
    assert pinned_limit("0.33.0", limited) == pinned_limit("0.33.0", host(128))
    assert pinned_limit("0.35.0", limited) == max(24 * GIB * 4 // 10, 8 * GIB)
    assert choose(limited, [MEASURED, UPSCALE], "0.35.0").profile == OWN


def test_a_stage_that_cannot_fit_is_named_with_its_numbers():
    large = StageMemory(recipe="mine", stage="upscale", files={"a": GIB}, frames=30 * GIB)
    budget = choose(host(32), [MEASURED, large], "0.33.0")
    assert (budget.fits, budget.stage) == (False, large)
    assert "mine, stage upscale: 1.0 GiB of model files and 30.0 GiB of frames" in str(budget)
    # What is not pinned can be swapped out, though not most of it.
    assert choose(host(32, swap=32 * GIB), [MEASURED, large], "0.33.0").fits
    larger = StageMemory(recipe="mine", stage="upscale", files={"a": GIB}, frames=40 * GIB)
    assert not choose(host(32, swap=64 * GIB), [MEASURED, larger], "0.33.0").fits


SIZES = st.integers(0, 80 * GIB)
HOSTS = st.builds(
    HostMemory, total=st.integers(GIB, 600 * GIB), disk_swap=SIZES, limit=st.none() | SIZES
)
STAGES = st.lists(
    st.builds(
        StageMemory,
        recipe=st.just("r"),
        stage=st.just("s"),
        files=st.dictionaries(st.sampled_from("abcdef"), SIZES),
        frames=SIZES,
    ),
    min_size=1,
    max_size=4,
)
VERSIONS = st.sampled_from(["0.27.1", "0.30.2", "0.31.0", "0.33.3", "0.35.0", "1.0.0", "", "x"])


@given(HOSTS, STAGES, VERSIONS)
def test_what_fits_fits_and_what_keeps_more_did_not(memory, stages, version):
    budget = choose(memory, stages, version)
    assert budget.fits == (budget.need <= budget.room)
    assert budget.fits or budget.profile == PROFILES[-1]
    pinned = pinned_limit(version, memory)
    for better in PROFILES[: PROFILES.index(budget.profile)]:
        assert max(need(better, stage, stages, pinned) for stage in stages) > memory.room


@given(HOSTS, STAGES, VERSIONS)
def test_what_keeps_more_needs_more(memory, stages, version):
    pinned = pinned_limit(version, memory)
    assert 0 <= pinned <= memory.total * 9 // 10
    # Files of one name have one size.
    sizes = {path: size for stage in stages for path, size in stage.files.items()}
    for stage in stages:
        own = StageMemory(
            recipe="r",
            stage="s",
            files={path: sizes[path] for path in stage.files},
            frames=stage.frames,
        )
        needs = [need(profile, own, [*stages, own], pinned) for profile in PROFILES]
        assert needs == sorted(needs, reverse=True)


@given(HOSTS, STAGES, VERSIONS, SIZES)
def test_less_weight_never_keeps_less(memory, stages, version, less):
    lighter = [
        StageMemory(
            recipe="r",
            stage="s",
            files={path: max(0, size - less) for path, size in each.files.items()},
            frames=each.frames,
        )
        for each in stages
    ]
    before, after = (choose(memory, each, version) for each in (stages, lighter))
    assert PROFILES.index(after.profile) <= PROFILES.index(before.profile)
