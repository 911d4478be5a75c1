"""pre-start.sh with a root, a driver and an interpreter that are made up."""

import contextlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import publish
import pytest
from kernels import KERNELS

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "pre-start.sh"
DRIVER = "580.95.05"
UUID = "GPU-8a56a4bc-1111-2222-3333-444455556666"
GB = 2**30

# Answers as the self-test and as the packages' versions would, and lets the real Python do the rest.
INTERPRETER = """#!/bin/sh
case "$1" in
*/selftest.py)
  echo "$CUDA_VISIBLE_DEVICES $*" >> "$FAKE/calls"
  while [ "$1" != --out ]; do shift; done
  [ ! -e "$FAKE/selftest.json" ] || cp "$FAKE/selftest.json" "$2"
  exit "$(cat "$FAKE/code")" ;;
*/publish.py) if [ "$2" = runtime ]; then cat "$FAKE/packages"; exit; fi ;;
esac
exec "$REAL_PYTHON" "$@"
"""


def kernel(name, flag="", *, ms=100.0, reason=""):
    figures = {"cosine": 0.9999, "rel_l1": 0.02, "ms": ms} if not reason else {}
    verdict = "refused" if reason else "ok"
    row = {"name": name, "version": "2.2.0", "flag": flag, "verdict": verdict, "reason": reason}
    return {**row, "cosine": None, "rel_l1": None, "ms": None, **figures}


SDPA = kernel("sdpa", "--use-pytorch-cross-attention", ms=300.0)
SAGE = kernel("sageattn", "--use-sage-attention")


def outcome(**changes):
    return {
        "schema": 1,
        "card": "NVIDIA GeForce RTX 5090",
        "memory": 32 * GB,
        "kernels": [SDPA, SAGE],
        "chosen": "sageattn",
        "flag": "--use-sage-attention",
        "fell_back": "",
        "settled": True,
        **changes,
    }


