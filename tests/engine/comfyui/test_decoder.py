"""What ComfyUI says over HTTP, on three recorded versions, and what cannot be right."""

import json

import pytest

from tests.fakes.replay import VERSIONS, recording
from zoetrope.engine.comfyui import decoder
from zoetrope.engine.protocol import (
    MAX_UPLOAD,
    Finished,
    Interrupted,
    Output,
    PromptFailed,
    Queued,
    Started,
    Stats,
)
from zoetrope.errors import WrongAnswer
from zoetrope.graphs.graph import Node

ID = "9a4ed975-333f-426b-962e-97a79dcdc5d6"


def said(value) -> bytes:
    return json.dumps(value).encode()


def ended(version: str, run: str):
    found = recording(version, run)["history"]
    return decoder.history(said(found), next(iter(found)))


def entry(**parts) -> bytes:
    return said({ID: {"prompt": [1, ID, {}, {}, []], "outputs": {}, "status": {}, **parts}})


@pytest.mark.parametrize("version", VERSIONS)
class TestRecordedEndings:
    def test_success_names_its_files(self, version):
        found = ended(version, "success")
        assert isinstance(found, Finished)
        (output,) = found.outputs
        assert output.filename.endswith(".mp4")
        assert output.type == "output"

    def test_a_run_out_of_the_cache_is_a_success(self, version):
        assert isinstance(ended(version, "all_cached"), Finished)

    def test_out_of_memory_is_a_failure_of_its_kind(self, version):
        found = ended(version, "oom")
        assert isinstance(found, PromptFailed)
        assert found.failure.kind == "oom"
        assert found.failure.node == "30"
        assert "TIPS" not in found.failure.message

    def test_interrupted_looks_like_an_error_and_is_none(self, version):
        found = recording(version, "interrupted")["history"]
        assert next(iter(found.values()))["status"]["status_str"] == "error"
        assert ended(version, "interrupted") == Interrupted()


def test_the_queue_is_read_in_the_order_in_which_it_runs_with_who_sent_what():
    ours = {"client_id": "we", "zoetrope": {"job": "1f3a", "stage": "i2v"}}
    forged = {"client_id": "they", "zoetrope": {"job": "1f3a"}}
    body = {
        "queue_running": [[5, "run", {}, forged, []]],
        "queue_pending": [
            [9, "last", {}, ours, []],
            [-3.0, "front", {}, {}, [], "more"],
            [7, "bare", {}],
            [6, "own", {}, {"client_id": "we", "zoetrope": None}, []],
        ],
    }
    entries = decoder.queue(said(body), "we")
    assert [each.prompt_id for each in entries] == ["run", "front", "own", "bare", "last"]
    assert [each.running for each in entries] == [True, False, False, False, False]
    assert [each.ours for each in entries] == [False, False, True, False, True]
    assert [each.job for each in entries] == ["", "", "", "", "1f3a"]
    assert decoder.queue_place(entries, "run") == Started()
    assert decoder.queue_place(entries, "front") == Queued(1, others=1)
    assert decoder.queue_place(entries, "last") == Queued(4, others=3)
    assert decoder.queue_place(entries, "nobody") is None


def test_numbers_that_no_float_holds_still_have_their_order():
    pending = ",".join(f'[{number},"{name}"]' for number, name in (
        ("NaN", "odd"), ("1" + "0" * 400, "huge"), ("1e999", "endless"), ("7", "small"),
    ))  # fmt: skip
    entries = decoder.queue(f'{{"queue_running":[],"queue_pending":[{pending}]}}'.encode(), "we")
    assert [each.prompt_id for each in entries] == ["small", "huge", "endless", "odd"]


