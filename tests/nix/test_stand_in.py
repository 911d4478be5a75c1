"""The stand-in against the real lib, where one is at hand: ZOETROPE_NIXPKGS_LIB=…/lib."""

import json
import os

import pytest

from tests.nix.render import ROOT, NixError, host, nix
from tests.nix.test_assertions import SENTENCES

pytestmark = pytest.mark.system("nix-instantiate")

STAND_IN = str(ROOT / "tests" / "nix" / "lib.nix")
EXAMPLES = sorted(path.name for path in (ROOT / "examples").glob("*.nix"))


@pytest.fixture
def real() -> str:
    return os.environ["ZOETROPE_NIXPKGS_LIB"]


def evaluate(file: str, lib: str, *words: str):
    command = ("nix-instantiate", "--eval", "--strict", "--json", ROOT / "tests" / "nix" / file)
    return json.loads(nix(*command, *words, "--arg", "lib", f"import {lib}"))


def test_whatever_a_file_returns_can_be_overridden():
    """What agreed with the real lib stays so where none is at hand."""
    found = evaluate("overriding.nix", STAND_IN)
    assert set(found["set"]) == {"x", "y", "override", "overrideDerivation"}
    assert set(found["function"]["attributes"]) == {"__functor", "__functionArgs", "override"}
    assert set(found["arguing"]["arguments"]) == {"w", "z"}
    assert {"override", "overrideDerivation"} < set(found["plain"]["attributes"])
    assert {"override", "overrideAttrs"} < set(found["full"]["attributes"])
    assert set(found["several"]) == {"one", "two"}
    assert "override" in found["several"]["one"]["attributes"]
    assert (found["set-again"]["y"], found["called"], found["function-again"]) == (9, 7, 36)
    assert {"callPackage", "newScope", "overrideScope", "packages"} < set(found["scope"])


def test_definitions_are_merged_in_the_order_and_with_the_errors_of_nixos():
    """Each was another answer of the stand-in once; null is an error."""
    found = evaluate("merging.nix", STAND_IN)
    assert {name: found[name] for name in MERGED} == MERGED


MERGED = {
    # What a later module says comes first; what one module says stays in its order.
    "lists": [3, 2, 1],
    "lists-merge": [3, 1, 2, 4],
    "lists-same-order": [4, 3, 2, 1],
    "lists-two-forces": [2, 1],
    "lines": "b\nd\na\nc",
    "functions": [2, 1],
    "null-or-list": [2, 1],
    "one-of-lists": ["b", "a"],
    # Imports after those that import them, as they lie.
    "modules-import": {"a": [1, 3, 2]},
    # Conditions lie around priorities, priorities around orders, and never the other way.
    "lists-if-ordered": None,
    "lists-ordered-force": None,
    "words-force-if": None,
    "words-nested-force": None,
    # Lists of no declared type are not joined.
    "anything-lists": None,
    "anything-list-in-set": None,
    # Lists and sets are empty where nobody says anything.
    "lists-no-definition": [],
    "lists-nothing-holds": [],
    "lists-of-conditions": [1, 3],
    "nothing-said": [[], {}, *[None] * 7, {"a": 1}, {}],
    "people-function": {"ada": {"groups": ["ada"], "home": "/home/ada", "name": "ada"}},
    "modules-apply": {"a": 2},
    "in-the-store": None,
    "all-but-in-the-store": "/nix/store/x",
    "padded": False,
    "fixed": {"a": 1, "b": 2},
}


@pytest.mark.nixpkgs
def test_options_are_merged_the_same_with_the_real_lib(real):
    assert evaluate("merging.nix", STAND_IN) == evaluate("merging.nix", real)


@pytest.mark.nixpkgs
def test_package_functions_return_the_same_with_the_real_lib(real):
    assert evaluate("overriding.nix", STAND_IN) == evaluate("overriding.nix", real)


