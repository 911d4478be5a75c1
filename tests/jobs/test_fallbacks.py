"""Fallbacks as a table: what failed, what was tried, what can be done, what follows."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoetrope.domain.job import Attempt, Job, Progress, Stage, State
from zoetrope.domain.values import Failure, Ticket
from zoetrope.jobs.fallbacks import (
    FLAGS,
    Again,
    Blocked,
    GiveUp,
    Hold,
    Means,
    Refuse,
    decide,
    seed_helps,
)

OFFERED = ("batch-9", "tiled")


def stage(*kinds: str, fallbacks: tuple[str, ...] = ()) -> Stage:
    attempts = tuple(
        Attempt(
            number=n,
            prompt_id=str(n),
            engine="e",
            state=Progress.FAILED,
            failure=Failure(kind=kind, message=kind),
        )
        for n, kind in enumerate(kinds, start=1)
    )
    return Stage(name="i2v", attempts=attempts, fallbacks=fallbacks)


def after(
    *kinds: str,
    fallbacks: tuple[str, ...] = (),
    restart=True,
    retries=3,
    offered=OFFERED,
    flags=None,
):
    failure = Failure(kind=kinds[-1], message="It broke.")
    means = Means(offered=offered, can_restart=restart, retries=retries, flags=flags)
    return decide(failure, stage(*kinds, fallbacks=fallbacks), means)


@pytest.mark.parametrize("kind", ["oom", "host-oom"])
def test_out_of_memory_takes_one_fallback_after_the_other(kind):
    assert after(kind) == Again(("free",), free=True)
    assert after(kind, fallbacks=("free",)) == Again(("free", "batch-9"), free=True)
    assert after(kind, fallbacks=("free", "batch-9")) == Again(
        ("free", "batch-9", "tiled"), free=True
    )
    top = ("free", "batch-9", "tiled")
    assert after(kind, fallbacks=top) == Again((*top, "restart"), restart=True)
    assert isinstance(after(kind, fallbacks=(*top, "restart")), GiveUp)


def test_pinned_memory_gets_a_new_process_and_a_smaller_size_and_no_more_weights_on_the_host():
    offered = (*OFFERED, "smaller")
    assert after("pinned-memory", offered=offered) == Again(("free",), free=True)
    top = ("free",)
    assert after("pinned-memory", fallbacks=top, offered=offered).restart
    top = ("free", "restart")
    assert after("pinned-memory", fallbacks=top, offered=offered).fallbacks == (*top, "smaller")


@pytest.mark.parametrize("kind", ["host-oom", "pinned-memory"])
def test_where_the_hosts_memory_does_not_suffice_the_next_step_names_comfyuis_flags(kind):
    found = after(kind, fallbacks=("free", *OFFERED, "restart"))
    assert isinstance(found, GiveUp)
    assert found.reason.key == kind
    assert "--disable-pinned-memory" in found.reason.next_step
    assert "smaller size" in found.reason.next_step


@pytest.mark.parametrize("kind", ["host-oom", "pinned-memory"])
def test_the_hosts_memory_is_saved_by_flags_before_a_smaller_size(kind):
    """What moves work to the host would only need more of its memory, and the same flags again are no change."""
    offered, flags = (*OFFERED, "smaller"), ("without-pinned-memory", "without-caches")
    seen, fallbacks, asked = [], ("tiled",), []
    while isinstance(
        found := after(kind, fallbacks=fallbacks, offered=offered, flags=flags), Again
    ):
        seen.append((found.fallbacks[-1], found.restart, found.free))
        fallbacks = found.fallbacks
        if found.ask:
            asked.append(found.ask)
            flags = tuple(flag for flag in flags if flag != found.ask)
    assert seen == [
        ("free", False, True),
        ("without-pinned-memory", True, False),
        ("without-caches", True, False),
        ("smaller", False, True),
    ]
    assert asked == ["without-pinned-memory", "without-caches"]
    assert isinstance(found, GiveUp)
    assert "more memory or swap" in found.reason.next_step


def test_a_kill_for_lack_of_memory_is_never_followed_by_the_same_again():
    """Nothing is left to free, and what moves work to the host would only be killed again."""
    offered, flags = (*OFFERED, "smaller"), ("without-pinned-memory", "without-caches")
    first = after("oom-kill", offered=offered, flags=flags)
    assert first == Again(("without-pinned-memory",), restart=True, ask="without-pinned-memory")
    second = after("oom-kill", fallbacks=first.fallbacks, offered=offered, flags=flags[1:])
    assert (second.ask, second.restart) == ("without-caches", True)
    third = after("oom-kill", fallbacks=second.fallbacks, offered=offered, flags=())
    assert third == Again((*second.fallbacks, "smaller"))
    last = after("oom-kill", fallbacks=third.fallbacks, offered=offered, flags=())
    assert isinstance(last, GiveUp)
    assert "more memory or swap" in last.reason.next_step
    # Where nothing can be asked, a person can.
    alone = after("oom-kill", offered=OFFERED)
    assert isinstance(alone, GiveUp)
    assert "--disable-pinned-memory" in alone.reason.next_step


def test_the_gpus_memory_takes_no_flag():
    flags = ("without-pinned-memory", "without-caches")
    assert after("oom", fallbacks=("free", *OFFERED), flags=flags).ask == ""
    assert after("cuda", flags=flags).ask == ""


def test_a_flag_that_is_in_force_already_is_not_asked_for_again():
    """An engine whose flags were learned by an earlier job: what is left are the recipe's own fallbacks."""
    assert after("host-oom", fallbacks=("free",), flags=()).fallbacks == ("free", "batch-9")


