import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from click.testing import CliRunner

from tests.conftest import RECIPES
from zoetrope.cli.group import cli

CONTENT = os.urandom(300_000)
SIZE = len(CONTENT)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Hub(BaseHTTPRequestHandler):
    """Serves one file; slowly if the path says so."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        if "slow" in self.path:
            self.wfile.write(CONTENT[:100_000])
            self.server.halfway.set()
            self.server.go_on.wait(60)
            return
        self.wfile.write(CONTENT)

    def log_message(self, *_):
        pass


@pytest.fixture
def hub():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.halfway, server.go_on = threading.Event(), threading.Event()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.go_on.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def config(tmp_path, hub):
    """Settings whose default recipe needs one file, which the operator's own entry describes."""
    own = tmp_path / "recipes/one"
    own.mkdir(parents=True)
    for file in (RECIPES / "tiny").iterdir():
        (own / file.name).write_text(file.read_text())
    graph = json.loads((own / "i2v.json").read_text())
    for node in graph.values():
        for key in ("unet_name", "clip_name", "vae_name"):
            if key in node["inputs"]:
                node["inputs"][key] = ""
    graph["vae"]["inputs"]["vae_name"] = "mine.safetensors"
    (own / "i2v.json").write_text(json.dumps(graph))

    def write(path="/m", size=SIZE, sha256=SHA256):
        file = tmp_path / "zoetrope.toml"
        file.write_text(
            f"""
            recipes = {{ path = ["{tmp_path}/recipes"], default = "one" }}
            [models]
            path = "{tmp_path}/models"
            extra = [{{ file = "mine.safetensors", folder = "vae", bytes = {size},
                url = "http://127.0.0.1:{hub.server_port}{path}", sha256 = "{sha256}" }}]
            """.replace("\n                url", " url")
        )
        return str(file)

    return write


def run(*words):
    return CliRunner().invoke(cli, ["models", *words])


def test_a_file_is_listed_as_missing_fetched_and_listed_as_verified(config, tmp_path):
    file = config()
    before = run("list", "--config", file)
    assert before.exit_code == 1
    assert before.output.startswith("missing")
    assert "vae/mine.safetensors  (one, this host)" in before.output
    fetched = run("fetch", "--config", file)
    assert fetched.exit_code == 0, fetched.output
    assert "fetching mine.safetensors" in fetched.output
    assert fetched.output.endswith("All models are present.\n")
    assert (tmp_path / "models/vae/mine.safetensors").read_bytes() == CONTENT
    after = run("list", "--config", file, "--json")
    assert after.exit_code == 0
    (row,) = json.loads(after.output)
    assert (row["state"], row["have"], row["recipes"]) == (
        "verified",
        len(CONTENT),
        ["one", "this host"],
    )


def test_verify_reads_the_files_and_names_a_damaged_one(config, tmp_path):
    file = config()
    run("fetch", "--config", file)
    assert run("verify", "--config", file).exit_code == 0
    target = tmp_path / "models/vae/mine.safetensors"
    target.write_bytes(CONTENT[:-1] + bytes([CONTENT[-1] ^ 1]))
    damaged = run("verify", "--config", file)
    assert damaged.exit_code == 1
    assert "damaged" in damaged.output


def test_a_wrong_hash_fails_and_leaves_nothing(config, tmp_path):
    failed = run("fetch", "--config", config(sha256="0" * 64))
    assert failed.exit_code == 1
    assert "is the wrong file" in failed.output
    assert list((tmp_path / "models/vae").iterdir()) == []


def test_the_manifest_is_what_pre_start_reads(config):
    told = run("manifest", "--recipes", "seedvr2-rife-upscale", "--tsv", "--config", config())
    rows = [line.split("\t") for line in told.output.splitlines()]
    assert ["rife", "rife49.pth", "21345274", "seedvr2-rife-upscale"] in rows
    assert len(rows) == 3
    assert run("manifest", "--tsv", "--config", config()).output == ""
    several = run("manifest", "--recipes", "wan22-i2v-hero,seedvr2-rife-upscale", "--tsv")
    assert "\twan22-i2v-hero,seedvr2-rife-upscale\n" in several.output


def test_a_recipe_may_be_named_by_its_folder(config):
    told = run("manifest", "--recipes", str(RECIPES / "tiny"), "--config", config())
    assert "wan_2.1_vae.safetensors" in told.output


def test_without_a_folder_in_the_settings_it_says_what_to_set(tmp_path):
    (tmp_path / "z.toml").write_text("")
    failed = run("list", "--config", str(tmp_path / "z.toml"))
    assert failed.exit_code == 1
    assert "models.path" in failed.output


def test_under_systemd_it_says_how_far_it_is_and_a_stop_keeps_what_is_there(config, tmp_path, hub):
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(address)
        heard.settimeout(60)
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "zoetrope", "models", "fetch", "--notify"),
                *("--config", config(path="/slow")),
            ],
            env={**os.environ, "NOTIFY_SOCKET": address},
            stderr=subprocess.PIPE,
        )
        with process:
            assert hub.halfway.wait(60)
            said = ""
            while "STATUS=fetching mine.safetensors 33 %" not in said:
                said = heard.recv(4096).decode()
            process.send_signal(signal.SIGTERM)
            _, told = process.communicate(timeout=60)
    assert process.returncode == 1
    assert b"resumes here" in told
    part = tmp_path / "models/vae/.mine.safetensors.part"
    deadline = time.monotonic() + 60
    while not part.stat().st_size and time.monotonic() < deadline:
        time.sleep(0.01)
    assert part.stat().st_size == 100_000