def test_files_are_found_whatever_their_list_is_called():
    found = decoder.history(
        entry(
            outputs={
                "1": {"images": [{"filename": "a.mp4", "subfolder": "x", "type": "output"}]},
                "2": {"gifs": [{"filename": "b.mp4", "subfolder": "", "type": "temp"}]},
                "3": {"images": [{"filename": "c.mp4"}], "animated": [True], "text": ["hello"]},
                "4": {"value": 3, "3d": [{"url": "x"}], "none": None},
            }
        ),
        ID,
    )
    assert found == Finished(
        (
            Output("1", "a.mp4", "x", "output"),
            Output("2", "b.mp4", "", "temp"),
            Output("3", "c.mp4", "", "output"),
        )
    )


def test_an_empty_history_is_no_answer_about_a_prompt_and_another_prompts_is_a_wrong_one():
    assert decoder.history(b"{}", ID) is None
    with pytest.raises(WrongAnswer, match="another prompt"):
        decoder.history(said({"error": {}}), ID)


def test_what_python_alone_writes_as_json_is_read():
    """A node whose IS_CHANGED gives NaN, a key that comes twice, and a name that is no UTF-8."""
    text = entry(prompt=[1, ID, {"5": {"is_changed": ["?"], "name": "\udcff"}}, {}, []])
    text = text.replace(b'"?"', b"NaN, Infinity, -Infinity, 1e999, " + b"9" * 4000)
    twice = text.replace(b'"status"', b'"status": {"status_str": "error"}, "status"')
    for data in (text, twice):
        assert decoder.history(data, ID) == Finished(())


def test_a_text_of_ten_megabytes_becomes_a_short_line():
    text = "\x00\x1b[31mno\ud800 \u2028memory\n" * 600_000
    error = {"exception_message": text, "exception_type": "X" * 1_000_000, "node_id": 7}
    found = decoder.history(entry(status={"messages": [["execution_error", error]]}), ID)
    assert isinstance(found, PromptFailed)
    assert len(found.failure.message) <= 400
    assert found.failure.message.isprintable()
    assert found.failure.node == "7"
    assert len(found.failure.exception) <= 200


DEEP = b"[" * 100_000 + b"]" * 100_000
PAGE = b"<!DOCTYPE html><title>502 Bad Gateway</title>"
NO_ANSWERS = {
    "nothing": b"",
    "a page": PAGE,
    "half": b'{"queue_running": [[1, "x"',
    "bad UTF-8": b'{"queue_running": [], "queue_pending": [[1, "\xff\xfe"]]}',
    "UTF-16 without an end": "{}".encode("utf-16")[:-1],
    "deep": DEEP,
    "deep inside": b'{"queue_running": ' + DEEP + b', "queue_pending": []}',
    "a list": b"[]",
    "a text": b'"queue"',
    "null": b"null",
    "NaN": b"NaN",
    "a number of 5000 digits": b"9" * 5000,
}
WRONG_QUEUES = {
    "no lists": {},
    "half of it": {"queue_running": []},
    "objects": {"queue_running": {}, "queue_pending": {}},
    "a prompt that is an object": {"queue_running": [{"prompt_id": ID}], "queue_pending": []},
    "a prompt without an id": {"queue_running": [[1]], "queue_pending": []},
    "an id that is a number": {"queue_running": [], "queue_pending": [[1, 2]]},
    "a number that is a text": {"queue_running": [], "queue_pending": [["1", ID]]},
    "an id that is no text": {"queue_running": [], "queue_pending": [[1, "\ud800"]]},
    "a number that is true": {"queue_running": [], "queue_pending": [[True, ID]]},
}
WRONG_ENTRIES = {
    "a list": [],
    "null": None,
    "outputs that are a list": {"outputs": []},
    "a node that is a list": {"outputs": {"1": []}},
    "a file without a name": {"outputs": {"1": {"images": [{"filename": None}]}}},
    "a file with an empty name": {"outputs": {"1": {"images": [{"filename": ""}]}}},
    "a name with a NUL": {"outputs": {"1": {"images": [{"filename": "a\0.mp4"}]}}},
    "a name that no request can hold": {"outputs": {"1": {"images": [{"filename": "\ud800"}]}}},
    "an endless name": {"outputs": {"1": {"images": [{"filename": "a" * 5000}]}}},
    "a subfolder that is a list": {
        "outputs": {"1": {"images": [{"filename": "a", "subfolder": [1]}]}}
    },
    "a status that is a text": {"status": "success"},
    "a status that is a number": {"status": {"status_str": 3}},
    "messages that are an object": {"status": {"messages": {}}},
    "a message that is a text": {"status": {"messages": ["execution_error"]}},
    "a message without data": {"status": {"messages": [["execution_error"]]}},
    "a message whose data is a list": {"status": {"messages": [["execution_error", []]]}},
}
QUESTIONS = {
    "queue": lambda data: decoder.queue(data, ID),
    "history": lambda data: decoder.history(data, ID),
    "stats": decoder.stats,
    "features": decoder.max_upload,
    "listing": decoder.listing,
    "upload": lambda data: decoder.uploaded(data, "a.png", "zoetrope"),
    "object_info": lambda data: decoder.object_info(data, "x"),
    "cuda": decoder.cuda_bytes,
}


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("name", NO_ANSWERS)
def test_what_is_no_answer_at_all_is_the_engines_failure(question, name):
    if (question, name) == ("listing", "a list"):
        return
    with pytest.raises(WrongAnswer) as caught:
        QUESTIONS[question](NO_ANSWERS[name])
    reason = caught.value.reason
    assert reason.key == "wrong-answer"
    assert reason.next_step
    assert len(reason.sentence) < 300
    assert reason.sentence.isprintable()


