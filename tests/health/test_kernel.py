import msgspec
import pytest

from zoetrope.health.checks.kernel import KernelCheck
from zoetrope.health.standard import standard
from zoetrope.settings import EngineSettings, Restart

GOOD = {
    "schema": 1,
    "gpu_name": "RTX 5090",
    "wished": "auto",
    "chosen": "sageattn",
    "fell_back": "",
    "warnings": [],
    "problem": None,
}


def reason(key):
    return {"key": key, "sentence": f"The sentence of {key}.", "next_step": f"The step of {key}."}


@pytest.fixture
def look(parts, tmp_path):
    """Ask the check about engines whose reports hold these changes; None leaves a report out."""

    async def ask(*reports, pending=None):
        engines = []
        for number, changes in enumerate(reports):
            file = tmp_path / f"{number}.json"
            if changes is not None:
                file.write_bytes(msgspec.json.encode({**GOOD, **changes}))
            unit = Restart(unit=f"zoetrope-comfyui@{number}.service")
            engines.append(
                EngineSettings(name=f"gpu{number}", report=file, restart=unit, pending=pending)
            )
        settings = msgspec.structs.replace(parts.settings, engines=tuple(engines))
        return await KernelCheck(settings).look()

    return ask


async def test_the_kernel_in_use_is_named_for_each_engine(look):
    verdict = await look({}, {"chosen": "flash_attn"})
    assert verdict.level == "ok"
    assert verdict.found == "gpu0 uses sageattn on RTX 5090; gpu1 uses flash_attn on RTX 5090."
    assert verdict.next_step == ""


async def test_another_kernel_than_the_wished_one_is_degraded_with_the_reason(look):
    why = "sage was wished, but sageattn was refused: no kernel image"
    verdict = await look({"fell_back": why, "chosen": "sdpa"})
    assert verdict.level == "degraded"
    assert verdict.found == f"gpu0: {why}; sdpa is in use."
    assert "docs/kernels.md" in verdict.next_step


NO_IMAGE = "RuntimeError: no kernel image is available for execution on the device"


def flash(version):
    return {"name": "flash_attn", "verdict": "refused", "reason": NO_IMAGE, "version": version}


async def test_a_kernel_that_the_self_test_rejected_is_named_with_the_reason(look):
    absent = {"name": "sageattn", "verdict": "absent", "reason": "not installed", "version": None}
    one_of_torch = {"name": "sdpa-flash", "verdict": "refused", "reason": "no back-end"}
    told = {"chosen": "sdpa", "kernels": [flash("2.8.3"), absent, one_of_torch]}
    verdict = await look({**told, "capability": "9.0"})
    assert verdict.level == "ok"
    assert verdict.found == f"gpu0 uses sdpa on RTX 5090; flash_attn was rejected: {NO_IMAGE}."
    # Without a GPU none is expected to work.
    assert "rejected" not in (await look({**told, "mode": "cpu"})).found


@pytest.mark.parametrize(
    ("version", "known"),
    [
        ("2.8.3+cu130torch2.11", True),
        ("2.8.3", True),
        ("2.7.4.post1", True),
        ("2.8.3.post1", False),
        ("2.8.3.post1+cu130torch2.11", False),
        ("2.8.4", False),
        ("2.10.0", False),
        ("unknown", False),
        (None, False),
    ],
)
async def test_flash_attention_that_is_too_old_for_blackwell_is_known_by_its_version(
    look, version, known
):
    report = {"capability": "12.0", "kernels": [flash(version)]}
    hint = "FlashAttention is reported to work from 2.8.3.post1 on"
    assert (hint in (await look(report)).found) is known
    asked = {**report, "wished": "flash", "fell_back": f"flash was requested, but: {NO_IMAGE}"}
    verdict = await look(asked)
    assert verdict.level == "degraded"
    assert (hint in verdict.found) is known


@pytest.mark.parametrize("where", ["problem", "warnings"])
async def test_what_pre_start_complains_of_is_told_in_its_own_words(look, where):
    told = reason("reboot")
    verdict = await look({where: told if where == "problem" else [told]})
    assert verdict.level == "degraded"
    assert verdict.found == "gpu0: The sentence of reboot."
    assert verdict.next_step == "The step of reboot."


async def test_a_restart_that_waits_for_a_reboot_is_said_until_the_note_is_gone(look, tmp_path):
    note = tmp_path / "pending"
    note.write_text('{"sentence": "Reboot needed: 575 and 580.", "next_step": "Reboot."}')
    verdict = await look({}, pending=note)
    assert verdict.level == "degraded"
    assert (verdict.found, verdict.next_step) == ("gpu0: Reboot needed: 575 and 580.", "Reboot.")
    note.write_text("[]")
    assert "is not a note of zoetrope-engines" in (await look({}, pending=note)).found
    note.unlink()
    assert (await look({}, pending=note)).level == "ok"


async def test_a_problem_comes_before_a_fall_back(look):
    verdict = await look({"fell_back": "sage was wished", "problem": reason("reboot")})
    assert "reboot" in verdict.found


async def test_what_a_person_chose_or_another_check_tells_is_no_complaint(look):
    assert (await look({"warnings": [reason("yours"), reason("models")]})).level == "ok"


async def test_a_missing_report_is_degraded_and_leads_to_the_units_journal(look):
    verdict = await look({}, None)
    assert verdict.level == "degraded"
    assert "1.json cannot be read (No such file or directory)." in verdict.found
    assert "gpu0" not in verdict.found
    assert "journalctl -u zoetrope-comfyui@1.service -e" in verdict.next_step


async def test_a_report_without_a_kernel_is_degraded(look):
    verdict = await look({"chosen": ""})
    assert verdict.level == "degraded"
    assert verdict.next_step


async def test_the_check_is_there_only_where_a_report_is_configured(parts, tmp_path):
    def names(settings):
        parts.settings = settings
        return standard(parts).names

    plain = parts.settings
    engine = EngineSettings(name="gpu0", report=tmp_path / "0.json")
    assert "kernel" not in names(plain)
    assert "kernel" in names(msgspec.structs.replace(plain, engines=(engine,)))
