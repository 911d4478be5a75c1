"""A bump is proven before it is written: what does not work with this repository leaves no trace in it."""

import base64
import importlib.util
import json
import subprocess
import sys
import tomllib
from types import ModuleType

import msgspec
import pytest

from tests.nix.render import ROOT
from zoetrope.graphs import catalog
from zoetrope.graphs.drift import drift

PINS = json.loads((ROOT / "nix/pins.json").read_text())
RECORD = tomllib.loads((ROOT / "tests/nix/requirements.toml").read_text())

HASH = "sha256-" + "A" * 43 + "="
REV = "f" * 40
VERSION = "9.9.9"

# A ComfyUI that answers what a bump asks; `object_info.json` is beside it.
MAIN = """
import http.server, json, pathlib, re, sys

here = pathlib.Path(__file__).parent
version = re.search('"(.*)"', (here / "comfyui_version.py").read_text())[1]
if (here / "broken").exists():
    sys.exit("ImportError: no module named av.video")

class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        said = {"/system_stats": json.dumps({"system": {"comfyui_version": version}}).encode()}
        said |= {"/models": b'["vae"]', "/models/vae": b'["mine.safetensors"]', "/internal/files/input": b"[]"}
        body = said.get(self.path) or (here / "object_info.json").read_bytes()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

http.server.HTTPServer(("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1])), Answer).serve_forever()
"""


@pytest.fixture(scope="module")
def bump() -> ModuleType:
    folder = ROOT / "nix/bump"
    sys.path.insert(0, str(folder))
    spec = importlib.util.spec_from_file_location("bump", folder / "__main__.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["bump"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def candidate(bump) -> ModuleType:
    return sys.modules["candidate"]


@pytest.fixture(scope="module")
def nodes() -> dict:
    """What a ComfyUI of the pinned version says of its nodes."""
    pinned = catalog.load()
    files = {"vae": ("mine.safetensors",)}
    return {
        name: catalog.node_info(pinned, name, lambda folder: files.get(folder, ()))
        for name in pinned.nodes
    }


@pytest.fixture
def tree(tmp_path, nodes):
    """A ComfyUI of a later version that asks for the same of Python, but for one new line."""
    folder = tmp_path / "ComfyUI"
    (folder / "comfy").mkdir(parents=True)
    (folder / "main.py").write_text(MAIN)
    (folder / "comfyui_version.py").write_text(f'__version__ = "{VERSION}"\n')
    files = RECORD["sources"]["comfyui"]["files"]
    for name, lines in files.items():
        (folder / name).write_text("\n".join(["# as upstream", *lines, "newlib>=2.0"]))
    (folder / "object_info.json").write_bytes(msgspec.json.encode(nodes))
    (folder / "comfy/cli_args.py").write_text('parser.add_argument("--cache-none")')
    return folder


@pytest.fixture
def checkout(tmp_path, bump, monkeypatch):
    """A copy of this repository that a bump may write to, and no package index."""
    target = tmp_path / "checkout"
    sys.modules["trees"].copy_checkout(ROOT, target)
    git(target, "init", "-q")
    git(target, "add", "-A")
    monkeypatch.setattr(bump, "ROOT", target)

    def resolve(needs, python, kept):
        assert "newlib>=2.0" in needs
        assert not any(line.startswith("newlib") for line in kept)
        index = {n: w for n, w in PINS["wheels"].items() if w["source"] == "PyPI"}
        return [report(n, w["version"], w["file"], w["hash"]) for n, w in index.items()] + [
            report("newlib", "2.1", "newlib-2.1-py3-none-any.whl", HASH)
        ]

    monkeypatch.setattr(bump.lock, "resolve", resolve)
    return target


def report(name, version, file, hash_):
    """Say of a wheel what pip's report says."""
    digest = base64.b64decode(hash_.removeprefix("sha256-")).hex()
    return {
        "metadata": {"name": name, "version": version, "requires_dist": []},
        "download_info": {"url": f"x/{file}", "archive_info": {"hashes": {"sha256": digest}}},
    }


def git(folder, *words):
    subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True)


