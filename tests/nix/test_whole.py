"""What the run over a whole package set asks of it, and what it writes, with the stand-in as that set."""

import pytest

from tests.conftest import needed
from tests.nix.render import CONFIG, ROOT, NixError
from tests.nix.test_built import EXAMPLES, PINS, lines, named
from tests.nix.test_units import GOLDEN
from tests.nix.whole import Record, Whole

pytestmark = pytest.mark.system("nix-build")

# What `import` takes, as nixpkgs is taken.
SET = f"""
{{ system, config, overlays }}:
let
  lib = import {ROOT}/tests/nix/lib.nix;
  stand-in = import {ROOT}/tests/nix/pkgs.nix {{ inherit lib; }};
  base = stand-in // {{
    stdenv =
      assert config.allowUnfreePredicate {{ pname = "torch"; }};
      assert !config.allowUnfreePredicate {{ pname = "other"; }};
      stand-in.stdenv;
  }};
  pkgs = lib.foldl' (set: overlay: set // overlay pkgs set) base overlays;
in
pkgs
"""


@pytest.fixture
def record(tmp_path):
    record = Record(tmp_path / "record")
    yield record
    record.close()


@pytest.fixture
def whole(record, tmp_path, monkeypatch):
    (tmp_path / "set").mkdir()
    (tmp_path / "set/default.nix").write_text(SET)
    (tmp_path / "sources/gguf").mkdir(parents=True)
    (tmp_path / "sources/gguf/__init__.py").touch()
    for name in ("ZOETROPE_NIXPKGS_LIB", "ZOETROPE_NIXPKGS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NIX_CONFIG", CONFIG)
    monkeypatch.setenv("ZOETROPE_NIXPKGS", str(tmp_path / "set"))
    monkeypatch.setenv("ZOETROPE_SOURCES", str(tmp_path / "sources"))
    monkeypatch.setenv("ZOETROPE_WITHOUT", "flash-attn sageattention")
    return Whole(record)


def test_a_host_is_evaluated_with_its_own_packages_and_has_the_units_agreed(whole):
    for example in EXAMPLES:
        facts = whole.ask("facts", f"examples/{example}.nix")
        assert (facts["failed"], facts["warnings"]) == ([], [])
        for file in (GOLDEN / example).rglob("*.service"):
            unit = str(file.relative_to(GOLDEN / example))
            assert lines(unit, named(facts["units"][unit])) == lines(unit, file.read_text())
    (derivation,) = whole.instantiate("closure", "examples/minimal.nix")
    assert derivation.endswith("-host.drv")


def test_what_is_injected_and_left_out_is_named_and_reaches_only_what_is_built(whole):
    assert whole.injected() == ["gguf"]
    assert whole.without == ["flash-attn", "sageattention"]
    extra = "{ services.zoetrope.enable = true; }"
    default, built = (whole.ask("facts", extra=extra, default=d)["units"] for d in (True, False))
    unit = "zoetrope-comfyui@.service"
    assert default[unit] != built[unit]
    assert named(default[unit]) == named(built[unit])
    wheels = whole.instantiate("fetched", default=False)
    of_index = {name for name, pin in PINS["wheels"].items() if pin["source"] == "PyPI"}
    assert len(wheels) == len(of_index - set(whole.without))
    packages = whole.instantiate("wheels", default=False)
    assert any("cuda-wheels" in path for path in packages)
    kernels = ("flash-attn", "sageattention")
    assert not any(name in path for path in packages for name in kernels)
    assert len(whole.instantiate("wheels")) == len(packages) + len(kernels)


def test_what_nix_says_of_a_failure_is_in_it_and_in_a_file(whole, record):
    with pytest.raises(NixError, match="nothing"):
        whole.build("nothing")
    assert "nothing" in (record.folder / "build-nothing.nix.log").read_text()


def test_a_record_has_each_step_as_it_ends_and_a_summary(tmp_path):
    record = Record(tmp_path)
    with record.step("one") as step:
        step.said = "2 wheels"
    with pytest.raises(KeyError), record.step("two"):
        raise KeyError
    first, second = (tmp_path / "log.txt").read_text().splitlines()
    assert first.startswith("passed one: 2 wheels: ")
    assert second.startswith("FAILED two: after ")
    record.close()
    assert (
        (tmp_path / "log.txt").read_text().splitlines()[-1].startswith("1 steps passed, 1 failed")
    )


def test_versions_are_no_part_of_a_name():
    path = "/nix/store/0123456789abcdfghijklmnpqrsvwxyz-"
    for given, wanted in (
        ("comfyui-0.33.3/bin/comfyui", "comfyui/bin/comfyui"),
        ("zoetrope-pre-start-1/bin/x", "zoetrope-pre-start/bin/x"),
        ("glibc-locales-2.42-51/lib", "glibcLocales/lib"),
        ("X-Restart-Triggers-zoetrope", "X-Restart-Triggers-zoetrope"),
        ("zoetrope.toml", "zoetrope.toml"),
        ("zoetrope-model-paths.yaml $X -1", "zoetrope-model-paths.yaml $X -1"),
    ):
        assert named(path + given) == f"/nix/store/{wanted}"


def test_a_marker_may_name_another_variable_than_its_usual_one(request):
    class Item:
        def __init__(self, *marks):
            self.marks = {mark.name: mark for mark in marks}

        def get_closest_marker(self, name):
            return self.marks.get(name)

    marks = pytest.mark
    assert needed(Item(marks.nixpkgs.mark)) == ["ZOETROPE_NIXPKGS_LIB"]
    assert needed(Item(marks.nixpkgs("ZOETROPE_NIXPKGS").mark)) == ["ZOETROPE_NIXPKGS"]
    assert needed(Item(marks.gpu.mark, marks.torch.mark)) == [
        "ZOETROPE_GPU",
        "ZOETROPE_TORCH_PYTHON",
    ]
    assert needed(Item()) == []
