"""How pre-start.sh links node packs, whoever else links there, whenever it is killed."""

import contextlib
import json
import os
import random
import signal
import subprocess
import time
import tomllib

import publish
import pytest

from tests.runtime.pre_start.conftest import ROOT, SCRIPT


def test_packs_are_linked_from_lines_or_from_a_file(host):
    one, two = host.pack("One"), host.pack("Two")
    listed = host.folder / "packs"
    listed.write_text(f"# packs\nOne={one}\n\nTwo={two}\n")
    for given in (listed, listed.read_text()):
        assert host.start(NODE_PACKS=given).returncode == 0
        assert (host.base / "custom_nodes/One").readlink() == one
        assert (host.base / "custom_nodes/Two").readlink() == two
        assert {each["state"] for each in host.report["packs"]} == {"linked"}


def test_the_report_says_which_version_of_a_pack_is_loaded(host):
    pack = host.pack("Pack")
    (pack / "pyproject.toml").write_text(
        '[tool.x]\nversion = "9"\n[project]\nname = "pack"\nversion = "1.2.3"\n[tool.y]\nversion = "8"\n'
    )
    (pack / ".git").mkdir()
    (pack / ".git/HEAD").write_text("a" * 40 + "\n")
    theirs = host.base / "custom_nodes/Mine"
    theirs.mkdir(parents=True)
    (theirs / "__init__.py").touch()
    (theirs / ".git/refs/heads").mkdir(parents=True)
    (theirs / ".git/HEAD").write_text("ref: refs/heads/main\n")
    (theirs / ".git/packed-refs").write_text(f"# pack-refs\n{'b' * 40} refs/heads/main\n")
    host.start(NODE_PACKS=f"Pack={pack}\nMine={host.pack('Mine')}\nBare={host.pack('Bare')}")
    told = {each["name"]: each for each in host.report["packs"]}
    assert told["Pack"] == {
        "name": "Pack",
        "state": "linked",
        "version": "1.2.3",
        "source": f"git {'a' * 40}",
    }
    assert (told["Mine"]["version"], told["Mine"]["source"]) == ("", f"git {'b' * 40}")
    assert (told["Bare"]["version"], told["Bare"]["source"]) == ("", "")


@pytest.mark.parametrize("spoilt", ["link", "binary", "folder"])
def test_a_pack_whose_version_cannot_be_read_is_loaded_all_the_same(host, spoilt):
    pack = host.pack("Pack")
    file = pack / "pyproject.toml"
    if spoilt == "link":
        file.symlink_to("nowhere")
    elif spoilt == "binary":
        file.write_bytes(b"\xff\xfe[project]")
    else:
        file.mkdir()
    (pack / ".git").write_text("gitdir: ../elsewhere")
    assert host.start(NODE_PACKS=f"Pack={pack}").returncode == 0
    (told,) = host.report["packs"]
    assert (told["version"], told["source"]) == ("", "")


def test_a_link_follows_its_pack_and_goes_with_it(host):
    assert (
        host.start(NODE_PACKS=f"Pack={host.pack('old')}\nGone={host.pack('gone')}").returncode == 0
    )
    assert host.start(NODE_PACKS=f"Pack={host.pack('new')}").returncode == 0
    assert (host.base / "custom_nodes/Pack").readlink() == host.folder / "store/new"
    assert not (host.base / "custom_nodes/Gone").is_symlink()


def test_what_a_user_put_there_stays_even_under_a_name_of_ours(host):
    nodes = host.base / "custom_nodes"
    (nodes / "Pack").mkdir(parents=True)
    (nodes / "Pack/mine.py").write_text("mine")
    (nodes / "extra").symlink_to(host.folder)
    (nodes / "broken").symlink_to(host.folder / "nowhere")
    done = host.start(NODE_PACKS=f"Pack={host.pack('Pack')}\nbroken={host.pack('broken')}")
    assert done.returncode == 0
    assert (nodes / "Pack/mine.py").read_text() == "mine"
    assert (nodes / "extra").is_symlink()
    assert (nodes / "broken").readlink() == host.folder / "nowhere"
    assert [each["state"] for each in host.report["packs"]] == ["yours", "yours"]
    assert f"{nodes}/Pack was not created by zoetrope" in done.stdout
    assert host.start().returncode == 0
    assert (nodes / "Pack/mine.py").exists()


def test_a_link_that_a_person_turned_elsewhere_is_theirs_from_then_on(host):
    packs = f"Pack={host.pack('Pack')}"
    host.start(NODE_PACKS=packs)
    link = host.base / "custom_nodes/Pack"
    link.unlink()
    link.symlink_to(host.folder)
    assert host.start(NODE_PACKS=packs).returncode == 0
    assert link.readlink() == host.folder
    assert host.start().returncode == 0  # the pack is no longer wanted
    assert link.readlink() == host.folder