class Host:
    """A machine in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.fake = folder / "fake"
        self.run, self.base, self.cache = folder / "run", folder / "base", folder / "cache"
        self.models, self.list = folder / "models", folder / "models.tsv"
        self.root = folder / "root"
        for made in (self.fake, self.models, self.root, folder / "comfyui"):
            made.mkdir()
        (folder / "comfyui/main.py").touch()
        python = self.fake / "python"
        python.write_text(INTERPRETER)
        python.chmod(0o755)
        (self.fake / "packages").write_text("python 3.12.3, torch 2.11.0\n")
        self.answers(outcome())
        self.list.write_text("")
        self.env = {
            "PATH": os.environ["PATH"],
            "FAKE": str(self.fake),
            "REAL_PYTHON": sys.executable,
            "ZOETROPE_INSTANCE": "0",
            "ZOETROPE_PYTHON": str(python),
            "ZOETROPE_COMFYUI": str(folder / "comfyui"),
            "ZOETROPE_BASE": str(self.base),
            "ZOETROPE_RUN": str(self.run),
            "ZOETROPE_CACHE": str(self.cache),
            "ZOETROPE_MODELS": str(self.models),
            "ZOETROPE_MODEL_LIST": str(self.list),
            "ZOETROPE_ROOT": str(self.root),
        }

    def answers(self, report, code=0):
        file = self.fake / "selftest.json"
        file.unlink(missing_ok=True)
        if report is not None:
            file.write_text(json.dumps(report, indent=2))
        (self.fake / "code").write_text(str(code))

    def driver(self, loaded=DRIVER, library=DRIVER, cards=(UUID,), *, where="sys"):
        shutil.rmtree(self.root)
        self.root.mkdir()
        if loaded and where == "sys":
            file = self.root / "sys/module/nvidia/version"
            file.parent.mkdir(parents=True)
            file.write_text(f"{loaded}\n")
        elif loaded:
            file = self.root / "proc/driver/nvidia/version"
            file.parent.mkdir(parents=True)
            file.write_text(f"NVRM version: NVIDIA UNIX {where}  {loaded}  Release Build  (x)\n")
        if library:
            folder = self.root / "run/opengl-driver/lib"
            folder.mkdir(parents=True)
            (folder / f"libcuda.so.{library}").touch()
            (folder / "libcuda.so.1").symlink_to(f"libcuda.so.{library}")
        for number, uuid in enumerate(cards):
            file = self.root / f"proc/driver/nvidia/gpus/0000:0{number}:00.0/information"
            file.parent.mkdir(parents=True)
            file.write_text(f"Model: \t\t NVIDIA GeForce RTX 5090\nIRQ:   1\nGPU UUID: \t {uuid}\n")

    def model(self, name, size, *, wanted=None, recipes="wan22-i2v-hero"):
        path = self.models / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if size is not None:
            path.write_bytes(b"x" * size)
        folder, _, file = name.partition("/")
        with self.list.open("a") as listed:
            listed.write(f"{folder}\t{file}\t{wanted if wanted is not None else size}\t{recipes}\n")

    def pack(self, name):
        path = self.folder / "store" / name
        path.mkdir(parents=True, exist_ok=True)
        (path / "__init__.py").touch()
        return path

    def start(self, *words, **changes):
        env = {**self.env, **{f"ZOETROPE_{key}": str(value) for key, value in changes.items()}}
        return subprocess.run(
            [SCRIPT, *words], env=env, capture_output=True, text=True, check=False, timeout=60
        )

    @property
    def report(self):
        return json.loads((self.run / "0.json").read_text())

    @property
    def args(self):
        name, _, value = (self.run / "0.env").read_text().strip().partition("=")
        assert name == "ZOETROPE_COMFYUI_ARGS"
        return value.strip('"')

    @property
    def calls(self):
        file = self.fake / "calls"
        return file.read_text().splitlines() if file.exists() else []

    def tree(self):
        """Everything there is outside the machine itself: path, link target or content."""
        found = {}
        for top in (self.run, self.base, self.cache):
            for path in sorted(top.rglob("*")):
                at = str(path.relative_to(self.folder))
                found[at] = (
                    str(path.readlink())
                    if path.is_symlink()
                    else path.is_file() and path.read_text()
                )
        return found


@pytest.fixture
def host(tmp_path):
    made = Host(tmp_path)
    made.driver()
    return made


# ---- all is well


def test_a_good_machine_gets_its_flags_its_report_and_a_page(host):
    done = host.start(GPU=UUID)
    assert done.returncode == 0, done.stderr
    assert host.args == "--reserve-vram 0.7 --use-sage-attention --preview-method none"
    report = host.report
    assert report["schema"] == 1
    assert (report["gpu_uuid"], report["driver"]) == (UUID, DRIVER)
    assert report["runtime"] == "python 3.12.3, torch 2.11.0"
    assert (report["chosen"], report["wished"], report["fell_back"]) == ("sageattn", "auto", "")
    assert report["flags"] == host.args.split()
    assert [each["name"] for each in report["kernels"]] == ["sdpa", "sageattn"]
    assert report["problem"] is None
    assert done.stdout.startswith("ComfyUI 0: ready to start\n")
    assert f"NVIDIA GeForce RTX 5090 ({UUID}), driver {DRIVER}" in done.stdout
    assert host.calls[0].startswith(f"{UUID} ")  # the self-test sees that card alone


def test_a_second_run_changes_nothing(host):
    host.model("vae/a.safetensors", 5)
    packs = f"Pack={host.pack('Pack')}"
    assert host.start(NODE_PACKS=packs).returncode == 0
    before = host.tree()
    assert host.start(NODE_PACKS=packs).returncode == 0
    assert host.tree() == before


def test_a_check_writes_nothing_but_tells_the_same(host):
    host.model("vae/a.safetensors", 5)
    told = host.start("--check", NODE_PACKS=f"Pack={host.pack('Pack')}")
    assert told.returncode == 0, told.stderr
    assert host.tree() == {}
    assert told.stdout == host.start(NODE_PACKS=f"Pack={host.pack('Pack')}").stdout


def test_the_report_may_be_read_by_the_sidecars_user(host):
    assert host.start().returncode == 0
    assert (host.run / "0.json").stat().st_mode & 0o777 == 0o644


# ---- driver and card


def test_a_driver_that_waits_for_a_reboot_is_a_failure_that_says_both_numbers(host):
    host.driver(loaded="575.64.03")
    done = host.start(GPU=UUID)
    assert done.returncode == 3
    assert "Reboot needed" in done.stdout
    assert "driver 575.64.03 loaded, but the libraries are 580.95.05" in done.stdout
    problem = host.report["problem"]
    assert problem["key"] == "reboot"
    assert problem["next_step"].startswith("Reboot the host")
    assert not (host.run / "0.env").exists()
    assert host.calls == []


@pytest.mark.parametrize("kind", ["x86_64 Kernel Module", "Open Kernel Module for x86_64"])
def test_the_loaded_driver_is_also_read_from_proc(host, kind):
    host.driver(where=kind)
    assert host.start().returncode == 0
    assert host.report["driver"] == DRIVER
    host.driver(loaded="570.1", where=kind)
    assert host.start().returncode == 3


def test_a_driver_too_old_for_this_cuda_is_refused(host):
    host.driver(loaded="550.163.01", library="550.163.01")
    done = host.start()
    assert done.returncode == 8
    assert "550.163.01 is too old: this ComfyUI's CUDA needs 580 or newer" in done.stdout
    assert host.start(MIN_DRIVER=550).returncode == 0


def test_a_kernel_module_without_libraries_is_named(host):
    host.driver(library="")
    done = host.start()
    assert done.returncode == 8
    assert "user-space libraries are not to be found" in done.stdout


def test_without_a_card_comfyui_runs_on_the_cpu_and_it_is_said(host):
    host.driver(loaded="", library="", cards=())
    host.answers(outcome(memory=None, card="no CUDA device", chosen="sdpa", flag=SDPA["flag"]))
    done = host.start()
    assert done.returncode == 0
    assert host.args == "--cpu --use-pytorch-cross-attention --preview-method none"
    assert host.report["mode"] == "cpu"
    assert [each["key"] for each in host.report["warnings"]] == ["no-card"]
    assert "There is no NVIDIA card" in done.stdout


def test_a_named_card_without_a_driver_is_a_failure(host):
    host.driver(loaded="", library="", cards=())
    done = host.start(GPU=UUID)
    assert done.returncode == 4
    assert "the NVIDIA kernel module is not loaded" in done.stdout


def test_a_named_card_that_is_gone_is_a_failure_that_names_those_that_are_there(host):
    done = host.start(GPU="GPU-other")
    assert done.returncode == 4
    assert f"GPU-other is not in this machine; there is: {UUID}." in done.stdout


def test_a_card_that_nobody_opened_yet_has_no_number_and_is_given_a_chance(host):
    host.driver(cards=("GPU-????????-????-????-????-????????????",))
    assert host.start(GPU=UUID).returncode == 0


def test_a_named_card_that_torch_does_not_see_is_a_failure(host):
    host.answers(outcome(memory=None))
    done = host.start(GPU=UUID)
    assert done.returncode == 4
    assert "torch does not see the card" in done.stdout
    assert list(host.cache.iterdir()) == []  # the next start looks again


def test_any_card_that_torch_does_not_see_means_the_cpu(host):
    host.answers(outcome(memory=None))
    assert host.start().returncode == 0
    assert "--cpu" in host.args
    assert host.report["warnings"][0]["key"] == "no-cuda"


def test_two_cards_and_none_named_is_the_choice_of_cuda(host):
    host.driver(cards=(UUID, "GPU-second"))
    assert host.start().returncode == 0
    assert host.report["gpu_uuid"] == UUID
    assert host.calls[0].startswith(" ")


def test_a_card_named_by_its_number_is_the_one_at_that_place_on_the_bus(host):
    host.driver(cards=(UUID, "GPU-second"))
    host.env["CUDA_VISIBLE_DEVICES"] = "1"
    assert host.start().returncode == 0
    assert host.report["gpu_uuid"] == "GPU-second"
    assert host.calls[0].startswith("1 ")


# ---- node packs


def test_packs_are_linked_from_lines_or_from_a_file(host):
    one, two = host.pack("One"), host.pack("Two")
    listed = host.folder / "packs"
    listed.write_text(f"# packs\nOne={one}\n\nTwo={two}\n")
    for given in (listed, listed.read_text()):
        assert host.start(NODE_PACKS=given).returncode == 0
        assert (host.base / "custom_nodes/One").readlink() == one
        assert (host.base / "custom_nodes/Two").readlink() == two
        assert {each["state"] for each in host.report["packs"]} == {"linked"}


def test_a_link_follows_its_pack_and_goes_with_it(host):
    assert (
        host.start(NODE_PACKS=f"Pack={host.pack('old')}\nGone={host.pack('gone')}").returncode == 0
    )
    assert host.start(NODE_PACKS=f"Pack={host.pack('new')}").returncode == 0
    assert (host.base / "custom_nodes/Pack").readlink() == host.folder / "store/new"
    assert not (host.base / "custom_nodes/Gone").is_symlink()


def test_what_a_person_put_there_stays_even_under_a_name_of_ours(host):
    nodes = host.base / "custom_nodes"
    (nodes / "Pack").mkdir(parents=True)
    (nodes / "Pack/mine.py").write_text("mine")
    (nodes / "extra").symlink_to(host.folder)
    (nodes / "broken").symlink_to(host.folder / "nowhere")
    done = host.start(NODE_PACKS=f"Pack={host.pack('Pack')}\nbroken={host.pack('broken')}")
    assert done.returncode == 0
    assert (nodes / "Pack/mine.py").read_text() == "mine"
    assert (nodes / "extra").is_symlink()
    assert (nodes / "broken").readlink() == host.folder / "nowhere"
    assert [each["state"] for each in host.report["packs"]] == ["yours", "yours"]
    assert f"{nodes}/Pack is not ours" in done.stdout
    assert host.start().returncode == 0
    assert (nodes / "Pack/mine.py").exists()


def test_a_link_that_a_person_turned_elsewhere_is_theirs_from_then_on(host):
    packs = f"Pack={host.pack('Pack')}"
    host.start(NODE_PACKS=packs)
    link = host.base / "custom_nodes/Pack"
    link.unlink()
    link.symlink_to(host.folder)
    assert host.start(NODE_PACKS=packs).returncode == 0
    assert link.readlink() == host.folder
    assert host.start().returncode == 0  # the pack is no longer wanted
    assert link.readlink() == host.folder


@pytest.mark.parametrize("still", [True, False], ids=["wanted", "unwanted"])
@pytest.mark.parametrize("cut", [0, 1, 2])
def test_a_start_that_was_killed_between_record_and_link_leaves_nothing(host, cut, still):
    """The record's line is written before its link; here it is left as a kill would leave it."""
    host.start(NODE_PACKS=f"Pack={host.pack('old')}")
    record, link = host.base / ".zoetrope-links", host.base / "custom_nodes/Pack"
    new = host.pack("new")
    with record.open("a") as lines:
        lines.write(f"{link}\t{new}\n")
    if cut > 0:
        (link.parent / "Pack.zoetrope-part").symlink_to(new)
    if cut > 1:
        (link.parent / "Pack.zoetrope-part").rename(link)
    if still:
        assert host.start(NODE_PACKS=f"Pack={new}").returncode == 0
        assert link.readlink() == new
        assert host.report["packs"] == [{"name": "Pack", "state": "linked"}]
        assert [each.name for each in link.parent.iterdir()] == ["Pack"]
    assert host.start().returncode == 0
    assert list(link.parent.iterdir()) == []


