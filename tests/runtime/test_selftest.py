"""Bounds, sizes, choice and words of the attention self-test; nothing here needs torch."""

import json
import sys
import time
from pathlib import Path

import pytest
import selftest
from hypothesis import given
from hypothesis import strategies as st
from kernels import KERNELS, MARK
from selftest import BOUNDS, HEADS, SIZES, choose, fit, gather, judge, need, plan

GB = 2**30
BY_NAME = {kernel.name: kernel for kernel in KERNELS}
CASE = {"dtype": "float16", "queries": 21504, "keys": 21504, "heads": 40, "scaled": ""}


def case(cosine=0.99999, rel_l1=0.001, ms=10.0, *, finite=True, **changes):
    found = {**CASE, "finite": finite, "cosine": cosine, "rel_l1": rel_l1, "ms": ms, **changes}
    return found if finite else found | {"cosine": None, "rel_l1": None}


def verdict(name, *cases, expected=None, **said):
    found = {"cases": list(cases), "reason": "", "transient": False, **said}
    return judge(BY_NAME[name], found, len(cases) if expected is None else expected)


def row(name, ms=None, reason="broken"):
    """A right kernel with a time, or a refused one without."""
    if ms is None:
        return verdict(name, reason=reason)
    return verdict(name, case(ms=ms))


# ---- bounds


@pytest.mark.parametrize("name", ["sdpa", "sageattn"])
def test_a_result_within_the_bounds_of_its_kind_is_right(name):
    least, most = BOUNDS[BY_NAME[name].quantised]
    assert verdict(name, case(least, most))["verdict"] == "ok"


@pytest.mark.parametrize("name", ["sdpa", "sageattn"])
@pytest.mark.parametrize("which", [0, 1])
def test_a_result_beyond_a_bound_is_refused_with_the_figure_and_the_bound(name, which):
    least, most = BOUNDS[BY_NAME[name].quantised]
    wrong = case(least - 0.001, most) if which == 0 else case(least, most + 0.001)
    found = verdict(name, case(), wrong)
    assert found["verdict"] == "refused"
    assert found["reason"].startswith("the result is wrong: cosine")
    assert f"at least {least}" in found["reason"]
    assert f"at most {most}" in found["reason"]
    assert "float16, 21504 tokens" in found["reason"]


def test_an_8_bit_kernel_may_be_off_by_what_would_condemn_a_16_bit_one():
    usual = case(0.9991, 0.042)
    assert verdict("sageattn", usual)["verdict"] == "ok"
    assert verdict("flash_attn", usual)["verdict"] == "refused"


@pytest.mark.parametrize("figure", [float("nan"), float("inf")])
def test_a_figure_that_is_no_number_is_no_pass(figure):
    assert verdict("sdpa", case(cosine=figure, rel_l1=figure))["verdict"] == "refused"


def test_one_case_with_nan_condemns_the_kernel():
    found = verdict("sageattn", case(), case(finite=False, dtype="bfloat16"))
    assert found["reason"] == (
        "the result contains NaN or infinity (bfloat16, 21504 tokens, 21504 keys)"
    )
    assert not found["transient"]


def test_silence_about_a_case_is_no_pass():
    found = verdict("sdpa", case(), expected=4)
    assert found["reason"] == "only 1 of 4 cases were measured"


def test_a_wrong_result_outweighs_what_came_after_it():
    found = verdict("sageattn", case(finite=False), reason="out of memory", transient=True)
    assert "NaN" in found["reason"]
    assert not found["transient"]


# ---- sizes


def test_with_room_every_size_is_the_real_one():
    for queries, keys in SIZES:
        found = fit(queries, keys, 70 * GB)
        assert (found["queries"], found["keys"], found["heads"]) == (queries, keys, HEADS)
        assert found["scaled"] == ""


def test_heads_go_before_tokens_and_what_was_scaled_is_said():
    found = fit(75600, 75600, 2 * GB)
    assert found["queries"] == 75600
    assert found["heads"] < HEADS
    assert found["scaled"] == f"{found['heads']} of 40 heads"