def test_without_a_way_to_restart_there_is_one_fallback_less():
    found = after("oom", fallbacks=("free", *OFFERED), restart=False)
    assert isinstance(found, GiveUp)
    assert "free, batch-9, tiled" in found.reason.sentence
    assert "smaller size" in found.reason.next_step


def test_remembered_fallbacks_are_kept_and_the_others_follow():
    assert after("oom", fallbacks=("batch-9",)) == Again(("batch-9", "free"), free=True)
    assert after("oom", fallbacks=("batch-9", "free")) == Again(
        ("batch-9", "free", "tiled"), free=True
    )


@pytest.mark.parametrize(
    ("looks", "words"),
    [
        (("black",), "invalid value encountered in cast"),
        (("frozen",), "definite action"),
        (("bytes", "noise"), "steps that do not meet"),
        (("bytes",), "another seed may help"),
        (("size",), "something else than its recipe.toml expects"),
        (("unreadable",), "its disk, then retry"),
        ((), "something else than"),
    ],
)
def test_a_doubtful_videos_next_step_follows_its_looks(looks, words):
    failure = Failure(kind="doubtful", message="It looks odd.", looks=looks)
    means = Means(offered=OFFERED, can_restart=True, retries=3)
    found = decide(failure, stage("doubtful", "doubtful"), means)
    assert isinstance(found, GiveUp)
    assert words in found.reason.next_step


@pytest.mark.parametrize(
    ("state", "kind", "looks", "helps"),
    [
        (State.DONE, "", (), True),
        (State.REVIEW, "", (), True),
        (State.CANCELLED, "interrupted", (), True),
        (State.REJECTED, "refused", (), False),
        (State.FAILED, "doubtful", ("frozen",), True),
        (State.FAILED, "doubtful", ("noise", "bytes"), True),
        (State.FAILED, "doubtful", ("noise",), False),
        (State.FAILED, "doubtful", ("size", "frames"), False),
        *((State.FAILED, kind, (), False) for kind in ("oom", "host-oom", "cuda", "crash", "node")),
        *((State.FAILED, kind, (), False) for kind in ("model", "file", "package", "wedged")),
        (State.FAILED, "", (), False),
    ],
)
def test_another_seed_is_offered_only_where_it_can_help(state, kind, looks, helps):
    failure = Failure(kind=kind, message="It broke.", looks=looks)
    attempt = Attempt(number=1, prompt_id="1", engine="e", state=Progress.FAILED, failure=failure)
    stages = (Stage(name="i2v", attempts=(attempt,) if kind else ()), Stage(name="upscale"))
    job = Job(
        id="0" * 32, created=1.0, updated=1.0, state=state, stem="cat",
        ticket=Ticket(recipe="tiny"), stages=stages,
    )  # fmt: skip
    assert seed_helps(job) is helps


@pytest.mark.parametrize("kind", ["cuda", "wedged"])
def test_a_broken_process_is_restarted_at_once(kind):
    assert after(kind) == Again(("restart",), restart=True)
    assert after(kind, kind, fallbacks=("restart",)) == Again(("restart",), restart=True)
    assert isinstance(after(kind, kind, kind, kind, fallbacks=("restart",)), GiveUp)


def test_a_sticky_cuda_error_without_a_way_to_restart_waits_for_another_process():
    assert after("cuda", restart=False) == Again(("restart",), restart=True)


def test_a_job_that_breaks_one_process_after_the_other_is_given_up_and_the_process_with_it():
    found = after("cuda", "cuda", "cuda", "cuda", restart=False)
    assert isinstance(found, GiveUp)
    assert found.restart
    assert "engines.restart" in found.reason.next_step
    assert not after("wedged", "wedged", "wedged", "wedged").restart


