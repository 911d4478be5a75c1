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
