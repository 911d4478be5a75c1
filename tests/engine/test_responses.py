import pytest

from tests.fakes.replay import VERSIONS, recording
from zoetrope.engine import responses
from zoetrope.engine.protocol import (
    Cached,
    Finished,
    Interrupted,
    Output,
    PromptFailed,
    Queued,
    Started,
    Step,
)
from zoetrope.graphs.graph import Node


def entry(version: str, run: str):
    return next(iter(recording(version, run)["history"].values()))


@pytest.mark.parametrize("version", VERSIONS)
class TestRecordedEndings:
    def test_success_names_its_files(self, version):
        found = responses.ending(entry(version, "success"))
        assert isinstance(found, Finished)
        (output,) = found.outputs
        assert output.filename.endswith(".mp4")
        assert output.type == "output"

    def test_a_run_out_of_the_cache_is_a_success(self, version):
        assert isinstance(responses.ending(entry(version, "all_cached")), Finished)

    def test_out_of_memory_is_a_failure_of_its_kind(self, version):
        found = responses.ending(entry(version, "oom"))
        assert isinstance(found, PromptFailed)
        assert found.failure.kind == "oom"
        assert found.failure.node == "30"
        assert "TIPS" not in found.failure.message

    def test_interrupted_looks_like_an_error_and_is_none(self, version):
        found = entry(version, "interrupted")
        assert found["status"]["status_str"] == "error"
        assert responses.ending(found) == Interrupted()


def test_the_queue_is_read_in_the_order_in_which_it_runs_with_who_sent_what():
    ours = {"client_id": "we", "zoetrope": {"job": "1f3a", "stage": "i2v"}}
    forged = {"client_id": "they", "zoetrope": {"job": "1f3a"}}
    body = {
        "queue_running": [[5, "run", {}, forged, []]],
        "queue_pending": [
            [9, "last", {}, ours, []],
            [-3.0, "front", {}, {}, []],
            [7, "bare", {}],
            [6, "own", {}, {"client_id": "we", "zoetrope": None}, []],
        ],
    }
    entries = responses.queue(body, "we")
    assert [each.prompt_id for each in entries] == ["run", "front", "own", "bare", "last"]
    assert [each.running for each in entries] == [True, False, False, False, False]
    assert [each.ours for each in entries] == [False, False, True, False, True]
    assert [each.job for each in entries] == ["", "", "", "", "1f3a"]
    assert responses.queue_place(entries, "run") == Started()
    assert responses.queue_place(entries, "front") == Queued(1, others=1)
    assert responses.queue_place(entries, "last") == Queued(4, others=3)
    assert responses.queue_place(entries, "nobody") is None


def test_files_are_found_whatever_their_list_is_called():
    found = responses.outputs(
        {
            "1": {"images": [{"filename": "a.mp4", "subfolder": "x", "type": "output"}]},
            "2": {"gifs": [{"filename": "b.mp4", "subfolder": "", "type": "temp"}]},
            "3": {"images": [{"filename": "c.mp4"}], "animated": [True], "text": ["hello"]},
        }
    )
    assert found == (
        Output("1", "a.mp4", "x", "output"),
        Output("2", "b.mp4", "", "temp"),
        Output("3", "c.mp4", "", "output"),
    )


@pytest.mark.parametrize(
    ("exception", "text", "kind"),
    [
        ("torch.OutOfMemoryError", "Allocation on device", "oom"),
        ("torch.cuda.OutOfMemoryError", "CUDA out of memory. Tried", "oom"),
        ("RuntimeError", "CUDA out of memory. Tried to allocate", "oom"),
        (
            "RuntimeError",
            "[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't",
            "host-oom",
        ),
        ("MemoryError", "\n", "host-oom"),
        ("torch.AcceleratorError", "CUDA error: an illegal memory access", "cuda"),
        ("RuntimeError", "CUDA error: unspecified launch failure", "cuda"),
        ("safetensors._safetensors_rust.SafetensorError", "header too small", "model"),
        ("RuntimeError", "ERROR: Could not detect model type of: /m/x", "model"),
        ("RuntimeError", "Failed to download required model files. DiT model: x", "model"),
        ("Exception", "Tried all urls to download rife47.pth but no success", "model"),
        ("ModuleNotFoundError", "No module named 'sageattention'", "package"),
        ("FileNotFoundError", "[Errno 2] No such file", "file"),
        ("ValueError", "odd", "node"),
    ],
)
def test_errors_are_told_apart(exception, text, kind):
    found = responses.failure(
        {
            "node_id": "3",
            "node_type": "X",
            "exception_type": exception,
            "exception_message": text + "\n",
        }
    )
    assert found.kind == kind
    assert found.message


def node_error(kind: str, name: str, cls: str = "UNETLoader"):
    return {
        "1": {
            "class_type": cls,
            "errors": [
                {
                    "type": kind,
                    "message": "Value not in list",
                    "details": f"{name}: 'x' not in []",
                    "extra_info": {"input_name": name},
                }
            ],
        }
    }


@pytest.mark.parametrize(
    ("status", "body", "key"),
    [
        (200, {"prompt_id": "x", "number": 1, "node_errors": {}}, None),
        (200, {"node_errors": node_error("invalid_input_type", "steps")}, "graph-refused"),
        (400, {"node_errors": node_error("value_not_in_list", "unet_name")}, "model-missing"),
        (400, {"node_errors": node_error("value_not_in_list", "sampler_name")}, "graph-refused"),
        (400, {"error": {"type": "missing_node_type", "message": "Node 'X'"}}, "node-missing"),
        (
            400,
            {"error": {"type": "invalid_prompt", "message": "node X does not exist."}},
            "node-missing",
        ),
        (400, {"error": {"type": "invalid_prompt_id", "message": "bad"}}, "graph-refused"),
        (500, "500 Internal Server Error", "engine-error"),
        (413, "Maximum request body size exceeded.", "graph-refused"),
    ],
)
def test_refusals_say_whose_matter_they_are(status, body, key):
    found = responses.refusal(status, body)
    assert (found.reason.key if found else None) == key


def test_progress_names_the_running_node_and_what_is_finished():
    nodes = {
        "a": {"value": 1, "max": 1, "state": "finished"},
        "b": {"value": 2, "max": 4, "state": "running"},
    }
    assert responses.message("progress_state", {"nodes": nodes}) == Step("b", 2, 4, ("a",))
    assert responses.message("execution_cached", {"nodes": ["a"]}) == Cached(("a",))
    assert responses.message("executed", {"node": "a"}) is None


def test_models_that_no_validation_covers_are_listed():
    graph = {
        "1": Node("SeedVR2LoadDiTModel", {"model": "seedvr2_ema_3b.safetensors"}),
        "2": Node("RIFE VFI", {"ckpt_name": "rife49.pth"}),
        "3": Node("UNETLoader", {"unet_name": "x"}),
    }
    assert responses.unchecked_models(graph) == [
        ("seedvr2_ema_3b.safetensors", ("seedvr2",)),
        ("rife49.pth", ("rife", "custom_nodes")),
    ]


@pytest.mark.parametrize("word", ["simulated", "rehearsal"])
def test_a_simulated_engine_is_known_by_both_words_that_it_may_answer(word):
    assert responses.stats({word: {}}, {}).simulated
