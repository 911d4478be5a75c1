"""`zoetrope lint`, `rules` and `catalog` as a person runs them."""

import http.server
import json
import threading
from pathlib import Path

import pytest

from zoetrope.engine.protocol import Stats
from zoetrope.engine.report import EngineReport, Kernel
from zoetrope.graphs import catalog
from zoetrope.graphs.document import decode, encode
from zoetrope.graphs.graph import put
from zoetrope.lint.rules import RULES

WORKFLOWS = Path(__file__).parents[2] / "workflows"
HERO = WORKFLOWS / "wan22-i2v-hero" / "workflow.json"


@pytest.fixture
def bent(tmp_path):
    """Write the hero's graph with some values changed."""

    def write(changes=None, name="graph.json"):
        graph = put(decode(HERO.read_bytes(), "hero"), changes or {})
        file = tmp_path / name
        file.write_text(json.dumps(encode(graph)))
        return file

    return write


def test_a_sound_graph_has_no_error(run, bent):
    done = run("lint", bent(), "--quiet")
    assert done.exit_code == 0
    assert done.stdout == "No findings in 1 workflow.\n"


def test_a_trap_is_told_with_its_place_why_it_matters_and_the_fix(run, bent):
    done = run("lint", bent({"ks_low.start_at_step": 7}))
    assert done.exit_code == 1
    for words in (
        "error S002  ks_low.start_at_step",
        "start_at_step = 7, while ks_high ends at 5",
        "why: The second stage must begin",
        "fix: Let the second stage start where the first one ends. (--fix)",
        "1 error",
    ):
        assert words in done.stdout


def test_fix_mends_the_file_and_what_is_left_is_told(run, bent):
    file = bent({"ks_low.start_at_step": 7, "cond.length": 72})
    done = run("lint", file, "--fix", "--quiet")
    assert done.exit_code == 0, done.stdout
    assert "2 fixed" in done.stderr
    graph = json.loads(file.read_text())
    assert graph["ks_low"]["inputs"]["start_at_step"] == 5
    assert graph["cond"]["inputs"]["length"] == 73


def test_the_running_service_knows_card_and_kernels_and_the_command_line_counts_before_it(
    service, run
):
    upscale = HERO.with_name("workflow-upscale-only.json")
    worker = service.parts.conductor.workers[0]
    runtime = EngineReport(schema=1, capability="8.6", kernels=(Kernel(name="sdpa", verdict="ok"),))
    worker.stats = Stats(version="0.27.1", vram_total=8 << 30, runtime=runtime)
    assert "U010" not in run("lint", upscale).stdout
    assert "U010" in run("lint", upscale, "--service").stdout
    assert "24000 are known to fit 8 GB" in run("lint", HERO, "--service").stdout
    done = run("lint", HERO, "--service", "--memory", "80", "--kernels", "sageattention").stdout
    assert "F005" not in done
    assert "U010" not in done


def test_a_service_without_an_engine_knows_of_no_card(service, run):
    service.parts.conductor.workers.clear()
    done = run("lint", HERO, "--service")
    assert done.exit_code == 2
    assert "has no engine" in done.stderr


def test_the_graph_of_the_first_guide_fails_and_its_fix_passes(run, tmp_path):
    # Wan22FunControlToVideo on plain image-to-video weights: the start picture is dropped without a word.
    graph = encode(decode(HERO.read_bytes(), "hero"))
    old = graph["cond"]["inputs"]
    kept = ("positive", "negative", "vae", "width", "height", "length", "batch_size")
    graph["cond"] = {
        "class_type": "Wan22FunControlToVideo",
        "inputs": {**{key: old[key] for key in kept}, "ref_image": old["start_image"]},
    }
    file = tmp_path / "guide.json"
    file.write_text(json.dumps(graph))
    done = run("lint", file)
    assert done.exit_code == 1
    assert "M004" in done.stdout
    assert run("lint", file, "--fix", "--quiet").exit_code == 0
    repaired = json.loads(file.read_text())["cond"]
    assert repaired["class_type"] == "WanImageToVideo"
    assert repaired["inputs"]["start_image"] == old["start_image"]


def test_findings_as_json_and_for_github(run, bent):
    file = bent({"ks_low.start_at_step": 7})
    rows = json.loads(run("lint", file, "--format", "json").stdout)
    (row,) = [row for row in rows if row["severity"] == "error"]
    assert (row["file"], row["rule"], row["node"]) == (str(file), "S002", "ks_low")
    assert json.loads(run("lint", file, "--json").stdout) == rows
    lines = run("lint", file, "--format", "github", "--quiet").stdout.splitlines()
    assert lines[0].startswith(f"::error file={file},title=S002::ks_low ")


