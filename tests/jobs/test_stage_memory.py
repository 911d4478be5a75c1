"""Whether a stage fits an engine as it was started, on the hosts that people have."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoetrope.engine.report import SCHEMA, EngineReport
from zoetrope.jobs.memory_budget import GIB, OTHERS, RESERVE, HostMemory, StageMemory
from zoetrope.jobs.stage_memory import fit

# As the shipped hero recipe has them (docs/nixos.md).
HERO = StageMemory(
    recipe="hero",
    stage="i2v",
    files={
        "high": int(13.3 * GIB),
        "low": int(13.3 * GIB),
        "encoder": int(6.3 * GIB),
        "vae": GIB // 4,
    },
    frames=81 * 832 * 480 * 24,
)
FLAGS = {
    "none": (),
    "cache-ram": ("--cache-ram", "6", "6"),
    "uncached": ("--cache-none",),
    "unpinned": ("--disable-pinned-memory",),
    "least": ("--cache-none", "--disable-pinned-memory"),
    "unmapped": ("--disable-pinned-memory", "--disable-mmap"),
}
VERSIONS = ("0.27.1", "0.30.2", "0.33.3", "0.35.1", "")


def report(*flags, version="0.33.3", mode="gpu"):
    return EngineReport(schema=SCHEMA, comfyui=version, flags=flags, mode=mode)


def host(gigabytes, *, taken=0.0, held=0.0, swap=0, limit=None):
    """A host that is sold with so much memory, of which others and the engine itself hold some."""
    total = int(gigabytes * GIB * 0.98)
    return HostMemory(
        total=total,
        disk_swap=swap,
        swap_free=swap,
        limit=limit,
        available=total - int((1.5 + taken + held) * GIB),
        held=int(held * GIB),
    )


# Which flags fit the hero's first stage on a host on which nothing else runs.
FITTING = {
    # To 0.30 nine tenths of the memory are pinned, from 0.31 four tenths of so small a one.
    16: {
        "0.30.2": ("unpinned", "least"),
        "0.33.3": ("none", "cache-ram", "uncached", "unpinned", "least"),
    },
    32: {
        "0.30.2": ("uncached", "unpinned", "least"),
        "0.33.3": ("none", "cache-ram", "uncached", "unpinned", "least"),
    },
    64: {"0.30.2": tuple(FLAGS), "0.33.3": tuple(FLAGS)},
    96: {"0.30.2": tuple(FLAGS), "0.33.3": tuple(FLAGS)},
    128: {"0.30.2": tuple(FLAGS), "0.33.3": tuple(FLAGS)},
}


def test_the_host_the_version_and_the_flags_decide_what_is_sent():
    fitting = {
        size: {
            version: tuple(
                name
                for name, flags in FLAGS.items()
                if fit(HERO, host(size), report(*flags, version=version)).fits
            )
            for version in versions
        }
        for size, versions in FITTING.items()
    }
    assert fitting == FITTING


def test_swap_limits_and_other_programs_change_what_every_host_can_give():
    for gigabytes, version, flags in itertools.product(FITTING, VERSIONS, FLAGS):
        _give(gigabytes, version, FLAGS[flags])


def _give(gigabytes, version, words):
    here = fit(HERO, host(gigabytes), report(*words, version=version))
    assert here.least <= here.need
    more = fit(HERO, host(gigabytes, swap=8 * GIB), report(*words, version=version))
    assert more.now >= here.now
    assert more.room >= here.room
    limited = fit(HERO, host(gigabytes, limit=9 * GIB), report(*words, version="0.33.3"))
    assert limited.now <= 9 * GIB
    taken = fit(HERO, host(gigabytes, taken=10), report(*words, version=version))
    assert (taken.need, taken.now, taken.room) == (here.need, here.now - 10 * GIB, here.room)
    # What the engine itself holds it gives up for the stage.
    holds = fit(HERO, host(gigabytes, held=10), report(*words, version=version))
    assert holds.now == here.now
    cpu = fit(HERO, host(gigabytes), report(*words, version=version, mode="cpu"))
    assert cpu.need <= here.need


def test_what_another_program_holds_is_waited_for_and_what_the_host_never_has_is_not():
    busy = fit(HERO, host(64, taken=30), report())
    assert (busy.fits, busy.later) == (False, True)
    small = fit(HERO, host(16), report(version="0.30.2"))
    assert (small.fits, small.later, small.restarted) == (False, False, True)
    large = StageMemory(recipe="mine", stage="upscale", files={"a": GIB}, frames=40 * GIB)
    never = fit(large, host(32), report())
    assert (never.fits, never.later, never.restarted) == (False, False, False)
    assert never.short > 10 * GIB
    # Read whole, weights cannot be dropped and read again, whatever is not pinned.
    whole = fit(HERO, host(32), report("--disable-mmap", "--disable-pinned-memory"))
    assert (whole.fits, whole.restarted) == (False, True)


def test_disk_swap_is_a_small_part():
    """What others do not use goes there; of ComfyUI's own only a part, and only where nothing is pinned."""
    pinned = [fit(HERO, host(32, swap=size * GIB), report()).room for size in (0, 1, 64)]
    assert [room - pinned[0] for room in pinned] == [0, GIB, OTHERS // 2]
    flags = FLAGS["least"]
    unpinned = [fit(HERO, host(32, swap=size * GIB), report(*flags)).room for size in (0, 4, 64)]
    total = host(32).total
    assert [room - unpinned[0] for room in unpinned] == [0, 4 * GIB, 2 * GIB + total // 4]


@pytest.mark.parametrize("lacking", ["available", "held"])
def test_what_is_not_known_keeps_nothing_that_could_fit(lacking):
    def unknown(gigabytes):
        full = host(gigabytes, taken=gigabytes)
        known = {"available": full.available, "held": full.held, lacking: None}
        return HostMemory(total=full.total, **known)

    assert fit(HERO, unknown(64), report()).fits
    never = fit(HERO, unknown(16), report("--cache-none", "--disable-mmap", version="0.30.2"))
    assert (never.fits, never.later) == (False, False)


BYTES = st.integers(0, 200 * GIB)


@given(
    st.builds(
        HostMemory,
        total=st.integers(GIB, 300 * GIB),
        disk_swap=BYTES,
        swap_free=BYTES,
        limit=st.none() | BYTES,
        available=st.none() | BYTES,
        held=st.none() | BYTES,
    ),
    st.dictionaries(st.sampled_from("abcd"), BYTES),
    BYTES,
    st.sampled_from(sorted(FLAGS)),
    st.sampled_from(VERSIONS),
    st.sampled_from(["gpu", "cpu", ""]),
)
def test_a_stage_is_sent_or_waits_or_gets_other_flags_or_lacks_something(
    memory, files, frames, flags, version, mode
):
    stage = StageMemory(recipe="r", stage="s", files=files, frames=frames)
    found = fit(stage, memory, report(*FLAGS[flags], version=version, mode=mode))
    if found.fits:
        known = memory.available is not None and memory.held is not None
        assert found.need <= (found.now if known else max(found.most, RESERVE))
    elif found.later:
        assert found.now < found.need <= found.room
    elif found.restarted:
        assert found.need > found.room or found.now is None
    else:
        assert found.short > 0
