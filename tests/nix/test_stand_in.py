"""The stand-in against the real lib, where one is at hand: ZOETROPE_NIXPKGS_LIB=…/lib."""

import os

import pytest

from tests.nix.render import ROOT, NixError, host
from tests.nix.test_module import SENTENCES

pytestmark = [pytest.mark.system("nix-instantiate"), pytest.mark.nixpkgs]

EXAMPLES = sorted(path.name for path in (ROOT / "examples").glob("*.nix"))


@pytest.fixture
def real() -> str:
    return os.environ["ZOETROPE_NIXPKGS_LIB"]


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_is_the_same_host_with_the_real_lib(example, real):
    assert host(f"examples/{example}") == host(f"examples/{example}", lib=real)


@pytest.mark.parametrize("text", [text for text, _ in SENTENCES])
def test_a_contradiction_is_the_same_with_the_real_lib(text, real):
    extra = f"{{ services.zoetrope = {{ enable = true; {text} }}; }}"
    assert host(extra=extra)["failed"] == host(extra=extra, lib=real)["failed"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("inbx = 1;", "does not exist"),
        ("memory = 12;", "is not of type"),
        ('gpus."0".port = 70000;', "is not of type"),
        ("settings.inbox.path = x: x;", "is not of type"),
    ],
)
def test_a_mistake_is_one_with_the_real_lib_too(text, words, real):
    extra = f"{{ services.zoetrope = {{ enable = true; {text} }}; }}"
    for lib in (None, real):
        with pytest.raises(NixError, match=words):
            host(extra=extra, lib=lib)
