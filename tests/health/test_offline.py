import getpass

from zoetrope.errors import Reason
from zoetrope.health.offline import offline
from zoetrope.health.service import ServiceCheck
from zoetrope.health.settings import SettingsCheck

DOWN = Reason("service-down", "No zoetrope answers.", "Start it.")


async def test_a_service_that_is_down_is_failing_with_what_to_do_and_who_looked():
    verdict = await ServiceCheck(DOWN).look()
    assert (verdict.level, verdict.next_step) == ("failing", "Start it.")
    assert verdict.found.startswith("No zoetrope answers. ")
    assert getpass.getuser() in verdict.found


async def test_settings_that_can_be_read_are_ok_with_their_file(tmp_path):
    file = tmp_path / "zoetrope.toml"
    file.write_text("jobs.retries = 1\n")
    check = SettingsCheck(file)
    assert check.settings.jobs.retries == 1
    assert (await check.look()).found == f"{file} is valid."


async def test_no_settings_file_means_the_defaults():
    check = SettingsCheck(None)
    assert check.settings is not None
    assert (await check.look()).level == "ok"


async def test_a_settings_file_that_is_not_there_is_failing(tmp_path):
    report = await offline(DOWN, tmp_path / "gone.toml").report()
    assert [(check.name, check.level) for check in report.checks] == [
        ("service", "failing"),
        ("settings", "failing"),
    ]
