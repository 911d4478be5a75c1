"""A video once more from its receipt, on the real service and a simulated engine."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.fakes.running import draw, until, videos
from tests.fakes.service import RECIPES, EngineProcess, ServiceProcess
from zoetrope.cli import receipt_file
from zoetrope.cli.group import cli
from zoetrope.graphs.shelf import load

RECORDED = Path(__file__).parent / "recordings" / "receipt-1.json"


class Host(ServiceProcess):
    """A service with a shelf of its own, which a test may change."""

    def __init__(self, root, engine):
        root.mkdir(exist_ok=True)
        self.shelf = root / "recipes"
        shutil.copytree(RECIPES / "tiny", self.shelf / "tiny")
        super().__init__(root, engine.url)
        self.config.write_text(self.config.read_text().replace(str(RECIPES), str(self.shelf)))
        self.start()

    def start(self):
        super().start()
        until(self.sees_its_engine, "the engine")

    def sees_its_engine(self):
        return all(engine["up"] for engine in self.get("/api/v1/engines")["engines"])

    def edit(self):
        file = self.shelf / "tiny" / "recipe.toml"
        file.write_text(file.read_text().replace("frames = 5", "frames = 9"))

    def video(self):
        (self.inbox / "cat.toml").write_text('prompt = "zoom"\nsteps = 6')
        draw(self.inbox / "cat.png")
        (first,) = videos(self)
        return first


@pytest.fixture
def engine(tmp_path):
    engine = EngineProcess(tmp_path / "engine")
    engine.start()
    yield engine
    engine.stop()


@pytest.fixture
def host(tmp_path, engine):
    host = Host(tmp_path / "host", engine)
    yield host
    host.stop()


@pytest.fixture
def service(tmp_path, engine):
    service = ServiceProcess(tmp_path, engine.url)
    service.start()
    yield service
    service.stop()


def zoetrope(*words) -> subprocess.CompletedProcess[str]:
    """Run a command in this process; `test_group.py` has the program as it is started."""
    done = CliRunner().invoke(cli, [str(word) for word in words])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exc_info
    return subprocess.CompletedProcess(words, done.exit_code, done.stdout, done.stderr)


def test_a_receipt_gives_the_same_graphs_and_seed_again(service):
    (service.inbox / "cat.toml").write_text(
        'preset = "no-talking"\nprompt = "Beat 1 (0-1s): zoom"\nframes = 9\nsteps = 6'
    )
    draw(service.inbox / "cat.png")
    (first,) = videos(service)
    done = zoetrope("reproduce", first / "receipt.json", "--sync", "--url", service.url)
    assert done.returncode == 0, done.stderr
    assert "The workflows are the same as then" in done.stdout
    assert "differs:" not in done.stdout
    folders = service.done()
    assert len(folders) == 2
    old, new = (
        json.loads((folder / "receipt.json").read_text())
        for folder in sorted(folders, key=lambda folder: folder != first)
    )
    assert new["parent"] == old["job"]
    assert [new["stem"], *(image["name"] for image in new["stills"])] == ["cat", "cat.png"]
    assert all((folder / "cat.mp4").exists() for folder in folders)
    assert new["plan"] == old["plan"]
    for key in ("prompt", "negative", "parameters"):
        assert new["ticket"][key] == old["ticket"][key]


@pytest.mark.parametrize(
    ("told", "files", "names"),
    [
        ({"stem": "my cat", "stills": [{"name": "a/cat.PNG"}]}, ["source.png"], ["my cat.png"]),
        ({"stills": [{"name": "cat.png"}]}, ["source.png"], ["cat.png"]),
        (
            {"stills": [{"name": "cat.start.png"}, {"name": "cat.end.jpg"}]},
            ["source.png", "source-end.jpg"],
            ["cat.png", "cat.end.jpg"],
        ),
        ({}, ["source.png"], ["source.png"]),
        ({"stills": [{"name": "../../etc/passwd"}]}, ["source.png"], ["passwd.png"]),
    ],
)
def test_the_picture_has_the_name_that_it_was_dropped_with(told, files, names):
    receipt = {"schema": 1, "job": "0" * 32, "stages": [{"name": "i2v"}], **told}
    past = receipt_file.decode(json.dumps(receipt).encode())
    assert list(past.names([Path(file) for file in files])) == names


def test_another_picture_is_another_graph_and_is_told(service, tmp_path):
    draw(service.inbox / "cat.png")
    (first,) = videos(service)
    copy = tmp_path / "copy"
    shutil.copytree(first, copy)
    draw(copy / "source.png", colour=77)
    checked = zoetrope("reproduce", copy, "--check", "--url", service.url)
    assert checked.returncode == 3, checked.stderr
    assert "differs: The picture is not the one of the receipt." in checked.stdout
    assert len(service.done()) == 1
    done = zoetrope("reproduce", copy, "--sync", "--url", service.url)
    assert done.returncode == 3, done.stderr
    assert "The workflow of i2v" in done.stdout


@pytest.mark.parametrize("content", ["", "[]", '{"schema": 99}'])
def test_what_is_no_receipt_is_one_sentence(tmp_path, content):
    file = tmp_path / "receipt.json"
    file.write_text(content)
    done = zoetrope("reproduce", file)
    assert done.returncode == 1
    assert "is not a receipt of zoetrope" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_receipt_without_its_picture_says_so(tmp_path):
    file = tmp_path / "receipt.json"
    file.write_text(json.dumps({"schema": 1, "job": "0" * 32, "stages": [{}]}))
    done = zoetrope("reproduce", file)
    assert done.returncode == 1
    assert "No source picture" in done.stderr


@pytest.mark.parametrize("linked", ["source.png", "receipt.json"])
def test_what_a_member_of_the_share_linked_next_to_a_receipt_is_not_sent(tmp_path, linked):
    folder = tmp_path / "outbox" / "cat-00000000"
    folder.mkdir(parents=True)
    receipt = json.dumps({"schema": 1, "job": "0" * 32, "stages": [{"name": "i2v"}]})
    for name, content in (("source.png", "private"), ("receipt.json", receipt)):
        (tmp_path / name).write_text(content)
        (folder / name).write_text(content)
    (folder / linked).unlink()
    (folder / linked).symlink_to(tmp_path / linked)
    # No service answers there: whoever asks it has read the picture already.
    done = zoetrope("reproduce", folder, "--url", "http://127.0.0.1:9")
    assert done.returncode == 1
    assert f"{folder / linked} is a link" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_receipt_of_a_newer_zoetrope_is_told_as_such(tmp_path):
    file = tmp_path / "receipt.json"
    file.write_text(json.dumps({"schema": 2, "job": "0" * 32, "stages": [{"name": "i2v"}]}))
    done = zoetrope("reproduce", file)
    assert done.returncode == 1
    assert "its schema is 2" in done.stderr


def edit(host):
    host.edit()


def lose(host):
    shutil.rmtree(host.state / "recipe-versions")  # the receipt still has it


def delete(host):
    shutil.rmtree(host.shelf / "tiny")
    shutil.copytree(RECIPES / "tiny", host.shelf / "other")


def test_the_recipe_is_that_of_then_whatever_the_shelf_has_now(host):
    first = host.video()
    told = json.loads((first / "receipt.json").read_text())
    known = {first}
    for change in (edit, lose, delete):
        host.stop()
        change(host)
        host.start()
        done = zoetrope("reproduce", first, "--sync", "--url", host.url)
        assert done.returncode == 0, (change, done.stdout, done.stderr)
        assert "The workflows are the same as then" in done.stdout
        (again,) = set(host.done()) - known
        known.add(again)
        receipt = json.loads((again / "receipt.json").read_text())
        for key in ("recipe_version", "plan"):
            assert receipt[key] == told[key], (change, key)


def test_another_host_takes_no_recipe_from_a_receipt_until_a_person_puts_it_on_the_shelf(
    host, tmp_path, engine
):
    first = host.video()
    other = Host(tmp_path / "other", engine)
    try:
        other.edit()
        refused = zoetrope("reproduce", first, "--sync", "--url", other.url)
        assert refused.returncode == 1
        assert "--unpack" in refused.stderr
        assert other.get("/api/v1/jobs")["jobs"] == []
        shutil.rmtree(other.shelf / "tiny")
        unpacked = zoetrope("reproduce", first, "--unpack", other.shelf)
        assert unpacked.returncode == 0, unpacked.stderr
        done = zoetrope("reproduce", first, "--sync", "--url", other.url)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "The workflows are the same as then" in done.stdout
    finally:
        other.stop()


def test_a_recipe_that_was_changed_in_the_receipt_is_not_taken(host):
    first = host.video()
    host.stop()
    host.edit()
    shutil.rmtree(host.state / "recipe-versions")
    host.start()
    file = first / "receipt.json"
    told = json.loads(file.read_text())
    told["recipe_files"]["i2v.json"] += " "
    file.write_text(json.dumps(told))
    done = zoetrope("reproduce", first, "--url", host.url)
    assert done.returncode == 1
    assert "were changed since" in done.stderr
    assert zoetrope("reproduce", first, "--unpack", host.root / "x").returncode == 1
    assert len(host.get("/api/v1/jobs")["jobs"]) == 1


def test_a_receipt_that_was_copied_alone_takes_the_picture_from_the_service(service, tmp_path):
    draw(service.inbox / "cat.png")
    (first,) = videos(service)
    alone = tmp_path / "alone" / "receipt.json"
    alone.parent.mkdir()
    shutil.copy(first / "receipt.json", alone)
    done = zoetrope("reproduce", alone, "--sync", "--url", service.url)
    assert done.returncode == 0, done.stdout + done.stderr


def test_without_a_service_the_receipt_alone_is_told(tmp_path):
    done = zoetrope("reproduce", RECORDED, "--check", "--url", "http://127.0.0.1:9")
    assert done.returncode == 1
    assert "The receipt: recipe tiny, version 7d5c52063dd1; ComfyUI" in done.stdout
    assert "No zoetrope service answers" in done.stderr


@pytest.mark.parametrize("age", ["before-environments", "before-versions"])
def test_a_receipt_of_an_earlier_version_is_reproduced_as_far_as_it_tells(host, tmp_path, age):
    told = json.loads(RECORDED.read_text())
    assert "recipe_files" not in told
    if age == "before-environments":
        # The version that it names is on this shelf today.
        told["recipe_version"] = load(host.shelf / "tiny").version
    else:
        del told["recipe_version"]
    folder = tmp_path / "earlier"
    folder.mkdir()
    (folder / "receipt.json").write_text(json.dumps(told))
    draw(folder / "source.png")
    done = zoetrope("reproduce", folder, "--url", host.url)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "unknown: The receipt of an earlier zoetrope" in done.stdout
    assert "repeats aa273d20" in done.stdout
    (again,) = host.get("/api/v1/jobs")["jobs"]
    assert (again["stem"], again["name"]) == ("cat", "cat.png")


def test_the_help_teaches_the_exit_codes():
    done = zoetrope("reproduce", "--help")
    assert done.returncode == 0
    for words in ("Exit codes:", "--check", "--unpack", "needs no service"):
        assert words in " ".join(done.stdout.split())
