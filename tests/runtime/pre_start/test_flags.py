"""Which flags pre-start.sh gives ComfyUI."""

import re

import publish
import pytest
from kernels import KERNELS

from tests.runtime.pre_start.conftest import GB, ROOT, SAGE, SDPA, kernel, outcome


@pytest.mark.parametrize(
    ("wanted", "size", "flags"),
    [
        ("16", 32, "--reserve-vram 1.0 --cache-none"),
        ("auto", 16, "--reserve-vram 1.0 --cache-none"),
        ("auto", 24, "--reserve-vram 1.0"),
        ("auto", 32, "--reserve-vram 0.7"),
        ("auto", 80, ""),
        ("24", 80, "--reserve-vram 1.0"),
    ],
)
def test_the_memory_profile_decides_the_memory_flags(host, wanted, size, flags):
    host.answers(outcome(memory=size * GB - 300 * 2**20))  # a card shows a little less than it has
    assert host.start(MEMORY=wanted, PREVIEWS="taesd").returncode == 0
    assert host.args == f"{flags} --use-sage-attention --preview-method taesd".strip()


def test_an_operators_own_words_replace_ours_of_the_same_kind(host):
    extra = "--use-flash-attention --reserve-vram 3 --cache-lru 10 --disable-pinned-memory"
    assert host.start(MEMORY="16", EXTRA_ARGS=extra).returncode == 0
    assert host.args == f"--preview-method none {extra}"


def test_an_attention_flag_given_by_hand_is_published_as_what_runs(host):
    broken = kernel("flash_attn", "--use-flash-attention", reason="it needs another card")
    host.answers(outcome(kernels=[SDPA, SAGE, broken]))
    assert host.start(EXTRA_ARGS="--use-flash-attention").returncode == 0
    assert host.report["chosen"] == "flash_attn"
    assert "it needs another card" in host.report["warnings"][0]["sentence"]


@pytest.mark.parametrize("extra", ['--x "a b"', "--x $HOME", "--x 'y'", "--x\n--y", "--x\\"])
def test_words_that_systemd_would_read_otherwise_are_refused(host, extra):
    done = host.start(EXTRA_ARGS=extra)
    assert done.returncode == 2
    assert "ZOETROPE_EXTRA_ARGS" in host.report["problem"]["sentence"]


def test_every_flag_that_we_give_is_one_of_the_pinned_comfyuis():
    known = (ROOT / "tests/runtime/comfyui-0.27.1-flags.txt").read_text().split()
    ours = {word for words in publish.MEMORY.values() for word in words if word.startswith("--")}
    ours |= {each.flag for each in KERNELS if each.flag} | {"--cpu", "--preview-method"}
    assert ours.union(*publish.EXCLUSIVE) <= set(known)


def test_the_page_on_nixos_names_only_flags_that_comfyui_knows():
    known = (ROOT / "tests/runtime/comfyui-0.27.1-flags.txt").read_text().split()
    page = (ROOT / "docs" / "nixos.md").read_text()
    section = page.partition("## ComfyUI's flags\n")[2].partition("\n## ")[0]
    named = set(re.findall(r"`(--[a-z0-9-]+)", section))
    assert named
    assert named <= set(known)
