"""The recipes that jobs were accepted with: kept as they were, whatever becomes of the shelf."""

import shutil
import threading

import pytest

from tests.conftest import RECIPES
from zoetrope.errors import RecipeError
from zoetrope.graphs.shelf import Recipes, load, shipped
from zoetrope.graphs.versions import INDEX, Versions


@pytest.fixture
def shelf(tmp_path):
    shutil.copytree(RECIPES / "tiny", tmp_path / "recipes" / "tiny")
    return tmp_path / "recipes"


@pytest.fixture
def root(tmp_path):
    return tmp_path / "versions"


@pytest.fixture
def versions(root):
    return Versions(root)


@pytest.mark.parametrize("name", sorted(p.parent.name for p in shipped().glob("*/recipe.toml")))
def test_every_shipped_recipe_is_the_same_when_it_is_found_again(tmp_path, name):
    recipe = load(shipped() / name)
    version = Versions(tmp_path).keep(recipe)
    assert Versions(tmp_path).get(version) == recipe
    assert (tmp_path / version / "recipe.toml").read_bytes() == recipe.files["recipe.toml"]


@pytest.mark.parametrize("file", ["recipe.toml", "i2v.json", "../shared.toml"])
def test_whatever_of_its_files_is_edited_makes_another_version(shelf, versions, root, file):
    recipes = Recipes((shelf,))
    shutil.copy(shipped() / "shared.toml", shelf / "shared.toml")
    before = versions.keep(recipes.get("tiny"))
    edited = shelf / "tiny" / file
    edited.write_bytes(edited.read_bytes() + b"\n")
    after = versions.keep(recipes.get("tiny"))
    assert before != after
    shutil.rmtree(shelf)
    again = Versions(root)
    assert again.get(before).version == before
    assert again.get(after).version == after


def test_a_version_is_never_found_by_a_name(shelf, tmp_path):
    recipes = Recipes((shelf,), Versions(tmp_path / "versions"))
    kept = recipes.versions.keep(recipes.get("tiny"))
    assert recipes.names() == ["tiny"]
    assert recipes.accepted(kept, "anything").name == "tiny"
    assert recipes.accepted("", "tiny").version == kept


def test_a_graph_that_lies_elsewhere_is_kept_as_well(shelf, versions, root):
    (shelf / "tiny" / "i2v.json").rename(shelf / "i2v.json")
    file = shelf / "tiny" / "recipe.toml"
    file.write_text(file.read_text().replace('graph = "i2v.json"', 'graph = "../i2v.json"'))
    recipe = load(shelf / "tiny")
    version = versions.keep(recipe)
    shutil.rmtree(shelf)
    assert Versions(root).get(version) == recipe
    assert not (root / "i2v.json").exists()


def test_what_was_half_written_when_the_power_went_is_written_again(shelf, versions, root):
    recipe = load(shelf / "tiny")
    half = root / recipe.version
    half.mkdir(parents=True)
    (half / "recipe.toml").write_text("title =")
    assert Versions(root).keep(recipe) == recipe.version
    assert Versions(root).get(recipe.version) == recipe


@pytest.mark.parametrize("spoil", ["missing", "index", "edited"])
def test_a_version_that_was_spoilt_is_an_error_that_says_what_to_do(shelf, versions, root, spoil):
    version = versions.keep(load(shelf / "tiny"))
    folder = root / version
    if spoil == "missing":
        shutil.rmtree(folder)
    elif spoil == "index":
        (folder / INDEX).write_bytes(b'{"\xd6": 1}')
    else:
        (folder / "i2v.json").write_bytes((folder / "i2v.json").read_bytes() + b" ")
    with pytest.raises(RecipeError, match="recipe-versions") as caught:
        Versions(root).get(version)
    assert caught.value.reason.key == "recipe-version"


def test_an_index_that_names_what_no_file_can_be_called_is_an_error_with_a_sentence(
    shelf, versions, root
):
    version = versions.keep(load(shelf / "tiny"))
    (root / version / INDEX).write_bytes(rb'{"name": "tiny", "files": {"recipe.toml": "\u0000"}}')
    with pytest.raises(RecipeError, match="no file has such a name"):
        Versions(root).get(version)


def test_versions_that_no_job_needs_are_removed_and_no_other(shelf, versions, root):
    recipes = Recipes((shelf,))
    found = []
    for n in range(3):
        edited = shelf / "tiny" / "recipe.toml"
        edited.write_bytes(edited.read_bytes() + b"#" * n + b"\n")
        found.append(versions.keep(recipes.get("tiny")))
    later = Versions(root)
    fresh = later.keep(recipes.get("tiny"))  # its job is not written yet
    assert fresh == found[2]
    assert later.names() == set(found)
    assert later.forget(found[1:]) == (found[1],)
    assert {folder.name for folder in root.iterdir()} == {found[0], found[2]}


def test_many_at_once_keep_one_version(shelf, versions, root):
    recipe = load(shelf / "tiny")
    threads = [threading.Thread(target=versions.keep, args=(recipe,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [folder.name for folder in root.iterdir()] == [recipe.version]


def test_without_a_folder_they_last_as_long_as_the_process(shelf):
    versions = Versions()
    recipe = load(shelf / "tiny")
    assert versions.get(versions.keep(recipe)) == recipe
    with pytest.raises(RecipeError):
        Versions().get(recipe.version)