def status(folder):
    done = subprocess.run(
        ["git", "status", "--porcelain", "-uall"],
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
    )
    return {line[3:] for line in done.stdout.splitlines() if line[1] != " "}


@pytest.fixture
def run(bump, checkout, tree, monkeypatch):
    """Run a bump of the tree; of its tests, only say which were asked for."""
    asked = []
    monkeypatch.setattr(
        bump.Bump,
        "run_tests",
        lambda self, name, *words, url="": asked.append((name, words, bool(url))),
    )

    def go(*words):
        asked.clear()
        code = bump.main(
            [
                *("comfyui", VERSION, "--source", str(tree), "--python", sys.executable),
                *("--rev", REV, "--hash", HASH, "--basis", "published, two files agree"),
                *("--keep-models", *words),
            ]
        )
        return code, asked

    return go


def test_a_bump_that_passes_writes_pins_record_catalogue_and_version_alone(run, checkout, capsys):
    code, asked = run()
    assert code == 0
    assert [(name, url) for name, _, url in asked] == [("tests", False), ("runs", True)]
    assert status(checkout) == {
        "nix/pins.json",
        "tests/nix/requirements.toml",
        f"service/zoetrope/graphs/catalogs/{VERSION}.json",
        "service/zoetrope/graphs/catalog.py",
    }
    pins = json.loads((checkout / "nix/pins.json").read_text())
    pin = pins["sources"]["comfyui"]
    assert (pin["version"], pin["rev"], pin["hash"]) == (VERSION, REV, HASH)
    assert pin["basis"] == "published, two files agree"
    assert "newlib>=2.0" in pins["needs"]["comfyui"]
    assert pins["wheels"]["newlib"]["version"] == "2.1"
    assert {n: w for n, w in pins["wheels"].items() if n != "newlib"} == {
        name: wheel | {"requires": pins["wheels"][name]["requires"]}
        for name, wheel in PINS["wheels"].items()
    }
    record = tomllib.loads((checkout / "tests/nix/requirements.toml").read_text())
    assert record["sources"]["comfyui"]["rev"] == REV
    assert {k: v for k, v in record["sources"].items() if k != "comfyui"} == {
        k: v for k, v in RECORD["sources"].items() if k != "comfyui"
    }
    written = (checkout / f"service/zoetrope/graphs/catalogs/{VERSION}.json").read_bytes()
    recorded = catalog.decode(written)
    assert drift(catalog.load(), recorded) == ()
    assert recorded.packs == {
        pin["repo"]: pin["rev"][:8] for name, pin in PINS["sources"].items() if name != "comfyui"
    }
    assert b"mine.safetensors" not in written, "files are a host's own"
    assert "av>=17.0.0" in pins["needs"]["comfyui"], "a bound that upstream should have said stays"
    said = capsys.readouterr().out
    assert "asks for nothing -> newlib>=2.0" in said
    assert "wheel newlib none -> 2.1" in said
    assert "it does not know --reserve-vram of ours" in said


def break_node(tree):
    info = json.loads((tree / "object_info.json").read_text())
    inputs = info["KSamplerAdvanced"]["input"]["required"]
    inputs["noise_kind"] = ["STRING", {}]
    (tree / "object_info.json").write_text(json.dumps(info))


def drop_node(tree):
    info = json.loads((tree / "object_info.json").read_text())
    del info["WanImageToVideo"]
    (tree / "object_info.json").write_text(json.dumps(info))


def break_start(tree):
    (tree / "broken").touch()


def other_version(tree):
    (tree / "comfyui_version.py").write_text('__version__ = "9.9.8"')