def test_killed_at_any_moment_the_next_start_puts_all_links_right(host, kills, kill_seed):
    chance = random.Random(kill_seed)
    nodes = host.base / "custom_nodes"
    (nodes / "A").mkdir(parents=True)
    (nodes / "A/mine.py").write_text("mine")
    (nodes / "own").symlink_to("/nowhere")
    versions = {name: (host.pack(f"{name}1"), host.pack(f"{name}2")) for name in "ABCDEF"}
    began = time.monotonic()
    assert host.start().returncode == 0
    usual = time.monotonic() - began  # of one start, on this machine
    for _ in range(kills):
        names = chance.sample("ABCDEF", chance.randint(0, 6))
        wanted = {name: chance.choice(versions[name]) for name in names}
        packs = "\n".join(f"{name}={path}" for name, path in wanted.items())
        env = {**host.env, "ZOETROPE_NODE_PACKS": packs}
        process = subprocess.Popen(
            [SCRIPT], env=env, stdout=subprocess.DEVNULL, start_new_session=True
        )
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(chance.random() * usual)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    assert host.start(NODE_PACKS=packs).returncode == 0
    assert (nodes / "A/mine.py").read_text() == "mine"
    found = {each.name: str(each.readlink()) for each in nodes.iterdir() if each.is_symlink()}
    ours = {name: str(path) for name, path in wanted.items() if name != "A"}
    assert found == {**ours, "own": "/nowhere"}


