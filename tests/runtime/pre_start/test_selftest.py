"""When pre-start.sh runs the self-test, what it keeps of it, and what it says of it."""

from tests.runtime.pre_start.conftest import SDPA, UUID, kernel, outcome


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
    assert "code 134" in host.report["mismatch"][0]["reason"]


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
    why = "sage was requested, but sageattn was rejected: no kernel image"
    broken = kernel("sageattn", "--use-sage-attention", reason="no kernel image")
    host.answers(outcome(chosen="sdpa", flag=SDPA["flag"], fell_back=why, kernels=[SDPA, broken]))
    done = host.start(ATTENTION="sage")
    assert done.returncode == 0
    assert host.report["fell_back"] == why
    assert why in done.stdout
    assert "rejected sageattn: no kernel image" in done.stdout


def test_when_no_kernel_is_right_comfyui_is_not_started(host):
    broken = kernel("sdpa", SDPA["flag"], reason="the result contains NaN")
    host.answers(outcome(chosen="", flag="", kernels=[broken], settled=False), code=1)
    done = host.start()
    assert done.returncode == 6
    assert host.report["problem"]["key"] == "kernels"
    assert "rejected sdpa: the result contains NaN" in done.stdout
    assert not (host.run / "0.env").exists()


def test_a_self_test_without_a_report_is_a_failure_with_its_code(host):
    host.answers(None, code=3)
    done = host.start()
    assert done.returncode == 6
    assert "exited with code 3" in done.stdout
