"""The packages, evaluated with an imitation of nixpkgs: what would be fetched, built and linked."""

import json
from fnmatch import fnmatch

import pytest

from tests.nix import libraries
from tests.nix.render import ROOT, NixError, nix

pytestmark = pytest.mark.system("nix-instantiate")

PINS = json.loads((ROOT / "nix" / "pins.json").read_text())
SCOPE = f"""
let
  lib = import {ROOT}/tests/nix/lib.nix;
  pkgs = import {ROOT}/tests/nix/pkgs.nix {{ inherit lib; }};
  scope = import {ROOT}/nix/packages {{ inherit pkgs; }};
  wheel = name: scope.python.pkgs.${{name}}.arguments;
  names = map (p: p.arguments.pname);
in
"""


def evaluate(expression: str):
    return json.loads(
        nix("nix-instantiate", "--eval", "--strict", "--json", "--expr", SCOPE + expression)
    )


def nix_list(names) -> str:
    return "[ " + " ".join(json.dumps(name) for name in sorted(names)) + " ]"


def test_every_index_wheel_is_asked_for_by_the_name_of_its_file():
    asked = evaluate(
        "lib.mapAttrs (_: w: { inherit (w) source; }"
        ' // (if w.source == "PyPI" then { f = (scope.fetchWheel w).arguments; } else { })) scope.pins.wheels'
    )
    for name, wheel in PINS["wheels"].items():
        if wheel["source"] == "PyPI":
            found = asked[name]["f"]
            file = "{pname}-{version}-{python}-{abi}-{platform}.whl".format(**found)
            assert (file, found["hash"]) == (wheel["file"], wheel["hash"])
            assert (found["format"], found["dist"]) == ("wheel", found["python"])


def test_a_release_wheel_keeps_its_name_and_its_address_is_escaped():
    found = evaluate("(scope.fetchWheel scope.pins.wheels.sageattention).arguments")
    assert found["name"] == PINS["wheels"]["sageattention"]["file"]
    assert found["url"].endswith("/sageattention-latest/" + found["name"].replace("+", "%2B"))


def test_there_is_one_torch_and_all_who_need_it_share_it():
    found = evaluate(
        'map (n: (lib.filter (p: p.arguments.pname == "torch") (wheel n).dependencies)'
        ' == [ scope.torch ]) [ "torchvision" "torchaudio" "sageattention" "flash-attn" "kornia" ]'
    )
    assert found == [True] * 5
    assert evaluate("scope.torch.arguments.version") == PINS["wheels"]["torch"]["version"]


def test_torch_finds_nvidias_libraries_in_one_tree_and_the_driver_elsewhere():
    torch = evaluate(
        '{ a = names (wheel "torch").dependencies; b = (wheel "torch").autoPatchelfIgnoreMissingDeps;'
        ' c = (wheel "torch").appendRunpaths; d = (wheel "torch").preFixup; }'
    )
    assert "cuda-wheels" in torch["a"]
    assert not any(name.startswith("nvidia-") for name in torch["a"])
    assert torch["b"] == ["libcuda.so.1"]
    assert any(path.endswith("/nvidia/cudnn/lib") for path in torch["c"])
    assert "addAutoPatchelfSearchPath" in torch["d"]
    count = sum(name.startswith("nvidia-") for name in PINS["wheels"])
    assert evaluate("lib.length scope.python.pkgs.cuda-wheels.arguments.srcs") == count == 15