def test_a_missing_pack_is_named_and_the_others_are_linked(host):
    done = host.start(NODE_PACKS=f"Gone={host.folder}/gone\nPack={host.pack('Pack')}")
    assert done.returncode == 0
    assert [each["state"] for each in host.report["packs"]] == ["missing", "linked"]
    assert "The node pack Gone is missing" in done.stdout


@pytest.mark.parametrize("line", ["no path", "../x=/tmp", "a b=/tmp"])
def test_a_pack_with_a_name_that_is_none_is_a_wrong_setting(host, line):
    done = host.start(NODE_PACKS=line)
    assert done.returncode == 2
    assert line in done.stdout


# ---- models


def test_whole_models_are_linked_and_only_those(host):
    host.model("vae/whole.safetensors", 5)
    host.model("loras/half.safetensors", 3, wanted=7, recipes="lightning,loop")
    host.model("loras/none.safetensors", None, wanted=9)
    host.model("loras/any.safetensors", 4, wanted="-")
    done = host.start()
    assert done.returncode == 0
    links = host.base / "models"
    assert (links / "vae/whole.safetensors").read_bytes() == b"x" * 5
    assert sorted(each.name for each in links.rglob("*") if each.is_symlink()) == [
        "any.safetensors",
        "whole.safetensors",
    ]
    models = {each["file"]: each for each in host.report["models"]}
    assert models["half.safetensors"] == {
        "folder": "loras",
        "file": "half.safetensors",
        "state": "wrong-size",
        "bytes": 7,
        "found": 3,
        "recipes": ["lightning", "loop"],
    }
    assert models["none.safetensors"]["state"] == "missing"
    assert "wrong size: loras/half.safetensors: 3 of 7 bytes (for lightning, loop)" in done.stdout
    assert "missing: loras/none.safetensors (for wan22-i2v-hero)" in done.stdout


