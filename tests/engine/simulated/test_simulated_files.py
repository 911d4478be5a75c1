"""The rules for names in the engine's folders."""

import time

import pytest

from zoetrope.engine.simulated.cache import signatures
from zoetrope.engine.simulated.errors import OutsideOutput
from zoetrope.engine.simulated.files import Files, store_upload
from zoetrope.engine.simulated.guard import is_foreign
from zoetrope.engine.simulated.models import DEFAULT_MODELS
from zoetrope.graphs.document import read

NOON = time.struct_time((2026, 3, 4, 12, 5, 6, 2, 63, 0))


@pytest.fixture
def files(tmp_path):
    files = Files(tmp_path, DEFAULT_MODELS, lambda: NOON)
    files.prepare()
    return files


def test_times_in_a_prefix_are_filled_in(files):
    saved = files.next_output("%year%-%month%-%day%/%hour%%minute%%second%_%date:yyyy%")

    assert (saved.subfolder, saved.name) == ("2026-03-04", "120506_%date:yyyy%")


@pytest.mark.parametrize("prefix", ["../x", "a/../../x", "/absolute/x"])
def test_a_prefix_may_not_leave_the_output_folder(files, prefix):
    with pytest.raises(OutsideOutput):
        files.next_output(prefix)


@pytest.mark.parametrize("name", ["../outside.png", "/etc/hostname", "sub/../../outside.png", ""])
def test_a_loading_node_finds_nothing_outside(files, name):
    (files.home / "outside.png").touch()

    assert files.find(name) is None


@pytest.mark.parametrize("linked", ["file", "folder"])
def test_a_loading_node_follows_no_link_out_of_its_folder(files, linked):
    """ComfyUI 0.33 does not, where 0.27 did."""
    elsewhere = files.home / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "x.png").touch()
    (files.input / "own").mkdir()
    (files.input / "own/x.png").touch()
    (files.input / "inner.png").symlink_to("own/x.png")
    if linked == "file":
        (files.input / "x.png").symlink_to(elsewhere / "x.png")
    else:
        (files.input / "sub").symlink_to(elsewhere)
    assert files.find("x.png" if linked == "file" else "sub/x.png") is None
    assert files.find("inner.png") == files.input / "inner.png"


def test_a_prefix_follows_no_link_out_of_the_output_folder(files):
    elsewhere = files.home / "elsewhere"
    elsewhere.mkdir()
    (files.output / "linked").symlink_to(elsewhere)
    (files.output / "inner").symlink_to(files.output)
    for prefix in ("linked/x", "linked/new/x"):
        with pytest.raises(OutsideOutput):
            files.next_output(prefix)
    assert list(elsewhere.iterdir()) == []
    assert files.next_output("inner/x").folder == files.output / "inner"


def test_folders_that_are_links_themselves_are_folders(files, tmp_path_factory):
    """As where all that ComfyUI writes was moved to another disk."""
    disk = tmp_path_factory.mktemp("disk")
    for folder in (files.input, files.output):
        folder.rmdir()
        (disk / folder.name).mkdir()
        folder.symlink_to(disk / folder.name)
    (files.input / "x.png").touch()
    assert files.find("x.png") == files.input / "x.png"
    assert files.next_output("clip/x").folder.is_relative_to(files.output)


@pytest.mark.parametrize("kind", ["input", "output", "temp"])
def test_a_name_may_say_its_folder(files, kind):
    (files.by_type(kind) / "x.png").touch()

    assert files.find(f"x.png [{kind}]") == files.by_type(kind) / "x.png"


@pytest.mark.parametrize(
    ("name", "subfolder"), [("../x", ""), ("x", ".."), ("../../x", "a"), ("", "")]
)
def test_an_upload_may_not_leave_its_folder(files, name, subfolder):
    assert store_upload(files.input, subfolder, name, b"", overwrite=False) is None


def test_files_that_are_there_join_the_list_of_models(files):
    place = files.home / "models/loras/mine"
    place.mkdir(parents=True)
    (place / "x.safetensors").touch()

    assert "mine/x.safetensors" in files.models("loras")
    assert files.models("unknown") == []


def name_of(graph, node_id, content="c"):
    return signatures(read(graph, "graph").nodes, lambda *_: content, lambda c: c == "Unique")[
        node_id
    ]


def test_a_signature_changes_with_anything_above_and_nothing_else():
    graph = {
        "1": {"class_type": "A", "inputs": {"x": 1}},
        "2": {"class_type": "B", "inputs": {"a": ["1", 0]}},
    }
    moved = {"7": graph["1"], "9": {"class_type": "B", "inputs": {"a": ["7", 0]}}}
    changed = {**graph, "1": {"class_type": "A", "inputs": {"x": 2}}}

    assert name_of(graph, "2") == name_of(moved, "9")
    assert name_of(graph, "2") != name_of(changed, "2")
    assert name_of(graph, "2") != name_of(graph, "2", content="d")


def test_a_class_that_knows_its_id_is_told_apart():
    graph = {n: {"class_type": "Unique", "inputs": {}} for n in ("1", "2")}

    assert name_of(graph, "1") != name_of(graph, "2")


def test_a_cycle_has_a_signature_too():
    graph = {"1": {"class_type": "A", "inputs": {"a": ["1", 0], "b": ["9", 0]}}}

    assert name_of(graph, "1")


@pytest.mark.parametrize(
    ("host", "origin", "foreign"),
    [
        ("127.0.0.1:8188", "http://127.0.0.1:8188", False),
        ("127.0.0.1:8188", "http://localhost:8188", True),
        ("localhost:8188", "http://evil.example", True),
        ("box.lan:8188", "http://evil.example", False),
        ("127.0.0.1:8188", "null", False),
        (None, "http://evil.example", False),
    ],
)
def test_a_foreign_origin_is_told_from_an_own_one(host, origin, foreign):
    assert is_foreign(host, origin, None) is foreign