def test_every_library_that_a_wheel_needs_is_brought_or_known_to_be_absent():
    """Each other one fails the build: ComfyUI's kernels began to come with a module for AMD's GPUs."""
    record = json.loads(libraries.FILE.read_text())
    wheels = {name: wheel for name, wheel in PINS["wheels"].items() if wheel["source"] == "PyPI"}
    native = {name: w["file"] for name, w in wheels.items() if "-any.whl" not in w["file"]}
    assert set(native.values()) == set(record), "record them: see tests/nix/libraries.py"
    nvidia = {name for name in native if name.startswith("nvidia-")}
    known = evaluate(
        "lib.mapAttrs (name: _: let w = wheel name; in"
        " { absent = w.autoPatchelfIgnoreMissingDeps; places = w.preFixup or name; })"
        f" (lib.genAttrs {nix_list({*native, 'cuda-wheels'} - nvidia)} (x: x))"
    )

    def brought(*names):
        return {library for name in names for library in record[native[name]]["brings"]}

    for name, file in native.items():
        package = known["cuda-wheels" if name in nvidia else name]
        there = {"libgcc_s.so.1", "libstdc++.so.6", "libz.so.1"}
        there |= brought(*nvidia) if "cuda-wheels" in package["places"] else set()
        there |= brought("torch") if "-torch-" in package["places"] else set()
        missing = set(record[file]["needs"]) - there
        assert not {
            library
            for library in missing
            if not any(fnmatch(library, pattern) for pattern in package["absent"])
        }, name


def test_pure_wheels_are_not_patched():
    assert evaluate('(wheel "einops").nativeBuildInputs') == []
    assert len(evaluate('map toString (wheel "numpy").nativeBuildInputs')) == 2


def test_every_need_of_every_wheel_is_pinned():
    for name, wheel in PINS["wheels"].items():
        assert set(wheel["requires"]) <= set(PINS["wheels"]), name


def test_the_runtime_holds_every_wheel():
    found = evaluate("names (scope.python.runtimePackages scope.python.pkgs)")
    expected = {name for name in PINS["wheels"] if not name.startswith("nvidia-")}
    assert sorted(found) == sorted(expected | {"cuda-wheels"})


def test_node_packs_are_packages_alone():
    found = evaluate("lib.mapAttrs (_: lib.isDerivation) scope.nodePacks")
    assert found == {name: True for name in PINS["sources"] if name != "comfyui"}


def test_whatever_the_scope_offers_is_what_its_name_says():
    """`callPackage` adds to sets and makes functors of functions: neither may be taken for a package."""
    found = evaluate(
        "lib.mapAttrs (_: v: if lib.isDerivation v then 1 else if lib.isFunction v then 2 else 3) scope"
    )
    kinds = {kind: {name for name in found if found[name] == kind} for kind in (1, 2, 3)}
    assert kinds[1] == {"flash-attn", "python", "sageattention", "torch", "triton"} | {
        "comfyui",
        "pre-start",
        "zoetrope",
    }
    assert kinds[2] == {"fetchSource", "fetchWheel"} | {
        "callPackage",
        "newScope",
        "overrideScope",
        "packages",
    }
    assert kinds[3] == {"nodePacks", "pins", "wheelTags"}


def test_sources_are_fetched_at_their_pins():
    found = evaluate(
        "lib.mapAttrs (_: p: p.arguments.src.arguments) scope.nodePacks"
        " // { comfyui = scope.comfyui.arguments.src.arguments; }"
    )
    assert set(found) == set(PINS["sources"])
    for name, pin in PINS["sources"].items():
        assert {key: found[name][key] for key in ("owner", "repo", "rev", "hash")} == {
            key: pin[key] for key in ("owner", "repo", "rev", "hash")
        }


def test_a_pack_that_writes_or_downloads_is_mended_or_fails_to_build():
    patches = evaluate("lib.mapAttrs (_: p: p.arguments.postPatch) scope.nodePacks")
    for name in ("frame-interpolation", "res4lyf", "seedvr2", "wan-video-wrapper"):
        assert "--replace-fail" in patches[name]
        assert "--replace " not in patches[name]
    for name in ("frame-interpolation", "seedvr2"):
        assert "nothing is downloaded while jobs run" in patches[name]