def test_of_several_folders_the_first_with_the_whole_file_counts(host):
    host.model("vae/a.safetensors", 3, wanted=5)
    own = host.folder / "own"
    (own / "vae").mkdir(parents=True)
    (own / "vae/a.safetensors").write_bytes(b"x" * 5)
    assert host.start(MODELS=f"{host.models}:{own}").returncode == 0
    assert (host.base / "models/vae/a.safetensors").readlink() == own / "vae/a.safetensors"
    assert host.report["models"][0]["state"] == "ok"
    (own / "vae/a.safetensors").unlink()
    assert host.start(MODELS=f"{host.models}:{own}").returncode == 0
    assert (host.report["models"][0]["state"], host.report["models"][0]["found"]) == (
        "wrong-size",
        3,
    )


@pytest.mark.parametrize("name", ["../secret/key", "vae/../../secret", "/etc/passwd"])
def test_a_model_outside_the_models_folder_is_a_wrong_setting(host, name):
    folder, _, file = name.rpartition("/")
    host.list.write_text(f"{folder}\t{file}\t-\tx\n")
    done = host.start()
    assert done.returncode == 2
    assert "outside the models' folder" in done.stdout


def test_rife_finds_its_file_beside_its_code_where_that_can_be_written(host):
    host.model("rife/rife49.pth", 10)
    host.model("vae/small.safetensors", 10)
    pack = host.pack("ComfyUI-Frame-Interpolation")
    done = host.start(NODE_PACKS=f"{pack.name}={pack}")
    assert done.returncode == 0, done.stderr
    link = host.base / "custom_nodes" / pack.name / "ckpts/rife/rife49.pth"
    assert link.readlink() == host.models / "rife/rife49.pth"
    assert (host.base / "models/rife/rife49.pth").is_symlink()
    assert not list(pack.rglob("small.safetensors"))
    (host.models / "rife/rife49.pth").write_bytes(b"half")
    host.start(NODE_PACKS=f"{pack.name}={pack}")
    assert not link.is_symlink(), "half a file is not for use"


