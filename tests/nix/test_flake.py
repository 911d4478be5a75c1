"""The flake: every file parses, every output is there, and the lock says what pins.json says."""

import json
import shutil
import subprocess

import pytest

from tests.nix.render import ROOT, nix

pytestmark = pytest.mark.system("nix-instantiate")


def files(*patterns: str) -> list[str]:
    """List what belongs to the checkout, also before it is committed."""
    words = ["git", "ls-files", "-co", "--exclude-standard", *patterns]
    listed = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    return sorted(line for line in listed.stdout.splitlines() if (ROOT / line).exists())


FILES = files("*.nix")
PINS = json.loads((ROOT / "nix" / "pins.json").read_text())

# What `import nixpkgs` and `nixpkgs.lib` are, for an evaluation without nixpkgs.
STAND_IN = """{
  outputs = _: { lib = import ./lib.nix; };
}
"""


@pytest.mark.parametrize("file", FILES)
def test_a_file_parses(file):
    nix("nix-instantiate", "--parse", file)


@pytest.fixture(scope="module")
def flake(tmp_path_factory):
    """The checkout as a flake whose nixpkgs is the stand-in."""
    # A copy without what git ignores: Nix copies the whole folder into its store.
    checkout = tmp_path_factory.mktemp("checkout")
    for name in files():
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, checkout / name)
    nixpkgs = tmp_path_factory.mktemp("nixpkgs")
    for name in ("customisation.nix", "lib.nix", "pkgs.nix"):
        (nixpkgs / name).write_text((ROOT / "tests" / "nix" / name).read_text())
    (nixpkgs / "flake.nix").write_text(STAND_IN)
    (nixpkgs / "default.nix").write_text(
        "{ system, config ? { } }: import ./pkgs.nix { lib = import ./lib.nix; }\n"
    )

    def evaluate(output: str, apply: str = "x: x"):
        return json.loads(
            nix(
                *("nix", "eval", "--json", "--offline", "--no-write-lock-file"),
                *("--override-input", "nixpkgs", f"path:{nixpkgs}"),
                *(f"path:{checkout}#{output}", "--apply", apply),
            )
        )

    return evaluate


def test_the_flake_offers_packages(flake):
    packs = {f"node-pack-{name}" for name in PINS["sources"] if name != "comfyui"}
    own = {"default", "zoetrope", "comfyui", "pre-start", "torch", "sageattention", "flash-attn"}
    assert set(flake("packages.x86_64-linux", "builtins.attrNames")) == packs | own


def test_every_package_is_one_that_can_be_built(flake):
    drv = 'p: if (p.type or "") == "derivation" then p.drvPath else "no derivation"'
    found = flake("packages.x86_64-linux", f"builtins.mapAttrs (_: {drv})")
    assert [name for name, path in found.items() if not path.endswith(".drv")] == []


@pytest.mark.parametrize("output", ["checks", "devShells", "formatter"])
def test_what_is_built_beside_the_packages_is_a_derivation_too(flake, output):
    kind = 'p: p.type or "no derivation"'
    one = output == "formatter"
    apply = f"s: map ({kind}) ({'[ s ]' if one else 'builtins.attrValues s'})"
    assert set(flake(f"{output}.x86_64-linux", apply)) == {"derivation"}


@pytest.mark.parametrize(
    ("output", "apply"),
    [
        ("devShells.x86_64-linux.default", "p: p.outPath"),
        ("formatter.x86_64-linux", "p: p.outPath"),
        ("checks.x86_64-linux.vm", "p: p.outPath"),
        ("overlays.default", "o: builtins.attrNames (o { } { })"),
        ("nixosModules.default", "m: toString m"),
        ("apps.x86_64-linux.default", "a: a.type + a.program"),
        ("apps.x86_64-linux.prove", "a: a.type + a.program"),
        ("apps.x86_64-linux.bump", "a: a.type + a.program"),
        ("templates.host", "t: toString t.path"),
    ],
)
def test_an_output_evaluates(flake, output, apply):
    assert flake(output, apply)


def test_every_file_in_checks_is_a_check(flake):
    files = {path.stem for path in (ROOT / "nix" / "checks").glob("*.nix")}
    assert set(flake("checks.x86_64-linux", "builtins.attrNames")) == files


def test_the_lock_says_what_the_pins_say():
    locked = json.loads((ROOT / "flake.lock").read_text())["nodes"]["nixpkgs"]["locked"]
    pin = PINS["nixpkgs"]
    assert {key: locked[key] for key in ("rev", "narHash", "lastModified")} == {
        key: pin[key] for key in ("rev", "narHash", "lastModified")
    }


def test_unfree_packages_are_named_one_by_one():
    allows = (
        f"let p = import {ROOT}/nix/unfree.nix {{ lib = import {ROOT}/tests/nix/lib.nix; }}; in "
    )
    for name, fine in (("cuda-wheels", "true"), ("torch", "true"), ("steam", "false")):
        expression = allows + f'p {{ pname = "{name}"; }}'
        assert nix("nix-instantiate", "--eval", "--expr", expression).strip() == fine
