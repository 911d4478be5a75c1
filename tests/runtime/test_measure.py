"""Right and broken kernels, measured by the self-test's own process with a real torch on the CPU."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import selftest
from kernels import KERNELS
from selftest import BOUNDS, ask_process, judge

pytestmark = pytest.mark.torch

PYTHON = os.environ.get("ZOETROPE_TORCH_PYTHON", sys.executable)
IMITATIONS = (PYTHON, str(Path(__file__).with_name("imitations.py")))
EXACT, QUANTISED = (next(k for k in KERNELS if k.name == n) for n in ("flash_attn", "sageattn"))
CASES = [
    {"dtype": dtype, "queries": 2048, "keys": keys, "heads": 4, "scaled": ""}
    for dtype in ("bfloat16", "float16")
    for keys in (2048, 512)
]


def tried(name, kernel, cases=CASES, seconds=120.0):
    return judge(kernel, ask_process(name, cases, seconds, IMITATIONS), len(cases))


def test_a_right_16_bit_kernel_has_five_times_the_room_it_needs():
    found = tried("right", EXACT)
    assert found["verdict"] == "ok"
    assert found["rel_l1"] < BOUNDS[False][1] / 5
    assert found["ms"] > 0


@pytest.mark.parametrize("name", ["right-int8-fp16", "right-int8-fp8"])
def test_a_right_8_bit_kernel_has_twice_the_room_it_needs(name):
    found = tried(name, QUANTISED)
    assert found["verdict"] == "ok"
    assert found["rel_l1"] < BOUNDS[True][1] / 2
    assert 1 - found["cosine"] < (1 - BOUNDS[True][0]) / 2


def test_an_8_bit_result_where_16_bits_are_promised_is_refused():
    assert tried("right-int8-fp8", EXACT)["verdict"] == "refused"


@pytest.mark.parametrize(
    "name",
    [
        *("scale", "int8-scale", "no-scale", "softmax-over-queries", "no-tail", "shifted"),
        *("swapped-heads", "doubled", "zeros", "zero-last-row"),
    ],
)
def test_a_wrong_kernel_is_refused_even_by_the_wider_bounds(name):
    found = tried(name, QUANTISED, CASES[:2])
    assert found["verdict"] == "refused"
    assert found["reason"].startswith("the result is wrong: cosine")


@pytest.mark.parametrize("name", ["nan", "infinite"])
def test_one_value_that_is_no_number_is_found(name):
    assert "NaN or infinity" in tried(name, QUANTISED, CASES[:1])["reason"]


def test_a_kernel_that_raises_is_refused_with_its_words():
    found = tried("raises", QUANTISED, CASES[:1])
    assert found["reason"].startswith("RuntimeError: CUDA error: no kernel image is available")


def test_a_want_of_memory_is_a_refusal_that_may_pass():
    found = tried("starves", QUANTISED, CASES[:1])
    assert found["reason"].startswith("OutOfMemoryError")
    assert found["transient"]


def test_a_result_of_another_shape_is_refused():
    assert "has the shape (1, 4, 2048, 128)" in tried("turned", EXACT, CASES[:1])["reason"]


def test_a_crash_and_a_hang_are_named_with_their_case():
    assert "SIGSEGV (bfloat16, 2048 tokens)" in tried("crashes", EXACT)["reason"]
    # Long enough to import torch on a busy machine; the sleep is longer still.
    assert "no answer within 30 s (bfloat16" in tried("hangs", EXACT, seconds=30)["reason"]


def test_on_a_machine_without_cuda_sdpa_is_checked_and_chosen(tmp_path):
    out = tmp_path / "report.json"
    done = subprocess.run(
        [PYTHON, selftest.__file__, "--wish", "sage", "--out", str(out)],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(out.read_text())
    assert (found["chosen"], found["flag"]) == ("sdpa", "--use-pytorch-cross-attention")
    assert found["card"].startswith("no CUDA device")
    assert "no CUDA device" in found["fell_back"]
    verdicts = {each["name"]: each["verdict"] for each in found["kernels"]}
    assert verdicts["sdpa"] == verdicts["sdpa-math"] == "ok"
    assert verdicts["sdpa-cudnn"] == "refused"