def test_a_model_that_shrank_is_unlinked(host):
    host.model("vae/a.safetensors", 5)
    host.start()
    (host.models / "vae/a.safetensors").write_bytes(b"x")
    assert host.start().returncode == 0
    assert not (host.base / "models/vae/a.safetensors").is_symlink()


@pytest.mark.parametrize("how", ["word", "variable"])
def test_where_models_are_required_a_missing_one_is_a_failure_that_names_it(host, how):
    host.model("vae/there.safetensors", 5)
    host.model("loras/gone.safetensors", None, wanted=9, recipes="lightning")
    words, settings = (["--require-models"], {}) if how == "word" else ([], {"REQUIRE_MODELS": 1})
    done = host.start(*words, **settings)
    assert done.returncode == 5
    assert "loras/gone.safetensors (for lightning)" in host.report["problem"]["sentence"]
    assert "there.safetensors" not in host.report["problem"]["sentence"]
    assert "zoetrope models" in host.report["problem"]["next_step"]
    assert host.calls == []


# ---- the self-test


def test_a_result_is_kept_until_driver_card_packages_wish_or_extent_change(host):
    host.driver(cards=(UUID, "GPU-second"))
    host.start(GPU=UUID)
    host.start(GPU=UUID)
    assert len(host.calls) == 1
    host.start(GPU="GPU-second")
    assert len(host.calls) == 2
    host.start(GPU=UUID, ATTENTION="sage")
    host.start(GPU=UUID, SELFTEST="quick")
    assert "--wish sage" in host.calls[2]
    assert "--quick" in host.calls[3]
    (host.fake / "packages").write_text("python 3.12.3, torch 2.12.0\n")
    host.start(GPU=UUID)
    assert len(host.calls) == 5
    host.driver(loaded="590.1", library="590.1")
    host.start(GPU=UUID)
    assert len(host.calls) == 6
    assert host.report["driver"] == "590.1"


def under(host, profile):
    """Have the helper say which profile is in force."""
    file = host.root / "run/zoetrope-gpu" / UUID
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"{profile}\n")


def test_under_a_profile_the_kernels_are_tried_again_at_every_start(host):
    host.driver()
    host.start()
    assert host.report["profile"] == ""
    under(host, "baseline")
    for number in (2, 3):
        host.start()
        assert len(host.calls) == number
        assert "--quick" in host.calls[-1]
    assert (host.report["profile"], host.report["mismatch"]) == ("baseline", [])
    assert host.report["chosen"] == "sageattn"


def test_a_kernel_that_is_right_at_stock_and_wrong_under_a_profile_is_told(host):
    host.driver()
    host.start()
    under(host, "bold")
    host.answers(outcome(kernels=[SDPA, kernel("sageattn", reason="cosine 0.1 is below 0.99")]))
    done = host.start()
    (found,) = host.report["mismatch"]
    assert (found["name"], found["reason"]) == ("sageattn", "cosine 0.1 is below 0.99")
    # The flags follow the result at stock, to which the helper puts the card back.
    assert host.report["chosen"] == "sageattn"
    assert "profile bold: sageattn: cosine 0.1" in done.stdout


def test_a_kernel_that_is_refused_at_stock_too_blames_no_profile(host):
    host.driver()
    refused = outcome(kernels=[SDPA, kernel("sageattn", reason="wrong")], chosen="sdpa")
    host.answers(refused)
    host.start()
    under(host, "bold")
    host.start()
    assert host.report["mismatch"] == []


def test_a_self_test_that_breaks_under_a_profile_is_told(host):
    host.driver()
    host.start()
    under(host, "bold")
    host.answers(None, code=134)
    host.start()
    assert "exit code 134" in host.report["mismatch"][0]["reason"]