def test_another_torch_makes_the_kernels_fail_in_words():
    change = (
        "(scope.overrideScope (final: prev: { pins = lib.recursiveUpdate prev.pins"
        ' { wheels.torch.version = "2.12.0"; }; })).sageattention.arguments.pname'
    )
    with pytest.raises(
        NixError, match=r"built for torch 2\.11, and the one torch here is 2\.12\.0"
    ):
        evaluate(change)


def test_another_cuda_makes_torch_fail_in_words():
    change = (
        '(scope.overrideScope (final: prev: { pins = prev.pins // { cuda = "12.8"; }; }))'
        ".torch.arguments.pname"
    )
    with pytest.raises(NixError, match="torch brings the CUDA runtime 13"):
        evaluate(change)


def test_a_source_is_overridden_in_one_place():
    change = (
        "(scope.overrideScope (final: prev: { pins = lib.recursiveUpdate prev.pins"
        ' { sources.gguf.rev = "abc"; }; })).nodePacks.gguf.arguments.src.arguments.rev'
    )
    assert evaluate(change) == "abc"


def test_comfyui_brings_what_kernels_need_while_they_run():
    found = evaluate("scope.comfyui.environment")
    assert found["TRITON_LIBCUDA_PATH"] == "/run/opengl-driver/lib"
    assert found["TRITON_PTXAS_PATH"].endswith("/triton/backends/nvidia/bin/ptxas")
    assert (found["CC"][-7:], found["CXX"][-8:]) == ("/bin/cc", "/bin/c++")
    assert found["LD_LIBRARY_PATH"].startswith("/run/opengl-driver/lib:")
    assert found["ZOETROPE_MIN_DRIVER"] == PINS["driver"]


def test_two_packages_with_the_same_file_are_a_mistake():
    assert evaluate("scope.comfyui.pythonEnv.arguments.ignoreCollisions") is False


def test_what_cannot_be_compiled_later_is_compiled_when_it_is_built():
    for package in ("scope.comfyui", "scope.nodePacks.gguf"):
        script = evaluate(f"{package}.arguments.installPhase")
        assert "-m compileall -q --invalidation-mode unchecked-hash $out" in script


def test_further_python_packages_come_from_the_set_with_the_pinned_ones():
    found = evaluate(
        "let more = scope.comfyui.override { extraPythonPackages = ps: [ ps.aiohttp ps.torch ]; };"
        " in { libs = names more.pythonEnv.arguments.extraLibs; one = more.python == scope.comfyui.python;"
        ' torch = lib.filter (p: p.arguments.pname == "torch") more.pythonEnv.arguments.extraLibs'
        " == [ scope.torch scope.torch ]; }"
    )
    assert "aiohttp" in found["libs"]
    assert (found["one"], found["torch"]) == (False, True)


def test_comfyui_is_checked_with_its_own_python_before_it_is_installed():
    found = evaluate("{ inherit (scope.comfyui.arguments) doInstallCheck installCheckPhase; }")
    assert found["doInstallCheck"] is True
    (line,) = [line for line in found["installCheckPhase"].splitlines() if "python3" in line]
    python, file, cuda = line.split()
    assert python == evaluate('"${scope.comfyui.pythonEnv}/bin/python3"')
    assert (file.endswith("-install_check.py"), cuda) == (True, PINS["cuda"])


def test_the_service_is_built_from_the_project_file():
    found = evaluate(
        "{ inherit (scope.zoetrope.arguments) pname version; needs = names scope.zoetrope.arguments.dependencies; }"
    )
    assert found["pname"] == "zoetrope"
    assert "aiohttp" in found["needs"]


def test_the_services_source_is_what_the_wheel_is_built_from():
    source = (
        nix(
            "nix-instantiate",
            "--eval",
            "--read-write-mode",
            "--expr",
            SCOPE + "scope.zoetrope.arguments.src",
        )
        .strip()
        .strip('"')
    )
    found = {path.name for path in __import__("pathlib").Path(source).iterdir()}
    assert found == {"LICENSE", "README.md", "pyproject.toml", "service", "workflows"}
