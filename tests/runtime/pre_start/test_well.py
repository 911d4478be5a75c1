"""pre-start.sh on a good machine: what it writes, and that a second run changes nothing."""

from tests.runtime.pre_start.conftest import DRIVER, UUID


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


def test_the_report_may_be_read_by_the_services_user(host):
    assert host.start().returncode == 0
    assert (host.run / "0.json").stat().st_mode & 0o777 == 0o644
