"""Drivers and GPUs that pre-start.sh finds, or does not."""

import subprocess
import time

import pytest

from tests.runtime.pre_start.conftest import DRIVER, SCRIPT, SDPA, UUID, outcome


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
    assert "user-space libraries were not found" in done.stdout


def test_without_a_gpu_comfyui_runs_on_the_cpu_and_it_is_said(host):
    host.driver(loaded="", library="", cards=())
    host.answers(outcome(memory=None, card="no CUDA device", chosen="sdpa", flag=SDPA["flag"]))
    done = host.start()
    assert done.returncode == 0
    assert host.args == "--cpu --use-pytorch-cross-attention --preview-method none"
    assert host.report["mode"] == "cpu"
    assert [each["key"] for each in host.report["warnings"]] == ["no-card"]
    assert "There is no NVIDIA GPU" in done.stdout


def test_where_a_gpu_is_expected_the_cpu_is_no_answer(host):
    host.driver(loaded="", library="", cards=())
    done = host.start(DEVICE="gpu", WAIT=0)
    assert done.returncode == 4
    assert "the kernel module is not loaded" in done.stdout
    assert "ZOETROPE_DEVICE=cpu" in done.stdout
    host.driver()
    host.answers(outcome(memory=None))
    done = host.start(DEVICE="gpu")
    assert done.returncode == 4
    assert "torch does not see the GPU." in done.stdout
    assert not (host.run / "0.env").exists()


@pytest.mark.parametrize("asked", [{"DEVICE": "gpu"}, {"GPU": UUID}])
def test_a_driver_that_is_late_is_waited_for_and_then_the_unit_starts_anew(host, asked):
    host.driver(loaded="", library="", cards=())
    began = host.begin(**asked)
    # What it waits for is there to be read meanwhile.
    while not (host.run / "0.json").exists():
        assert began.poll() is None
        time.sleep(0.02)
    assert "not loaded yet: ComfyUI waits for it, 300 seconds" in host.report["problem"]["sentence"]
    host.driver()
    said, _ = began.communicate(timeout=60)
    # The unit's list of devices is older than the driver's: this very start would see no GPU.
    assert began.returncode == 9
    assert "ComfyUI starts anew" in said
    assert host.start(**asked).returncode == 0


def test_on_the_cpu_because_it_was_asked_for_no_gpu_is_used(host):
    host.answers(outcome(memory=None, card="no CUDA device", chosen="sdpa", flag=SDPA["flag"]))
    host.env["CUDA_VISIBLE_DEVICES"] = "0"
    assert host.start(DEVICE="cpu").returncode == 0
    assert host.args.startswith("--cpu ")
    assert (host.report["mode"], host.report["warnings"]) == ("cpu", [])
    assert host.calls[0].startswith(" "), "the self-test sees none either"


def test_before_a_restart_it_can_be_asked_whether_the_libraries_fit(host):
    def asked():
        done = subprocess.run(
            [SCRIPT, "--driver"],
            env={"PATH": host.env["PATH"], "ZOETROPE_ROOT": str(host.root)},
            capture_output=True,
            text=True,
        )
        assert done.stderr == ""
        return done.returncode, done.stdout

    assert asked() == (0, "")
    host.driver(loaded="575.64.03")
    said = "Reboot needed: the kernel has NVIDIA driver 575.64.03 loaded, but the libraries are 580.95.05."
    assert asked() == (3, said)
    host.driver(loaded="", library="", cards=())
    assert asked() == (0, "")
    host.driver(library="")
    assert asked() == (0, "")


def test_a_named_gpu_without_a_driver_is_a_failure(host):
    host.driver(loaded="", library="", cards=())
    done = host.start(GPU=UUID, WAIT=0)
    assert done.returncode == 4
    assert "the NVIDIA kernel module is not loaded" in done.stdout


def test_a_named_gpu_that_is_gone_is_a_failure_that_names_those_that_are_there(host):
    done = host.start(GPU="GPU-other")
    assert done.returncode == 4
    assert f"GPU-other is not in this machine; found: {UUID}." in done.stdout


def test_a_card_that_nobody_opened_yet_has_no_number_and_is_given_a_chance(host):
    host.driver(cards=("GPU-????????-????-????-????-????????????",))
    assert host.start(GPU=UUID).returncode == 0


def test_a_named_gpu_that_torch_does_not_see_is_a_failure(host):
    host.answers(outcome(memory=None))
    done = host.start(GPU=UUID)
    assert done.returncode == 4
    assert "torch does not see the GPU" in done.stdout
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
