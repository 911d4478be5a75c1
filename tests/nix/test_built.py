"""All of it evaluated, built and started over a whole package set: see tests/nix/whole.py for what it needs.

It takes half an hour and 15 GB, and writes `build/built/log.txt`.
"""

import json
import os
import re
import shutil
import subprocess

import pytest
from PIL import Image

from tests.nix.render import ROOT
from tests.nix.test_units import GOLDEN, plain
from tests.nix.whole import Record, Whole
from tests.systemd.machine import Machine

pytestmark = [pytest.mark.nixpkgs("ZOETROPE_NIXPKGS"), pytest.mark.system("nix-build")]

PINS = json.loads((ROOT / "nix" / "pins.json").read_text())
EXAMPLES = sorted(path.stem for path in (ROOT / "examples").glob("*.nix"))
PACKS = sorted(set(PINS["sources"]) - {"comfyui"})
# In the shape of the shipped ones, whose verification finds the noise that random weights leave.
RECIPE = ROOT / "tests" / "recipes" / "tiny"
PATIENCE = 900.0
# What ComfyUI's own package adds to its unit, or names by other paths; the fakes of the golden units have little of it.
OF_THE_PACKAGE = re.compile(
    r'Environment="(CC|CXX|LD_LIBRARY_PATH|TRITON_\w+|ZOETROPE_MIN_DRIVER|ZOETROPE_PYTHON)='
)


@pytest.fixture(scope="module")
def record():
    record = Record(ROOT / "build" / "built")
    yield record
    record.close()


@pytest.fixture(scope="module")
def whole(record):
    whole = Whole(record)
    record.say(f"toolchain below: {json.dumps(whole.ask('toolchain'), sort_keys=True)}")
    for name in whole.injected():
        record.say(
            f"injected, not fetched: the source tree of {name}, in the place of {PINS['sources'][name]['version']}"
        )
    for name in whole.without:
        record.say(f"left out, as it cannot be fetched: {name}")
    return whole


def named(text: str) -> str:
    """Take versions out of the names in the store: the stand-in's have none, and some packages have other names there."""
    text = re.sub(
        r"(/nix/store/[A-Za-z][\w.+]*?(?:-[A-Za-z][\w.+]*)*)-\d[\w.+-]*", r"\1", plain(text)
    )
    return text.replace("/nix/store/glibc-locales", "/nix/store/glibcLocales")


def lines(unit: str, text: str) -> list[str]:
    of_comfyui = unit == "zoetrope-comfyui@.service"
    return [
        line
        for line in text.rstrip().splitlines()
        if not (of_comfyui and OF_THE_PACKAGE.match(line))
    ]


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_evaluates_with_the_packages_that_a_host_gets(whole, record, example):
    with record.step(f"evaluate examples/{example}.nix") as step:
        file = f"examples/{example}.nix"
        facts = whole.ask("facts", file)
        assert (facts["failed"], facts["warnings"]) == ([], [])
        (step.said,) = whole.instantiate("closure", file)


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_units_of_an_example_are_those_agreed(whole, record, example):
    with record.step(f"units of {example}") as step:
        facts = whole.ask("facts", f"examples/{example}.nix")
        found = facts["units"] | {f"{k}.tmpfiles": v for k, v in facts["tmpfiles"].items()}
        found["polkit.rules"] = facts["polkit"]
        folder = GOLDEN / example
        agreed = {str(f.relative_to(folder)): f for f in folder.rglob("*") if f.is_file()}
        assert sorted(found) == sorted(agreed)
        for name, file in agreed.items():
            assert lines(name, named(found[name])) == lines(name, file.read_text()), name
        step.said = f"{len(agreed)} files"


def test_every_wheel_of_the_index_is_fetched_by_its_own_route(whole, record):
    with record.step("fetch the wheels") as step:
        wheels = whole.build("fetched")
        size = sum(wheel.stat().st_size for wheel in wheels)
        step.said = f"{len(wheels)} wheels, {size / 1e9:.2f} GB"
    of_index = {name for name, pin in PINS["wheels"].items() if pin["source"] == "PyPI"}
    assert len(wheels) == len(of_index - set(whole.without))


def test_every_package_of_the_runtime_is_built(whole, record):
    with record.step("build the runtime's packages") as step:
        step.said = f"{len(whole.build('wheels'))} packages"