def test_a_graph_beside_its_recipe_is_judged_with_it(run, tmp_path):
    folder = tmp_path / "own"
    folder.mkdir()
    two_pass = json.loads((WORKFLOWS / "wan22-two-pass" / "workflow.json").read_text())
    for first, second in (("shift_high", "shift_low"),):
        for node in two_pass.values():
            for key, value in node["inputs"].items():
                if isinstance(value, list) and value[0] in (first, second) and key == "model":
                    value[0] = second if value[0] == first else first
    (folder / "workflow.json").write_text(json.dumps(two_pass))
    assert "S001" in run("lint", folder / "workflow.json").stdout
    (folder / "recipe.toml").write_text('tags = ["experimental"]')
    assert "S001" not in run("lint", folder).stdout
    assert "S001" not in run("lint", folder / "workflow.json").stdout


def test_every_shipped_recipe_is_without_error_or_warning(run):
    folders = sorted(file.parent for file in WORKFLOWS.glob("*/recipe.toml"))
    done = run("lint", *folders, "--quiet")
    assert done.exit_code == 0
    assert "No findings" in done.stdout


def test_what_is_known_of_the_host_counts(run, bent):
    file = bent({"cond.width": 1280, "cond.height": 720})
    assert "F005" not in run("lint", file).stdout
    assert "F005" in run("lint", file, "--memory", "16").stdout


def test_a_file_that_is_named_as_a_copy_is_told_and_may_be_ignored(run, bent):
    file = bent(name="video_wan2_2_14B_i2v (2).json")
    done = run("lint", file)
    assert done.exit_code == 0
    assert "'video_wan2_2_14B_i2v (2).json' ends in '(2)'" in done.stdout
    assert "Z010" not in run("lint", file, "--ignore", "Z010=the only one left").stdout
    assert "Z010" not in run("lint", bent()).stdout


def test_an_ignore_needs_a_reason(run, bent):
    file = bent({"ks_low.start_at_step": 7})
    assert run("lint", file, "--ignore", "S002=it is meant").exit_code == 0
    done = run("lint", file, "--ignore", "S002")
    assert done.exit_code == 2
    assert "has no reason; write ID=REASON" in done.stderr


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is not valid JSON"),
        ("[" * 100_000, "nested too deep"),
        ('{"nodes": [], "links": [], "version": 0.4}', "Z003"),
        ("[]", "is not a workflow"),
        (
            '{"a": {"class_type": "X", "inputs": {}}, "a": {"class_type": "Y", "inputs": {}}}',
            "Z009",
        ),
    ],
)
def test_what_is_no_graph_is_told_in_words(run, tmp_path, text, words):
    file = tmp_path / "odd.json"
    file.write_text(text)
    done = run("lint", file)
    assert done.exit_code == 1
    assert words in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_a_folder_that_is_no_recipe_and_a_file_that_is_not_there(run, tmp_path):
    assert "is not a recipe" in run("lint", tmp_path).stderr
    assert "cannot be read" in run("lint", tmp_path / "none.json").stderr


def test_rules_are_listed_and_explained(run):
    lines = run("rules").stdout.splitlines()
    assert len(lines) == len(RULES) + 1  # and the head
    done = run("rules", "s002")
    assert "why     The second stage must begin" in done.stdout
    assert json.loads(run("rules", "S002", "--json").stdout)[0]["severity"] == "error"
    wrong = run("rules", "S0002")
    assert wrong.exit_code == 1
    assert "did you mean" in wrong.stderr


def test_a_catalogue_shows_what_changed(run):
    done = run("catalog", "drift", "0.3.64", "--node", "KSamplerAdvanced")
    assert "KSamplerAdvanced: input sampler_name: takes" in done.stdout
    assert "Recorded are 0.3.64, 0.8.0, 0.27.1, 0.33.0" in run("catalog", "drift", "0.1").stderr


@pytest.fixture
def comfyui():
    """Answer as a ComfyUI with two nodes does."""
    pinned = catalog.load()
    info = {n: catalog.node_info(pinned, n, lambda _: ["a.safetensors"]) for n in pinned.nodes}
    answers = {
        "/system_stats": {"system": {"comfyui_version": "9.9"}},
        "/object_info": {name: info[name] for name in ("KSamplerAdvanced", "VAEDecode")},
    }

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = json.dumps(answers[self.path]).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_running_engines_nodes_are_recorded_and_used(run, tmp_path, comfyui, bent):
    file = tmp_path / "mine.json"
    done = run("catalog", "record", "--engine", comfyui, "-o", file)
    assert done.stdout == f"Wrote 2 nodes of ComfyUI 9.9 to {file}.\n"
    assert "No changes." in run("catalog", "drift", file, "--node", "VAEDecode").stdout
    for words in (("--catalog", file), ("--engine", comfyui)):
        assert "Z001" in run("lint", bent(), *words).stdout


def test_an_engine_that_does_not_answer_is_said(run, bent):
    done = run("lint", bent(), "--engine", "http://127.0.0.1:9")
    assert done.exit_code == 1
    assert "does not answer as ComfyUI does" in done.stderr
