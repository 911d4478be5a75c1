"""What the pinned sources ask of Python, in their own words, and whether the pinned wheels are that."""

import json
import tomllib
from collections import defaultdict

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.nix.render import ROOT

PINS = json.loads((ROOT / "nix" / "pins.json").read_text())
RECORD = tomllib.loads((ROOT / "tests" / "nix" / "requirements.toml").read_text())
SOURCES = sorted(RECORD["sources"])
INSTEAD = {name: entry["name"] for entry in RECORD["instead"] for name in entry["of"]}
# What the kernels decide: `needs` has these once, with one version for all.
KERNELS = {canonicalize_name(Requirement(need).name) for need in PINS["needs"]["kernels"]}


def asked(lines: list[str]) -> dict[str, SpecifierSet]:
    """Bring all that is said of a distribution together, under the name of the one that is installed."""
    found: dict[str, SpecifierSet] = defaultdict(SpecifierSet)
    for line in lines:
        requirement = Requirement(line)
        assert requirement.marker is None, line
        name = canonicalize_name(requirement.name)
        found[INSTEAD.get(name, name)] &= requirement.specifier
    return dict(found)


def upstream(source: str) -> dict[str, SpecifierSet]:
    return asked([line for file in RECORD["sources"][source]["files"].values() for line in file])


def raised(source: str) -> list[str]:
    """Bounds that upstream should have said."""
    return [entry["need"] for entry in RECORD["raised"] if entry["source"] == source]


def left_out(source: str) -> set[str]:
    entries = [entry for entry in RECORD["left_out"] if entry["source"] == source]
    return {name for entry in entries for name in entry["names"]}


def test_the_record_is_of_the_pinned_revisions():
    """After a bump: read the requirement files of the new revision into requirements.toml."""
    recorded = {source: entry["rev"] for source, entry in RECORD["sources"].items()}
    assert recorded == {source: pin["rev"] for source, pin in PINS["sources"].items()}


@pytest.mark.parametrize("source", SOURCES)
def test_the_pinned_wheels_satisfy_what_a_source_asks_for(source):
    lacking = {
        name: str(specifier)
        for name, specifier in upstream(source).items()
        if name not in left_out(source)
        and (
            name not in PINS["wheels"]
            or not specifier.contains(PINS["wheels"][name]["version"], prereleases=True)
        )
    }
    assert lacking == {}


@pytest.mark.parametrize("source", SOURCES)
def test_the_needs_say_what_upstream_says(source):
    """No bound is older than upstream's, nothing is lacking, and nothing is there that nobody asks for."""
    wanted = {n: s for n, s in upstream(source).items() if n not in left_out(source) | KERNELS}
    wanted |= asked(raised(source))
    assert asked(PINS["needs"][source]) == wanted


def test_what_is_left_out_is_asked_for_and_has_a_reason():
    for entry in RECORD["left_out"]:
        assert len(entry["reason"].split()) > 5
        for name in entry["names"]:
            assert name in upstream(entry["source"]), "nobody asks for it: the entry is stale"
            assert name not in PINS["wheels"], "it is pinned: the entry is stale"


def test_a_raised_bound_is_above_upstreams_and_has_a_reason():
    for entry in RECORD["raised"]:
        assert len(entry["reason"].split()) > 5
        ((name, bound),) = asked([entry["need"]]).items()
        (lowest,) = bound
        lower = upstream(entry["source"])[name]
        assert lower.contains(lowest.version), "upstream admits no such version"
        (theirs,) = lower
        assert Version(lowest.version) > Version(theirs.version), "upstream says it: stale"


def test_no_two_wheels_bring_the_same_package():
    for entry in RECORD["instead"]:
        assert entry["name"] in PINS["wheels"]
        assert not set(entry["of"]) & set(PINS["wheels"])