@pytest.mark.parametrize("name", WRONG_QUEUES)
def test_a_queue_that_cannot_be_right_says_nothing_of_our_prompt(name):
    with pytest.raises(WrongAnswer, match="about its queue"):
        decoder.queue(said(WRONG_QUEUES[name]), ID)


@pytest.mark.parametrize("name", WRONG_ENTRIES)
def test_a_history_that_cannot_be_right_is_no_ending(name):
    with pytest.raises(WrongAnswer, match="about its history"):
        decoder.history(said({ID: WRONG_ENTRIES[name]}), ID)


@pytest.mark.parametrize(
    "status", [None, {}, {"messages": None}, {"status_str": None, "completed": "?", "new": 1}]
)
def test_a_status_that_says_less_or_more_is_no_error(status):
    assert decoder.history(entry(status=status, outputs=None, meta=None), ID) == Finished(())


def test_stats_take_no_number_that_cannot_be_one():
    device = {"name": "RTX\n5080", "type": "cuda", "vram_total": 17_000_000_000, "vram_free": 1.5}
    found = decoder.stats(said({"system": {"comfyui_version": "0.33.0"}, "devices": [device]}))
    assert found == Stats(version="0.33.0", device="RTX 5080", vram_total=17 * 10**9, vram_free=1)
    for odd in ("NaN", "Infinity", "-5", "1" + "0" * 400, '"many"', "true", "null", "[]", "1e300"):
        data = f'{{"system": {{}}, "devices": [{{"type": "cuda", "vram_total": {odd}}}]}}'.encode()
        assert decoder.stats(data) == Stats(version="")
        assert decoder.cuda_bytes(data) == 0
    assert decoder.cuda_bytes(b'{"system": {}, "devices": []}') is None


@pytest.mark.parametrize("other", [b"{}", b'{"status": "ok"}', b'{"system": [], "devices": []}'])
def test_another_programs_status_is_not_comfyuis(other):
    with pytest.raises(WrongAnswer, match="about itself"):
        decoder.stats(other)


@pytest.mark.parametrize("word", ["simulated", "rehearsal"])
def test_a_simulated_engine_is_known_by_both_words_that_it_may_answer(word):
    assert decoder.stats(said({"system": {}, word: {}})).simulated
    assert not decoder.stats(said({"system": {}})).simulated