def test_a_job_that_ran_in_a_process_broken_by_another_is_never_given_up_for_it():
    assert after(*["bystander"] * 50) == Again(())
    assert after(*["bystander"] * 50, "cuda") == Again(("restart",), restart=True)


def test_a_wedged_sampler_without_a_way_to_restart_is_tried_anew():
    assert after("wedged", restart=False) == Again((), free=True)


def test_a_dying_engine_is_tried_again_with_growing_pauses():
    delays = []
    for n in range(1, 4):
        found = after(*["crash"] * n)
        assert isinstance(found, Again)
        assert not found.restart
        delays.append(found.delay)
    assert delays == sorted(set(delays))
    assert isinstance(after(*["crash"] * 4), GiveUp)


def test_rungs_stay_climbed_over_a_crash():
    found = after("crash", fallbacks=("free", "tiled"))
    assert isinstance(found, Again)
    assert found.fallbacks == ("free", "tiled")


def test_a_vanished_output_is_made_again():
    assert after("vanished") == Again(())


def test_a_nodes_own_error_gets_one_more_attempt():
    assert after("node") == Again((), free=True)
    found = after("node", "node")
    assert isinstance(found, GiveUp)
    assert "after 2 attempts" in found.reason.sentence


def test_no_retries_means_none():
    assert isinstance(after("crash", retries=0), GiveUp)
    assert isinstance(after("node", retries=0), GiveUp)


@pytest.mark.parametrize("kind", ["model-missing", "node-missing"])
def test_what_the_host_lacks_is_waited_for(kind):
    found = after(kind)
    assert isinstance(found, Hold)
    assert found.delay > 0


def test_a_refused_graph_is_refused():
    assert isinstance(after("graph-refused"), Refuse)


def test_an_interruption_that_nobody_asked_for_is_tried_once_more_whatever_failed_before():
    assert after("interrupted", fallbacks=("free",)) == Again(("free",))
    assert after("crash", "node", "interrupted") == Again(())
    for found in (after("interrupted", "interrupted"), after("interrupted", retries=0)):
        assert isinstance(found, GiveUp)
        assert found.reason.key == "interrupted"
        assert "cancel it here" in found.reason.next_step


@pytest.mark.parametrize("kind", ["model", "package", "file", "removed", "something-new"])
def test_what_only_a_person_can_mend_fails_with_a_next_step(kind):
    found = after(kind)
    assert isinstance(found, GiveUp)
    assert found.reason.next_step


KINDS = [
    "oom",
    "host-oom",
    "pinned-memory",
    "oom-kill",
    "cuda",
    "wedged",
    "crash",
    "vanished",
    "node",
    "engine-error",
    "doubtful",
    "interrupted",
    "removed",
]


@given(
    kinds=st.lists(st.sampled_from(KINDS), min_size=40, max_size=40),
    restart=st.booleans(),
    retries=st.integers(0, 5),
    offered=st.lists(st.sampled_from("abcdef"), unique=True).map(tuple),
    flags=st.none() | st.sets(st.sampled_from(sorted(FLAGS))).map(tuple),
)
def test_trying_again_always_ends(kinds, restart, retries, offered, flags):
    """Whatever goes wrong in whatever order, a job is not tried for ever."""
    now = stage()
    means = Means(offered=offered, can_restart=restart, retries=retries, flags=flags)
    for number, kind in enumerate(kinds, start=1):
        failure = Failure(kind=kind, message=kind)
        attempt = Attempt(
            number=number, prompt_id="p", engine="e", state=Progress.FAILED, failure=failure
        )
        now = msgspec.structs.replace(now, attempts=(*now.attempts, attempt))
        found = decide(failure, now, means)
        if not isinstance(found, Again):
            return
        assert set(now.fallbacks) <= set(found.fallbacks)
        now = msgspec.structs.replace(now, fallbacks=found.fallbacks)
    raise AssertionError(f"still trying after {len(kinds)} failures")


@pytest.mark.parametrize("kind", ["engine-disk-full", "engine-read-only", "upload-failed"])
def test_a_disk_of_the_engine_costs_no_try_however_often_it_is_met(kind):
    assert after(*[kind] * 50) == Blocked()
    # Neither what failed before nor what fails afterwards is counted with it.
    assert after("node", kind) == Blocked()
    assert after(*[kind] * 50, "node") == Again((), free=True)
    given_up = after("node", *[kind] * 50, "node")
    assert isinstance(given_up, GiveUp)
    assert "after 2 attempts" in given_up.reason.sentence
