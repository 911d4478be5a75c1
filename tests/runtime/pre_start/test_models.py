"""How pre-start.sh links models that are whole."""

import os

import pytest


def test_whole_models_are_linked_and_only_those(host):
    host.model("vae/whole.safetensors", 5)
    host.model("loras/half.safetensors", 3, wanted=7, recipes="lightning,loop")
    host.model("loras/none.safetensors", None, wanted=9)
    host.model("loras/any.safetensors", 4, wanted="-")
    done = host.start()
    assert done.returncode == 0
    links = host.base / "models"
    assert (links / "vae/whole.safetensors").read_bytes() == b"x" * 5
    assert sorted(each.name for each in links.rglob("*") if each.is_symlink()) == [
        "any.safetensors",
        "whole.safetensors",
    ]
    models = {each["file"]: each for each in host.report["models"]}
    assert models["half.safetensors"] == {
        "folder": "loras",
        "file": "half.safetensors",
        "state": "wrong-size",
        "bytes": 7,
        "found": 3,
        "recipes": ["lightning", "loop"],
    }
    assert models["none.safetensors"]["state"] == "missing"
    assert "wrong size: loras/half.safetensors: 3 of 7 bytes (for lightning, loop)" in done.stdout
    assert "missing: loras/none.safetensors (for wan22-i2v-hero)" in done.stdout


def test_of_several_folders_the_first_with_the_whole_file_counts(host):
    host.model("vae/a.safetensors", 3, wanted=5)
    own = host.folder / "own"
    (own / "vae").mkdir(parents=True)
    (own / "vae/a.safetensors").write_bytes(b"x" * 5)
    assert host.start(MODELS=f"{host.models}:{own}").returncode == 0
    assert (host.base / "models/vae/a.safetensors").readlink() == own / "vae/a.safetensors"
    assert host.report["models"][0]["state"] == "ok"
    (own / "vae/a.safetensors").unlink()
    assert host.start(MODELS=f"{host.models}:{own}").returncode == 0
    assert (host.report["models"][0]["state"], host.report["models"][0]["found"]) == (
        "wrong-size",
        3,
    )


def test_a_folder_of_models_that_is_not_there_is_named(host):
    away = host.folder / "away"
    assert host.start(MODELS=f"{host.models}:{away}").returncode == 0
    (warning,) = host.report["warnings"]
    assert warning["key"] == "models-folder"
    assert warning["sentence"] == f"The models' folder {away} is not there."
    away.mkdir()
    assert host.start(MODELS=f"{host.models}:{away}").returncode == 0
    assert host.report["warnings"] == []


def test_a_whole_model_that_cannot_be_read_is_named_and_another_s_is_used(host):
    """Some programs write models that their owner alone may read; ComfyUI would call them missing, in the job."""
    host.model("vae/a.safetensors", 5)
    closed = host.models / "vae/a.safetensors"
    closed.chmod(0)
    # To root without its privileges a file without permissions is closed like one of another user.
    dropped = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]
    asked = dropped if os.geteuid() == 0 else []
    done = host.start(before=asked)
    assert done.returncode == 0, done.stderr
    assert host.report["models"][0]["state"] == "unreadable"
    assert "unreadable: vae/a.safetensors (for wan22-i2v-hero)" in done.stdout
    (warning,) = host.report["warnings"]
    assert (warning["key"], str(closed) in warning["sentence"]) == ("models-closed", True)
    assert not (host.base / "models/vae/a.safetensors").is_symlink()
    assert host.start("--require-models", before=asked).returncode == 5
    own = host.folder / "own"
    (own / "vae").mkdir(parents=True)
    (own / "vae/a.safetensors").write_bytes(b"x" * 5)
    assert host.start(MODELS=f"{host.models}:{own}", before=asked).returncode == 0
    assert (host.base / "models/vae/a.safetensors").readlink() == own / "vae/a.safetensors"
    assert host.report["warnings"] == []


@pytest.mark.parametrize("name", ["../secret/key", "vae/../../secret", "/etc/passwd"])
def test_a_model_outside_the_models_folder_is_a_wrong_setting(host, name):
    folder, _, file = name.rpartition("/")
    host.list.write_text(f"{folder}\t{file}\t-\tx\n")
    done = host.start()
    assert done.returncode == 2
    assert "outside of the models' folder" in done.stdout


def test_rife_finds_its_file_beside_its_code_where_that_can_be_written(host):
    host.model("rife/rife49.pth", 10)
    host.model("vae/small.safetensors", 10)
    pack = host.pack("ComfyUI-Frame-Interpolation")
    done = host.start(NODE_PACKS=f"{pack.name}={pack}")
    assert done.returncode == 0, done.stderr
    link = host.base / "custom_nodes" / pack.name / "ckpts/rife/rife49.pth"
    assert link.readlink() == host.models / "rife/rife49.pth"
    assert (host.base / "models/rife/rife49.pth").is_symlink()
    assert not list(pack.rglob("small.safetensors"))
    (host.models / "rife/rife49.pth").write_bytes(b"half")
    host.start(NODE_PACKS=f"{pack.name}={pack}")
    assert not link.is_symlink(), "half a file is not for use"


def test_a_model_that_shrank_is_unlinked(host):
    host.model("vae/a.safetensors", 5)
    host.start()
    (host.models / "vae/a.safetensors").write_bytes(b"x")
    assert host.start().returncode == 0
    assert not (host.base / "models/vae/a.safetensors").is_symlink()


@pytest.mark.parametrize("how", ["word", "variable"])
def test_where_models_are_required_a_missing_one_is_a_failure_that_names_it(host, how):
    host.model("vae/there.safetensors", 5)
    host.model("loras/gone.safetensors", None, wanted=9, recipes="lightning")
    words, settings = (["--require-models"], {}) if how == "word" else ([], {"REQUIRE_MODELS": 1})
    done = host.start(*words, **settings)
    assert done.returncode == 5
    assert "loras/gone.safetensors (for lightning)" in host.report["problem"]["sentence"]
    assert "there.safetensors" not in host.report["problem"]["sentence"]
    assert "zoetrope models" in host.report["problem"]["next_step"]
    assert host.calls == []