@pytest.mark.parametrize(
    ("features", "limit"),
    [
        ({"max_upload_size": 5000}, 5000),
        ({}, MAX_UPLOAD),
        ({"max_upload_size": None}, MAX_UPLOAD),
        ({"max_upload_size": -1}, MAX_UPLOAD),
        ({"max_upload_size": 10**30}, MAX_UPLOAD),
        ({"max_upload_size": "100 MB"}, MAX_UPLOAD),
    ],
)
def test_what_one_upload_may_have_is_a_number_of_bytes(features, limit):
    assert decoder.max_upload(said(features)) == limit


@pytest.mark.parametrize(
    ("answer", "name"),
    [
        ({"name": "a.png", "subfolder": "zoetrope", "type": "input"}, "zoetrope/a.png"),
        ({"name": "a.png", "subfolder": "zoetrope", "asset": {"id": 1}}, "zoetrope/a.png"),
        # A graph with such a name would be rejected, and the picture with it.
        ({"name": "a.png", "subfolder": ""}, None),
        ({"name": "a.png"}, None),
        ({"name": ""}, None),
        ({"name": 3}, None),
        ({"name": "a\0"}, None),
        ({"name": "a", "subfolder": "\ud800"}, None),
        ({"subfolder": "zoetrope"}, None),
        ({"name": "a (2).png", "subfolder": "zoetrope"}, "zoetrope/a (2).png"),
        ({"name": "b.png", "subfolder": "zoetrope"}, None),
        ({"name": "../a.png", "subfolder": "zoetrope"}, None),
        ({"name": "../../../etc/passwd", "subfolder": "zoetrope"}, None),
        ({"name": "a.png", "subfolder": "../.."}, None),
        ({"name": "a.png", "subfolder": "another"}, None),
    ],
)
def test_an_upload_has_the_name_that_the_engine_gives_it(answer, name):
    if name is not None:
        assert decoder.uploaded(said(answer), "a.png", "zoetrope") == name
    else:
        with pytest.raises(WrongAnswer, match="about the upload"):
            decoder.uploaded(said(answer), "a.png", "zoetrope")


def test_a_listing_gives_names_and_passes_over_what_is_none():
    listed = decoder.listing(said(["a.pth", "sub/b.pth", None, 3, {"name": "c"}, "d\udcff"]))
    assert listed == {"a.pth", "b.pth", "d\udcff"}


def test_a_node_whose_signature_is_none_is_left_out_and_the_others_stay():
    good = {"input": {"required": {"x": ["INT", {"min": 0}]}}, "output": ["IMAGE"]}
    bad = {
        "null": None,
        "a text": "node",
        "no output": {"input": {}},
        "inputs that are a list": {**good, "input": {"required": ["x"]}},
        "an input without a type": {**good, "input": {"required": {"x": []}}},
        "a range of texts": {**good, "input": {"required": {"x": ["INT", {"min": "low"}]}}},
        "options that are a number": {**good, "input": {"required": {"x": ["A", {"options": 3}]}}},
        "an option without a key": {**good, "input": {"required": {"x": [[{}]]}}},
        "an option that is a list": {**good, "input": {"required": {"x": [[["a"]]]}}},
        "a growing input of nothing": {
            **good,
            "input": {"required": {"x": ["COMFY_AUTOGROW_V3", {"template": {"input": []}}]}},
        },
    }
    found = decoder.object_info(said({"good": good, **bad}), "0.33.0")
    assert set(found.nodes) == {"good"}
    assert found.nodes["good"].inputs["x"].min == 0


def test_models_that_no_validation_covers_are_listed():
    graph = {
        "1": Node("SeedVR2LoadDiTModel", {"model": "seedvr2_ema_3b.safetensors"}),
        "2": Node("RIFE VFI", {"ckpt_name": "rife49.pth"}),
        "3": Node("UNETLoader", {"unet_name": "x"}),
    }
    assert decoder.unchecked_models(graph) == [
        ("seedvr2_ema_3b.safetensors", ("seedvr2",)),
        ("rife49.pth", ("rife", "custom_nodes")),
    ]