@pytest.mark.nixpkgs
def test_a_missing_argument_stops_with_the_real_lib_too(real):
    for lib in (STAND_IN, real):
        with pytest.raises(NixError, match='called without required argument "x"'):
            nix(
                *("nix-instantiate", "--eval", "--expr"),
                f"(import {lib}).callPackageWith {{ y = 1; }} ({{ x, y }}: x) {{ }}",
            )


@pytest.mark.nixpkgs
@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_has_the_same_packages_with_the_real_lib(example, real):
    file = f"examples/{example}"
    assert host(file, fakes=False) == host(file, lib=real, fakes=False)


@pytest.mark.nixpkgs
@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_is_the_same_host_with_the_real_lib(example, real):
    assert host(f"examples/{example}") == host(f"examples/{example}", lib=real)


@pytest.mark.nixpkgs
@pytest.mark.parametrize("text", [text for text, _ in SENTENCES])
def test_a_contradiction_is_the_same_with_the_real_lib(text, real):
    extra = f"{{ services.zoetrope = {{ enable = true; {text} }}; }}"
    assert host(extra=extra)["failed"] == host(extra=extra, lib=real)["failed"]


@pytest.mark.nixpkgs
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


@pytest.mark.parametrize(
    "text", ['users.ada.shel = "x";', "users.ada.extraGroup = [ ];", "groups.ada.member = [ ];"]
)
def test_a_user_or_group_has_the_options_that_nixos_knows_and_no_other(text):
    with pytest.raises(NixError, match="does not exist"):
        host(extra=f"{{ users = {{ {text} }}; }}")


@pytest.mark.parametrize("name", ["a:b", "a\\nb", "a" * 32])
def test_a_user_has_a_name_that_fits_into_its_line(name):
    with pytest.raises(NixError, match="is not of type"):
        host(extra=f'{{ users.users.x = {{ isNormalUser = true; name = "{name}"; }}; }}')


@pytest.mark.parametrize("name", ["network", "a b.service", "x.services"])
def test_what_a_unit_waits_for_has_the_name_of_a_unit(name):
    with pytest.raises(NixError, match="is not of type"):
        host(extra=f'{{ systemd.services.x.after = [ "{name}" ]; }}')


def test_a_user_is_either_the_system_s_or_a_person_and_has_a_group():
    def failed(text):
        return host(extra=f"{{ services.zoetrope.enable = true; users.users = {{ {text} }}; }}")[
            "failed"
        ]

    assert failed('ada.isNormalUser = true; ben = { isSystemUser = true; group = "video"; };') == []
    (missing,) = failed('ben = { isSystemUser = true; group = "ben"; };')
    assert missing.endswith("have a primary group that is undefined: ben")
    (neither,) = failed('ada.group = "users";')
    assert neither.startswith("Exactly one of users.users.ada.isSystemUser")
    (groupless,) = failed("ada.isSystemUser = true;")
    assert groupless.startswith("users.users.ada.group is unset")
    assert failed("ada = { enable = false; };") == []


def test_units_and_rules_are_written_as_nixos_writes_them():
    """What a real host's texts had and ours had not: a file of triggers, quotes, and the two variables of all services."""
    found = host("examples/minimal.nix")
    unit = found["units"]["zoetrope.service"].splitlines()
    names = {
        line.partition("=")[2].strip('"').partition("=")[0]
        for line in unit
        if "nvironment=" in line
    }
    assert {"PATH", "TZDIR", "LOCALE_ARCHIVE"} <= names
    triggers = [line for line in unit if line.startswith("X-")]
    assert [len(line.split()) for line in triggers] == [1, 1]
    link = '"/run/a b"."L+".argument = "/x y\\\\z"'
    text = host(extra=f"{{ systemd.tmpfiles.settings.odd.{link}; }}")["tmpfiles"]["odd"]
    assert text == "'L+' '/run/a b' '-' '-' '-' '-' /x\\x20y\\x5cz\n"
