"""The pins: every wheel's hash is the index's, and Nix' own fetcher takes no other."""

import base64
import json
import os
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.nix import index
from tests.nix.render import ROOT, NixError, nix

sys.path.insert(0, str(ROOT / "nix"))
import lock

PINS = json.loads((ROOT / "nix" / "pins.json").read_text())
WHEELS = {name: wheel for name, wheel in PINS["wheels"].items() if wheel["source"] == "PyPI"}
SMALL = ("trampoline", "annotated-doc", "typing-inspection", "mdurl")


def hexadecimal(hash_: str) -> str:
    return base64.b64decode(hash_.removeprefix("sha256-")).hex()


def links(names) -> index.Links:
    """Ask the index, or say that nobody can."""
    shares = [share for part in range(4) if (share := list(names)[part::4])]
    with ThreadPoolExecutor(len(shares)) as pool:  # it is the index that is waited for
        told = pool.map(index.ask, shares)
        found = {name: each for part in told for name, each in part.items()}
    if not found:
        sentence = "the package index cannot be reached"
        if os.environ.get("ZOETROPE_REQUIRE_SYSTEM"):
            pytest.fail(sentence)
        pytest.skip(sentence)
    return found


@pytest.mark.parametrize("kind", ["sources", "wheels"])
def test_every_pin_says_what_it_rests_on(kind):
    for name, pin in PINS[kind].items():
        assert pin["basis"].startswith(("computed", "index", "published")), name
        assert len(base64.b64decode(pin["hash"].removeprefix("sha256-"))) == 32, name


def test_every_wheel_has_the_hash_that_the_index_names():
    found = links(WHEELS)
    wrong = {
        name: told
        for name, wheel in WHEELS.items()
        for told in [found.get(name, {}).get(wheel["file"], [])]
        if f"sha256={hexadecimal(wheel['hash'])}" not in {hash_ for _, hash_ in told}
    }
    assert wrong == {}


@pytest.mark.system("nix-build")
def test_nix_fetches_a_wheel_by_its_own_route_and_takes_no_other():
    found = links(SMALL)
    name, address = next(
        (name, url)
        for name in SMALL
        for url, _ in found[name][WHEELS[name]["file"]]
        if url.startswith("http")
    )
    right = WHEELS[name]["hash"]
    digit = "A" if right[10] != "A" else "B"
    wrong = right[:10] + digit + right[11:]
    # The product's own function, with the address of this machine's index in the place of nixpkgs' form of it.
    fetch = f"""
      {{ hash }}:
      let
        lib = import {ROOT}/tests/nix/lib.nix;
        pin = (builtins.fromJSON (builtins.readFile {ROOT}/nix/pins.json)).wheels.{name};
        fetchPypi = given: import <nix/fetchurl.nix> {{
          url = "{address}";
          inherit (given) hash;
          name = with given; "${{pname}}-${{version}}-${{python}}-${{abi}}-${{platform}}.whl";
        }};
        fetchWheel = import {ROOT}/nix/packages/fetch-wheel.nix {{
          inherit lib fetchPypi;
          fetchurl = throw "the index is not GitHub";
          wheelTags = import {ROOT}/nix/wheel-tags.nix;
        }};
      in
      fetchWheel (pin // {{ inherit hash; }})
    """
    command = ("nix-build", "--no-out-link", "-E", fetch, "--argstr", "hash")
    path = lock.Path(nix(*command, right).strip())
    assert lock.sri(lock.hash_of(path)) == right
    assert path.name.endswith(f"-{WHEELS[name]['file']}")
    with zipfile.ZipFile(path) as wheel:
        assert wheel.testzip() is None
    with pytest.raises(NixError, match="hash mismatch"):
        nix(*command, wrong)


def test_the_needs_of_each_pack_are_met_by_the_lock():
    assert set(PINS["needs"]) <= set(PINS["sources"]) | {"kernels"}
    for need in lock.wanted(PINS):
        requirement = lock.Requirement(need)
        wheel = WHEELS[lock.canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(wheel["version"]), need


def test_only_what_an_environment_asks_for_is_required():
    metadata = {
        "name": "a",
        "requires_dist": [
            "b>=1",
            "c ; platform_system == 'Windows'",
            "d ; python_version < '3.10'",
            "e ; extra == 'fast'",
            "f[fast]",
        ],
    }
    assert lock.requires(metadata, "3.12", {}) == ["b", "f"]
    assert lock.requires(metadata, "3.12", {"a": {"fast"}}) == ["b", "e", "f"]


def test_pip_is_at_hand_though_the_environment_of_the_checkout_has_none():
    lock.pip("--version")


def test_what_is_kept_is_what_the_index_brought():
    pinned = {
        "needs": {"x": ["a"]},
        "wheels": {"a": {"version": "1.0", "source": "PyPI"}, "k": {"source": "GitHub"}},
    }
    assert lock.constraints(pinned) == ["a==1.0"]


def test_what_a_need_no_longer_admits_moves_with_what_only_it_depends_on():
    wheels = {
        "page": ("1.0", ["page-core", "common"]),
        "page-core": ("1.0", ["page-media"]),
        "page-media": ("1.0", []),
        "common": ("1.0", []),
        "other": ("1.0", ["common"]),
    }
    pinned = {
        "needs": {"x": ["page==2.0", "other>=1.0"]},
        "wheels": {
            name: {"version": version, "source": "PyPI", "requires": requires}
            for name, (version, requires) in wheels.items()
        },
    }
    assert lock.constraints(pinned) == ["common==1.0", "other==1.0"]


def test_a_hash_rests_on_what_it_rested_on_while_its_file_is_the_same():
    before = {
        "a": {"file": "a-1.whl", "hash": "h", "basis": "computed = index"},
        "b": {"file": "b-1.whl", "hash": "h", "basis": "computed = index"},
    }
    found = {
        "a": {"file": "a-1.whl", "hash": "h", "basis": "index"},
        "b": {"file": "b-2.whl", "hash": "i", "basis": "index"},
        "c": {"file": "c-1.whl", "hash": "j", "basis": "index"},
    }
    after = lock.settled(found, before)
    assert {name: entry["basis"] for name, entry in after.items()} == {
        "a": "computed = index",
        "b": "index",
        "c": "index",
    }


def test_a_hash_is_written_the_way_nix_writes_it():
    assert lock.sri("0" * 64) == "sha256-" + base64.b64encode(bytes(32)).decode()
