"""Which flags pre-start.sh gives ComfyUI."""

import re

import flags
import pytest
from kernels import KERNELS

from tests.runtime.pre_start.conftest import GB, ROOT, SAGE, SDPA, kernel, outcome


@pytest.mark.parametrize(
    ("wanted", "size", "words"),
    [
        # What is cached takes the host's memory: that is for the service's sums to say.
        ("16", 32, "--reserve-vram 1.0"),
        ("auto", 16, "--reserve-vram 1.0"),
        ("auto", 24, "--reserve-vram 1.0"),
        ("auto", 32, "--reserve-vram 0.7"),
        ("auto", 80, ""),
        ("24", 80, "--reserve-vram 1.0"),
    ],
)
def test_the_memory_profile_decides_the_memory_flags(host, wanted, size, words):
    host.answers(outcome(memory=size * GB - 300 * 2**20))  # a card shows a little less than it has
    assert host.start(MEMORY=wanted, PREVIEWS="taesd").returncode == 0
    assert host.args == f"{words} --use-sage-attention --preview-method taesd".strip()


def test_an_operators_own_words_replace_ours_of_the_same_kind(host):
    extra = "--use-flash-attention --reserve-vram 3 --cache-lru 10 --disable-pinned-memory"
    assert host.start(MEMORY="16", EXTRA_ARGS=extra).returncode == 0
    assert host.args == f"--preview-method none {extra}"


def test_a_flag_with_its_value_in_one_word_replaces_ours_too(host):
    """ComfyUI takes one of a group, and does not start with two."""
    extra = "--cache-lru=10 --reserve-vram=3"
    assert host.start(MEMORY="16", EXTRA_ARGS=extra).returncode == 0
    assert host.args == f"--use-sage-attention --preview-method none {extra}"


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


VERSIONS = {
    version: set((ROOT / f"tests/runtime/comfyui-{version}-flags.txt").read_text().split())
    for version in ("0.27.1", "0.33.0")
}


def source_of(host, names):
    """Let the host's ComfyUI take these flags, written as ComfyUI writes them."""
    file = host.folder / "comfyui/comfy/cli_args.py"
    file.parent.mkdir(exist_ok=True)
    lines = [f'group.add_argument("{name}", action="store_true")' for name in sorted(names)]
    file.write_text("\n".join(["parser = argparse.ArgumentParser()", *lines]))


@pytest.mark.parametrize("version", VERSIONS)
def test_every_flag_that_we_give_is_one_of_the_versions_that_are_supported(version):
    ours = {word for words in flags.MEMORY.values() for word in words if word.startswith("--")}
    ours |= {each.flag for each in KERNELS if each.flag} | {"--cpu", "--preview-method"}
    # A version that lacks one of these is never given it: they are asked for or given where they are known.
    later = {"--use-ck-attention", "--disable-assets"}
    assert ours.union(*flags.EXCLUSIVE) - later <= VERSIONS[version]


def test_a_flag_of_ours_that_a_version_lacks_is_left_out_and_it_is_said(host):
    source_of(host, VERSIONS["0.33.0"] - {"--reserve-vram"})
    assert host.start(MEMORY="16").returncode == 0
    assert host.args == "--use-sage-attention --preview-method none"
    (warning,) = host.report["warnings"]
    assert "does not know --reserve-vram: it is started without" in warning["sentence"]


def test_a_kernel_whose_flag_is_left_out_is_not_said_to_be_in_use(host):
    source_of(host, VERSIONS["0.33.0"] - {SAGE["flag"]})
    assert host.start().returncode == 0
    assert SAGE["flag"] not in host.args
    assert host.report["chosen"] == ""


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ("--reserve-vram 2 --use-ck-attention", ""),
        ("--reserve-vram=2 --cache-lru 5", ""),
        ("--disable-pinned", ""),  # argparse takes a beginning of one
        ("--frist --cache-lru 5 --use-", "--frist --use-"),
    ],
)
def test_a_flag_of_an_operators_that_a_version_lacks_is_a_failure_that_names_it(host, extra, said):
    source_of(host, VERSIONS["0.33.0"])
    done = host.start(EXTRA_ARGS=extra)
    assert done.returncode == (2 if said else 0)
    if said:
        assert f"does not know: {said}." in host.report["problem"]["sentence"]


@pytest.mark.parametrize("text", [None, "def (", "x = 1"])
def test_where_comfyui_does_not_say_what_it_takes_all_is_given(host, text):
    if text is not None:
        source_of(host, set())
        (host.folder / "comfyui/comfy/cli_args.py").write_text(text)
    assert host.start(EXTRA_ARGS="--anything 3").returncode == 0
    assert host.args.endswith("--anything 3")
    assert host.report["warnings"] == []


def test_the_page_on_nixos_names_only_flags_that_comfyui_knows():
    page = (ROOT / "docs" / "nixos.md").read_text()
    section = page.partition("## ComfyUI's flags\n")[2].partition("\n## ")[0]
    named = set(re.findall(r"`(--[a-z0-9-]+)", section))
    assert named
    assert all(named <= taken for taken in VERSIONS.values())