def test_the_whole_score_matrix_is_never_made_at_full_size():
    found = fit(21504, 21504, 24 * GB, quadratic=True)
    assert need(found["queries"], found["keys"], found["heads"], quadratic=True) < 24 * GB
    assert found["scaled"]


@given(st.sampled_from(SIZES), st.integers(min_value=64 * 2**20, max_value=200 * GB), st.booleans())
def test_what_is_planned_fits_and_is_never_larger_than_wanted(size, free, quadratic):
    found = fit(*size, free, quadratic=quadratic)
    asked = (found["queries"], found["keys"], found["heads"])
    assert need(*asked, quadratic=quadratic) <= free
    assert found["queries"] <= size[0]
    assert found["keys"] <= size[1]
    assert 1 <= found["heads"] <= HEADS
    assert bool(found["scaled"]) == (asked != (*size, HEADS))


def test_every_kernel_meets_both_16_bit_types_and_the_short_keys_of_a_text():
    for kernel in KERNELS:
        cases = plan(kernel, 70 * GB, quick=True)
        assert {each["dtype"] for each in cases} == {"bfloat16", "float16"}
        assert any(each["keys"] == 512 for each in cases)


def test_kernels_that_a_flag_leads_to_compete_at_the_same_sizes():
    plans = [plan(kernel, 11 * GB, quick=False) for kernel in KERNELS if kernel.flag]
    assert all(each == plans[0] for each in plans)
    assert {each["queries"] for each in plans[0]} == {21504, 32760, 75600}


# ---- choice


def test_the_fastest_right_kernel_wins():
    rows = [row("sdpa", 30.0), row("sageattn", 10.0), row("flash_attn", 20.0)]
    assert choose(rows, "auto") == ("sageattn", "")


def test_a_faster_kernel_that_is_wrong_does_not():
    rows = [row("sdpa", 30.0), verdict("sageattn", case(0.5, 0.9, 1.0)), row("flash_attn", 20.0)]
    assert choose(rows, "auto")[0] == "flash_attn"


def test_a_kernel_without_a_flag_is_never_chosen():
    rows = [row("sdpa", 30.0), row("sageattn_qk_int8_pv_fp8_cuda", 5.0), row("xformers", 1.0)]
    assert choose(rows, "auto")[0] == "sdpa"


def test_a_wish_is_followed_although_another_is_faster():
    rows = [row("sdpa", 30.0), row("sageattn", 10.0), row("flash_attn", 20.0)]
    assert choose(rows, "sdpa") == ("sdpa", "")
    assert choose(rows, "flash") == ("flash_attn", "")


def test_a_refused_wish_is_replaced_and_named_with_its_reason():
    rows = [row("sdpa", 30.0), row("sageattn", reason="no kernel image"), row("flash_attn", 20.0)]
    chosen, why = choose(rows, "sage")
    assert chosen == "flash_attn"
    assert why == "sage was requested, but sageattn was rejected: no kernel image"


def test_an_absent_wish_says_that_it_is_not_installed():
    absent = row("sageattn") | {"verdict": "absent", "reason": "the package is not installed"}
    assert "is not installed" in choose([row("sdpa", 1.0), absent], "sage")[1]


def test_nothing_is_chosen_when_nothing_is_right():
    chosen, why = choose([row("sdpa"), row("xformers", 1.0)], "auto")
    assert chosen == ""
    assert "no attention kernel" in why


# ---- the words of a process


def lines(*said):
    return "noise of a library\nand more without an end" + "".join(
        f"{MARK}{json.dumps(each)}\n" for each in said
    )


def test_cases_notes_and_errors_are_gathered_from_the_noise():
    found = gather(lines({"begun": CASE}, {"case": case()}, {"note": "flash"}), "", 0, 9)
    assert found["cases"] == [case()]
    assert (found["reason"], found["note"]) == ("", "flash")
    found = gather(lines({"error": "RuntimeError: no", "kind": "error"}), "", 0, 9)
    assert (found["reason"], found["transient"]) == ("RuntimeError: no", False)