@pytest.mark.parametrize("still", [True, False], ids=["wanted", "unwanted"])
@pytest.mark.parametrize("cut", [0, 1, 2])
def test_a_start_that_was_killed_between_record_and_link_leaves_nothing(host, cut, still):
    """The record's line is written before its link; here it is left as a kill would leave it."""
    host.start(NODE_PACKS=f"Pack={host.pack('old')}")
    record, link = host.base / ".zoetrope-links", host.base / "custom_nodes/Pack"
    new = host.pack("new")
    with record.open("a") as lines:
        lines.write(f"{link}\t{new}\n")
    if cut > 0:
        (link.parent / "Pack.zoetrope-part").symlink_to(new)
    if cut > 1:
        (link.parent / "Pack.zoetrope-part").rename(link)
    if still:
        assert host.start(NODE_PACKS=f"Pack={new}").returncode == 0
        assert link.readlink() == new
        assert [(each["name"], each["state"]) for each in host.report["packs"]] == [
            ("Pack", "linked")
        ]
        assert [each.name for each in link.parent.iterdir()] == ["Pack"]
    assert host.start().returncode == 0
    assert list(link.parent.iterdir()) == []


def test_killed_at_any_moment_the_next_start_puts_all_links_right(host, kills, kill_seed):
    chance = random.Random(kill_seed)
    nodes = host.base / "custom_nodes"
    (nodes / "A").mkdir(parents=True)
    (nodes / "A/mine.py").write_text("mine")
    (nodes / "own").symlink_to("/nowhere")
    versions = {name: (host.pack(f"{name}1"), host.pack(f"{name}2")) for name in "ABCDEF"}
    began = time.monotonic()
    assert host.start().returncode == 0
    usual = time.monotonic() - began  # of one start, on this machine
    for _ in range(kills):
        names = chance.sample("ABCDEF", chance.randint(0, 6))
        wanted = {name: chance.choice(versions[name]) for name in names}
        packs = "\n".join(f"{name}={path}" for name, path in wanted.items())
        env = {**host.env, "ZOETROPE_NODE_PACKS": packs}
        process = subprocess.Popen(
            [SCRIPT], env=env, stdout=subprocess.DEVNULL, start_new_session=True
        )
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(chance.random() * usual)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    assert host.start(NODE_PACKS=packs).returncode == 0
    assert (nodes / "A/mine.py").read_text() == "mine"
    found = {each.name: str(each.readlink()) for each in nodes.iterdir() if each.is_symlink()}
    ours = {name: str(path) for name, path in wanted.items() if name != "A"}
    assert found == {**ours, "own": "/nowhere"}


def test_a_missing_pack_is_named_and_the_others_are_linked(host):
    done = host.start(NODE_PACKS=f"Gone={host.folder}/gone\nPack={host.pack('Pack')}")
    assert done.returncode == 0
    assert [each["state"] for each in host.report["packs"]] == ["missing", "linked"]
    assert "The node pack Gone is missing" in done.stdout


@pytest.mark.parametrize("line", ["no path", "../x=/tmp", "a b=/tmp"])
def test_a_pack_with_a_name_that_is_none_is_a_wrong_setting(host, line):
    done = host.start(NODE_PACKS=line)
    assert done.returncode == 2
    assert line in done.stdout


def test_no_link_lies_where_comfyui_follows_none(host):
    """From 0.33 on ComfyUI rejects pictures and prefixes whose path leads out of its folders."""
    host.model("vae/wan.safetensors", 3)
    assert host.start(NODE_PACKS=f"Pack={host.pack('pack')}").returncode == 0
    links = [path for path in host.base.rglob("*") if path.is_symlink()]
    assert {path.relative_to(host.base).parts[0] for path in links} == {"custom_nodes", "models"}
    for name in ("input", "output", "temp"):
        assert (host.base / name).resolve() == host.base.resolve() / name


def test_a_pack_that_needs_a_gpu_is_said_where_comfyui_runs_on_the_cpu(host):
    name = "ComfyUI-SeedVR2_VideoUpscaler"
    packs = f"{name}={host.pack('seed')}\nOther={host.pack('other')}"
    host.driver()
    assert host.start(NODE_PACKS=packs).returncode == 0
    assert {each["state"] for each in host.report["packs"]} == {"linked"}
    assert host.report["warnings"] == []
    done = host.start(NODE_PACKS=packs, DEVICE="cpu")
    assert done.returncode == 0
    states = {each["name"]: each["state"] for each in host.report["packs"]}
    assert states == {name: "no-gpu", "Other": "linked"}
    (warning,) = host.report["warnings"]
    assert f"The node pack {name} needs a GPU" in warning["sentence"]
    assert "recipes that use it are rejected" in done.stdout
    assert "Use recipes without it" in warning["next_step"]


def test_a_users_own_copy_of_such_a_pack_is_believed_to_work(host):
    name = "ComfyUI-SeedVR2_VideoUpscaler"
    (host.base / "custom_nodes" / name).mkdir(parents=True)
    host.start(NODE_PACKS=f"{name}={host.pack('seed')}", DEVICE="cpu")
    assert [each["state"] for each in host.report["packs"]] == ["yours"]
    assert [each["key"] for each in host.report["warnings"]] == ["yours"]


def test_every_pack_of_the_recipes_that_needs_a_gpu_has_the_name_that_it_is_linked_by():
    pins = json.loads((ROOT / "nix/pins.json").read_text())["sources"]
    assert {pin["repo"] for pin in pins.values()} >= publish.NEED_A_GPU
    used = [tomllib.loads(file.read_text()) for file in ROOT.glob("workflows/*/recipe.toml")]
    assert {pack for recipe in used for pack in recipe.get("packs", ())} >= publish.NEED_A_GPU