@pytest.mark.parametrize("pack", PACKS)
def test_a_node_pack_is_built(whole, record, pack):
    with record.step(f"build the node pack {pack}"):
        (built,) = whole.build(f"nodePacks.{pack}")
        assert list(built.glob("*.py"))


@pytest.mark.parametrize("name", ["comfyui", "pre-start", "zoetrope"])
def test_a_program_is_built(whole, record, name):
    with record.step(f"build {name}") as step:
        (built,) = whole.build(name)
        assert list((built / "bin").iterdir())
        step.said = str(built)


@pytest.fixture
def tiny(whole, record, tmp_path):
    """Models of random weights, made by the ComfyUI that was built, and the node that makes its text encoder small."""
    (comfyui,), (python,) = whole.build("comfyui"), whole.build("comfyui.pythonEnv")
    copy = tmp_path / "comfyui"
    shutil.copytree(comfyui / "share" / "comfyui", copy)
    subprocess.run(["chmod", "-R", "u+w", str(copy)], check=True)
    with record.step("make tiny models with ComfyUI's own Python"):
        script = ROOT / "tests" / "comfyui" / "tiny" / "make.py"
        subprocess.run(
            [str(python / "bin" / "python3"), str(script), str(copy)],
            check=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
    return copy


@pytest.mark.system("debootstrap", "systemd-nspawn", "curl")
def test_a_picture_becomes_a_video_on_what_was_built(whole, record, tiny, tmp_path):
    if os.geteuid() != 0:
        pytest.skip("needs root, to boot a system in a container")
    extra = f"""{{
      services.zoetrope = {{
        enable = true;
        inbox.group = "users";
        recipes = [ "tiny" ];
        extraRecipes.tiny = {RECIPE};
        models.recipes = [ ];
        models.extraDirectories = [ "/srv/models" ];
        extraNodePacks.tiny_text_encoder = {tiny}/custom_nodes/tiny_text_encoder;
        gpus."0".cpu = true;
        comfyui.environment.OMP_NUM_THREADS = "1";
        settings.jobs.review = false;
      }};
    }}"""
    with record.step("build a host that runs on the CPU"):
        facts = whole.ask("facts", extra=extra, default=False)
        whole.build("closure", extra=extra)
    machine = Machine(tmp_path / "machine", found=facts)
    shutil.copytree(tiny / "models", machine.srv / "models", symlinks=True)
    # Whoever writes a model with safetensors is the only one to read it.
    subprocess.run(["chmod", "-R", "a+rX", str(machine.srv / "models")], check=True)

    def up():
        state = machine.show("zoetrope-comfyui@0", "ActiveState")
        assert state != "failed", machine.journal("zoetrope-comfyui@0")[-4000:]
        return "engine gpu-0 is up" in machine.systemctl("status", "zoetrope")

    try:
        with record.step("start the service and ComfyUI under their units"):
            machine.boot()
            machine.until(lambda: machine.get("/healthz")[0] == 200, "the page", PATIENCE)
            machine.until(up, "ComfyUI", PATIENCE)
        with record.step("a picture becomes a verified video") as step:
            picture = Image.effect_noise((256, 256), 60).convert("RGB")
            picture.save(machine.srv / "cat.png")
            (machine.srv / "cat.toml").write_text("frames = 9\n")
            for name in ("cat.toml", "cat.png"):
                (machine.srv / name).chmod(0o644)
                done = machine.run(
                    "cp", f"/srv/{name}", f"/srv/zoetrope/inbox/{name}", user="person"
                )
                assert done.returncode == 0, done.stderr
            ended = ("done", "failed", "rejected", "cancelled")
            machine.until(
                lambda: [job for job in machine.jobs() if job["state"] in ended],
                "its end",
                PATIENCE,
            )
            (job,) = machine.jobs()
            assert job["state"] == "done", f"{job}\n{machine.journal('zoetrope-comfyui@0')[-4000:]}"
            (video,) = (machine.srv / "zoetrope/outbox").glob("[!.]*/*.mp4")
            receipt = json.loads((video.parent / "receipt.json").read_text())
            attempt = receipt["stages"][0]["attempts"][-1]
            assert receipt["plan"]["frames"] == 9
            step.said = f"{video.stat().st_size} bytes, by ComfyUI {attempt.get('version')}"
    finally:
        for unit in ("zoetrope", "zoetrope-comfyui@0"):
            (record.folder / f"{unit}.journal").write_text(machine.journal(unit))
        machine.cut()