def test_half_a_line_of_a_killed_process_is_passed_over():
    whole = lines({"begun": CASE}, {"case": case()})
    found = gather(whole.rstrip("}\n")[:-3], "", -9, 9)
    assert found["cases"] == []
    assert "SIGKILL (float16" in found["reason"]


def test_a_want_of_memory_may_be_gone_next_time():
    assert gather(lines({"error": "OutOfMemoryError: x", "kind": "memory"}), "", 0, 9)["transient"]


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (-11, "it crashed the process: SIGSEGV (float16, 21504 tokens)"),
        (-9, "it crashed the process: SIGKILL (float16, 21504 tokens)"),
        (3, "its process exited with code 3 (float16, 21504 tokens): last words"),
        (None, "no result within 9 s (float16, 21504 tokens)"),
    ],
)
def test_how_a_process_ended_is_said_with_the_case_it_was_at(code, reason):
    assert gather(lines({"begun": CASE}), "first\nlast words\n\n", code, 9)["reason"] == reason


# ---- the whole report, with answers instead of processes


def fake(**answers):
    """Answer for each kernel; those without an answer are right and take 50 ms a case."""

    def ask(name, cases, seconds):
        if name in answers:
            return answers[name]
        if name == "host":
            return {"torch": "2.11.0", "cuda": "13.0", "card": "RTX 5090", "free": 30 * GB}
        return {"cases": [{**c, **case(ms=50.0, **c)} for c in cases], "reason": ""}

    return ask


@pytest.fixture
def all_installed(monkeypatch):
    monkeypatch.setattr(selftest, "installed", lambda package: "1.0")


def test_the_report_names_the_choice_its_flag_and_every_refusal(all_installed):
    broken = {"cases": [], "reason": "RuntimeError: no kernel image", "transient": False}
    found = selftest.report(
        fake(sageattn=broken), "sage", quick=True, limit=99, say=lambda text: None
    )
    assert (found["chosen"], found["flag"]) == ("sdpa", "--use-pytorch-cross-attention")
    assert found["fell_back"] == (
        "sage was requested, but sageattn was rejected: RuntimeError: no kernel image"
    )
    assert len(found["kernels"]) == len(KERNELS)
    assert found["settled"]


def test_a_refusal_that_may_pass_is_not_settled(all_installed):
    starved = {"cases": [], "reason": "OutOfMemoryError: 1 GB", "transient": True}
    found = selftest.report(
        fake(flash_attn=starved), "auto", quick=True, limit=99, say=lambda text: None
    )
    assert found["chosen"]
    assert not found["settled"]


def test_when_the_time_is_used_up_the_rest_is_refused_not_guessed(all_installed):
    def ask(name, cases, seconds):
        answers = fake() if name == "host" else selftest.ask_process
        return answers(name, cases, seconds)

    found = selftest.report(ask, "auto", quick=True, limit=-1.0, say=lambda text: None)
    assert {each["reason"] for each in found["kernels"]} == {
        "the time limit of the whole test was reached"
    }
    assert not found["chosen"]
    assert not found["settled"]


def test_without_torch_the_command_says_so_with_an_exit_code_of_its_own(capsys):
    code = selftest.main([], fake(host={"cases": [], "reason": "No module named 'torch'"}))
    assert code == selftest.EXIT_NO_TORCH
    assert "No module named 'torch'" in capsys.readouterr().err


def test_the_report_is_written_as_a_whole_and_the_choice_said(all_installed, tmp_path, capsys):
    out = tmp_path / "report.json"
    assert selftest.main(["--quick", "--out", str(out)], fake()) == 0
    assert json.loads(out.read_text())["chosen"] == "sdpa"  # the first of equally fast ones
    assert [each.name for each in tmp_path.iterdir()] == ["report.json"]
    assert "chosen: sdpa (--use-pytorch-cross-attention)" in capsys.readouterr().err


