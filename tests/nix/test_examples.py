"""Every example is a host that would be built, and README shows one of them."""

import re
import tomllib
from pathlib import Path

import pytest

from tests.nix.render import ROOT, NixError, build, host
from zoetrope import settings

EXAMPLES = sorted((ROOT / "examples").glob("*.nix"))
TEMPLATE = ROOT / "nix" / "template" / "configuration.nix"


def relative(file) -> str:
    return str(file.relative_to(ROOT))


@pytest.mark.system("nix-instantiate")
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda p: p.stem)
def test_an_example_is_sound(example):
    found = host(relative(example))
    assert (found["failed"], found["warnings"]) == ([], [])


@pytest.mark.system("nix-instantiate")
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda p: p.stem)
def test_an_example_is_sound_with_the_packages_that_a_host_gets(example):
    found = host(relative(example), fakes=False)
    assert (found["failed"], found["warnings"]) == ([], [])
    unit = found["units"]["zoetrope-comfyui@.service"]
    for package in ("comfyui", "zoetrope-pre-start", "zoetrope-node-packs"):
        assert re.search(rf"/nix/store/\w+-{package}", unit), package


@pytest.mark.system("nix-instantiate")
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda p: p.stem)
def test_the_service_accepts_the_settings_of_an_example(example):
    # The build runs `zoetrope serve --check`, as the host's own build does.
    (file,) = build(relative(example), part="settingsFile")
    text = Path(file).read_text()
    assert tomllib.loads(text) == host(relative(example))["settings"]
    assert settings.parse(text, file).engines


@pytest.mark.system("nix-instantiate")
def test_a_wrong_setting_fails_the_build_in_words():
    wrong = "{ services.zoetrope = { enable = true; settings.inbox.setle_seconds = 1; }; }"
    with pytest.raises(NixError) as caught:
        build(extra=wrong, part="settingsFile")
    assert "inbox.setle_seconds: unknown key; did you mean `settle_seconds`?" in str(caught.value)


def test_readme_shows_the_minimal_host():
    blocks = re.findall(r"```nix\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    example = (ROOT / "examples" / "minimal.nix").read_text()
    shown = example.partition("\n")[2]
    assert shown in blocks
    assert len(shown.splitlines()) <= 20


def test_the_template_is_the_minimal_host_on_its_machine():
    def lines(file):
        return {line for line in file.read_text().splitlines() if not line.strip().startswith("#")}

    machine = "  imports = [ ./hardware-configuration.nix ];"
    assert lines(TEMPLATE) - {machine} == lines(ROOT / "examples" / "minimal.nix")


def test_the_page_about_nixos_names_each_example():
    page = (ROOT / "docs" / "nixos.md").read_text()
    for example in EXAMPLES:
        assert f"examples/{example.name}" in page
