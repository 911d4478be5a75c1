"""What pre-start.sh says of settings that cannot be."""

import re
import subprocess

import pytest

from tests.runtime.pre_start.conftest import SCRIPT


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