def test_nothing_right_is_an_exit_code_of_its_own(monkeypatch, capsys):
    monkeypatch.setattr(selftest, "installed", lambda package: None)
    assert selftest.main(["--quick"], fake()) == selftest.EXIT_NONE_RIGHT


def test_the_list_names_every_kernel(capsys):
    assert selftest.main(["--list"]) == 0
    named = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert named == [kernel.name for kernel in KERNELS]


@pytest.mark.parametrize(
    "text",
    [
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.95.05  Tue Sep 23 10:11:16 UTC 2025\n",
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Release Build  (x)\n",
    ],
)
def test_the_loaded_driver_is_read_from_either_form(tmp_path, text):
    (tmp_path / "proc/driver/nvidia").mkdir(parents=True)
    (tmp_path / "proc/driver/nvidia/version").write_text(text)
    assert selftest.driver(tmp_path) == "580.95.05"
    assert selftest.driver(tmp_path / "none") == ""


# ---- real processes that misbehave


def child(tmp_path, code):
    script = tmp_path / "child.py"
    script.write_text("import json, sys, os, time\n" + code)
    return [sys.executable, str(script)]


def begin():
    return f"print({MARK + json.dumps({'begun': CASE})!r}, flush=True)\n"


def test_a_kernel_that_crashes_its_process_is_refused(tmp_path):
    code = begin() + "import ctypes\nctypes.string_at(0)\n"
    found = selftest.ask_process("x", [CASE], 60, child(tmp_path, code))
    assert found["reason"] == "it crashed the process: SIGSEGV (float16, 21504 tokens)"


def test_a_kernel_that_hangs_is_killed_with_what_it_started(tmp_path):
    pid = tmp_path / "pid"
    code = begin() + (
        "import subprocess\n"
        "held = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"open({str(pid)!r} + '.part', 'w').write(str(held.pid))\n"
        f"os.replace({str(pid)!r} + '.part', {str(pid)!r})\n"
        "time.sleep(600)\n"
    )
    for seconds in (1, 4, 16, 64):  # a busy machine needs longer to begin at all
        found = selftest.ask_process("x", [CASE], seconds, child(tmp_path, code))
        if pid.exists():
            break
    assert found["reason"] == f"no result within {seconds} s (float16, 21504 tokens)"
    assert found["transient"]
    end = time.monotonic() + 60
    while alive(int(pid.read_text())):  # the signal is sent; when it arrives is the kernel's affair
        assert time.monotonic() < end
        time.sleep(0.01)


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] not in "ZX"
    except OSError:
        return False


def test_a_kernel_that_leaves_is_refused_with_its_last_words(tmp_path):
    code = begin() + "print('ptxas fatal', file=sys.stderr)\nsys.exit(7)\n"
    found = selftest.ask_process("x", [CASE], 60, child(tmp_path, code))
    assert found["reason"].endswith("code 7 (float16, 21504 tokens): ptxas fatal")


def test_a_kernel_whose_flag_this_comfyui_does_not_know_is_measured_and_not_chosen(all_installed):
    def chosen(taken):
        quick = {"cases": [case(ms=0.1)] * 4, "reason": "", "transient": False}
        found = selftest.report(
            fake(ck_int8=quick), "auto", quick=True, limit=99, say=lambda text: None, taken=taken
        )
        rows = {row["name"]: row for row in found["kernels"]}
        assert rows["ck_int8"]["verdict"] == "ok"
        return found["chosen"], found["flag"]

    old = {"--use-sage-attention", "--use-pytorch-cross-attention"}
    assert chosen(old)[0] != "ck_int8"
    assert chosen({*old, "--use-ck-attention"}) == ("ck_int8", "--use-ck-attention")
    # Of a source that cannot be read nothing is known.
    assert chosen(None) == ("ck_int8", "--use-ck-attention")