def link_requirement(tree):
    (tree / "requirements.txt").write_text("git+https://example.org/x.git")


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (break_node, "recipes: "),
        (drop_node, "there is no node WanImageToVideo"),
        (break_start, "start: the engine ended with code 1: ImportError: no module named av.video"),
        (other_version, "source: the tree says that it is 9.9.8, not 9.9.9"),
        (link_requirement, "is no requirement by name"),
    ],
)
def test_a_bump_that_breaks_something_is_not_written(run, checkout, tree, capsys, harm, said):
    harm(tree)
    code, _ = run()
    assert code == 1
    assert status(checkout) == set()
    out = capsys.readouterr().out
    assert "Nothing is written." in out
    assert said in out
    assert "next: " in out


def test_tests_that_fail_stop_it_with_their_names(bump, run, checkout, monkeypatch, capsys):
    monkeypatch.undo()  # the real way to run tests
    monkeypatch.setattr(bump, "ROOT", checkout)
    made = bump.Bump.__new__(bump.Bump)
    made.work, made.tree, made.report = checkout.parent, checkout, []
    (checkout / "tests/nix/test_pins.py").write_text("def test_it_fails():\n    assert 1 == 2\n")
    with pytest.raises(sys.modules["stop"].Stopped, match=r"FAILED .*test_it_fails"):
        made.run_tests("tests", "tests/nix/test_pins.py")


@pytest.mark.parametrize("word", ["--try", "--no-runs"])
def test_a_trial_says_what_it_would_change(run, checkout, capsys, word):
    code, asked = run(word)
    assert code == 0
    assert ("runs" in [name for name, *_ in asked]) == (word == "--try")
    assert status(checkout) == set()
    assert "It would change: tests/nix/requirements.toml, nix/pins.json" in capsys.readouterr().out


def test_a_published_hash_without_its_source_is_not_taken(bump, checkout, tree, capsys):
    words = ["comfyui", VERSION, "--source", str(tree), "--rev", REV]
    assert bump.main([*words, "--hash", HASH]) == 1
    assert "say where the published hash was read" in capsys.readouterr().out
    assert bump.main([*words, "--hash", "123", "--basis", "published"]) == 1
    assert "is not a hash as Nix writes it" in capsys.readouterr().out


def test_a_source_that_cannot_be_fetched_names_the_way_without_a_network(
    bump, checkout, tmp_path, capsys
):
    assert bump.main(["comfyui", VERSION, "--remote", f"file://{tmp_path}/nowhere"]) == 1
    said = capsys.readouterr().out
    assert "cannot be fetched" in said
    assert "Give a local --source" in said


def test_a_whole_checkout_says_its_own_revision(bump, tmp_path):
    trees = sys.modules["trees"]
    git(tmp_path, "init", "-q")
    (tmp_path / "a").write_text("a")
    git(tmp_path, "add", "a")
    git(tmp_path, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "a")
    rev = trees.whole_revision(tmp_path)
    assert rev is not None
    assert len(rev) == 40
    (tmp_path / "a").write_text("b")
    assert trees.whole_revision(tmp_path) is None
    assert trees.whole_revision(tmp_path.parent) is None


def test_a_resolver_that_finds_nothing_stops_it_with_its_words_above(
    run, bump, checkout, monkeypatch, capsys
):
    def fail(*_):
        raise subprocess.CalledProcessError(
            1, ["/x/bin/python3", "-m", "pip", "install", "--secret"]
        )

    monkeypatch.setattr(bump.lock, "resolve", fail)
    assert run()[0] == 1
    said = capsys.readouterr().out
    assert "wheels: `python3 -m pip install …` ended with code 1; its own words are above" in said
    assert "--secret" not in said
    assert status(checkout) == set()


def test_needs_have_no_kernel_and_the_index_s_own_names(candidate):
    asked = candidate.requirements("torch\nPillow  # for pictures\n\nSQLAlchemy>=2.0\n")
    assert candidate.needs(asked, {"torch"}) == ["pillow", "sqlalchemy>=2.0"]


def test_a_requirement_by_address_is_none_by_name(candidate):
    """No hash covers what lies there, and to resolve it may run its code."""
    for line in ("foo @ https://example.org/foo.whl", "foo @ file:///tmp/foo"):
        with pytest.raises(ValueError, match="an address"):
            candidate.requirements(line)