def test_a_first_result_under_a_profile_is_not_kept_as_the_one_at_stock(host):
    host.driver()
    under(host, "bold")
    host.start()
    (host.root / "run/zoetrope-gpu" / UUID).unlink()
    host.start()
    assert len(host.calls) == 2


def test_a_result_that_may_change_is_not_kept(host):
    host.answers(outcome(settled=False))
    host.start()
    host.start()
    assert len(host.calls) == 2


def test_a_fall_back_is_published_with_its_reason(host):
    why = "sage was wished, but sageattn was refused: no kernel image"
    broken = kernel("sageattn", "--use-sage-attention", reason="no kernel image")
    host.answers(outcome(chosen="sdpa", flag=SDPA["flag"], fell_back=why, kernels=[SDPA, broken]))
    done = host.start(ATTENTION="sage")
    assert done.returncode == 0
    assert host.report["fell_back"] == why
    assert why in done.stdout
    assert "refused  sageattn: no kernel image" in done.stdout


def test_when_no_kernel_is_right_comfyui_is_not_started(host):
    broken = kernel("sdpa", SDPA["flag"], reason="the result holds NaN")
    host.answers(outcome(chosen="", flag="", kernels=[broken], settled=False), code=1)
    done = host.start()
    assert done.returncode == 6
    assert host.report["problem"]["key"] == "kernels"
    assert "refused  sdpa: the result holds NaN" in done.stdout
    assert not (host.run / "0.env").exists()


def test_a_self_test_without_a_report_is_a_failure_with_its_code(host):
    host.answers(None, code=3)
    done = host.start()
    assert done.returncode == 6
    assert "ended with exit code 3" in done.stdout


# ---- flags


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


# ---- wrong settings


@pytest.mark.parametrize(
    ("name", "value"),
    [("ATTENTION", "sagee"), ("MEMORY", "12"), ("PREVIEWS", "yes"), ("SELFTEST", "never")],
)
def test_a_word_that_is_not_allowed_is_refused_with_those_that_are(host, name, value):
    done = host.start(**{name: value})
    assert done.returncode == 2
    assert f"ZOETROPE_{name} is '{value}'; allowed is one of:" in done.stdout
    assert host.report["problem"]["key"] == "setting"  # not the last good start's report
    assert host.report["flags"] == []


@pytest.mark.parametrize(
    "name", ["INSTANCE", "PYTHON", "COMFYUI", "BASE", "RUN", "CACHE", "MODELS"]
)
def test_what_must_be_told_and_is_not_is_named(host, name):
    del host.env[f"ZOETROPE_{name}"]
    done = host.start()
    assert done.returncode == 2
    assert f"ZOETROPE_{name} is not set." in done.stderr
    assert "next: " in done.stderr


@pytest.mark.parametrize("name", ["PYTHON", "COMFYUI", "MODEL_LIST"])
def test_a_path_that_leads_nowhere_is_named(host, name):
    done = host.start(**{name: host.folder / "nowhere"})
    assert done.returncode == 2
    assert f"{host.folder}/nowhere" in done.stdout + done.stderr


@pytest.mark.parametrize("name", ["RUN", "BASE", "CACHE"])
def test_a_folder_that_cannot_be_written_is_named_with_who_tried(host, name):
    (host.folder / "file").touch()
    done = host.start(**{name: host.folder / "file/below"})
    assert done.returncode == 7
    assert f"{host.folder}/file/below cannot be written by" in done.stdout + done.stderr


def test_an_unknown_word_is_refused(host):
    done = host.start("--prepar")
    assert done.returncode == 2
    assert "--prepar" in done.stderr


def test_the_help_names_every_variable_that_is_read(host):
    told = host.start("--help").stdout
    for name in set(re.findall(r"ZOETROPE_[A-Z_]+[A-Z]", SCRIPT.read_text())):
        assert name in told, name
    for code in range(9):
        assert f"{code} " in told.partition("Exit codes:")[2]


@pytest.mark.system("shellcheck")
def test_the_checker_of_shell_scripts_has_nothing_to_say():
    done = subprocess.run(["shellcheck", SCRIPT], capture_output=True, text=True, check=False)
    assert done.stdout == ""
    assert done.returncode == 0
