"""Whatever an engine says, each decoder gives a value that can be kept and shown, or says that the answer is wrong."""

import json
import math
import random

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.fakes.replay import VERSIONS, recording
from zoetrope.engine.comfyui import decoder, events, submission
from zoetrope.engine.protocol import Step
from zoetrope.errors import EngineRefused, WrongAnswer
from zoetrope.graphs import catalog

RUNS = [(version, run) for version in VERSIONS for run in ("success", "oom", "interrupted")]
HISTORIES = [recording(*each)["history"] for each in RUNS]
ID = next(iter(HISTORIES[0]))
PINNED = catalog.load()
NODES = ("KSamplerAdvanced", "SaveVideo", "ResizeImageMaskNode", "CLIPLoader", "RIFE VFI")

#: What a real server answers to each question, and what reads it.
ANSWERS = {
    "queue": (
        [
            {"queue_running": [h["prompt"]], "queue_pending": [h["prompt"], h["prompt"]]}
            for history in HISTORIES[:2]
            for h in history.values()
        ],
        lambda data: decoder.queue(data, ID),
    ),
    "history": (
        [{ID: next(iter(history.values()))} for history in HISTORIES],
        lambda data: decoder.history(data, ID),
    ),
    "event": (
        [message for each in RUNS for message in recording(*each)["ws"]],
        events.event,
    ),
    "taken": (
        [recording(*each)["post"]["body"] for each in RUNS],
        lambda data: submission.refusal(200, data, ID, {}),
    ),
    "refused": (
        [
            {"error": {"type": "invalid_prompt", "message": "m", "details": "", "extra_info": {}}},
            {
                "error": {"type": "prompt_outputs_failed_validation", "message": "m"},
                "node_errors": {
                    "1": {
                        "class_type": "UNETLoader",
                        "dependent_outputs": ["17"],
                        "errors": [
                            {
                                "type": "value_not_in_list",
                                "message": "m",
                                "details": "d",
                                "extra_info": {"input_name": "unet_name"},
                            }
                        ],
                    }
                },
            },
        ],
        lambda data: submission.refusal(400, data, ID, {}),
    ),
    "upload": (
        [{"name": "a.png", "subfolder": "zoetrope", "type": "input"}],
        lambda data: decoder.uploaded(data, "a.png", "zoetrope"),
    ),
    "stats": (
        [
            {
                "system": {"comfyui_version": "0.27.1", "python_version": "3", "ram_total": 1},
                "devices": [{"name": "n", "type": "cuda", "vram_total": 1, "vram_free": 1}],
            }
        ],
        lambda data: (decoder.stats(data), decoder.cuda_bytes(data)),
    ),
    "features": ([{"max_upload_size": 104857600, "extension": {}}], decoder.max_upload),
    "listing": ([["a.safetensors", "sub/b.pth"]], decoder.listing),
    "object_info": (
        [{name: catalog.node_info(PINNED, name, lambda _: ["a.safetensors"]) for name in NODES}],
        lambda data: decoder.object_info(data, "x"),
    ),
}

#: What a mutation puts in a place; each is written as Python's JSON writes it.
ODD = [
    None, True, 0, -1, 1.5, float("nan"), float("inf"), -float("inf"), 10**40, 10**400, "", "0",
    "\0", "\ud800", "\x1b[31m", "a" * 5000, "../../x", [], {}, [[]], {"": {}}, [None], {"a": [1]},
    [["execution_error", {}]], {"filename": "x"}, [{"filename": {}}], [1, "2", 3.0], [[[[[[]]]]]],
]  # fmt: skip


def mutated(value, chance: random.Random):
    """Change one place of a value: taken out, put twice, or something else there."""
    if isinstance(value, dict | list) and value and chance.random() < 0.85:
        value = dict(value) if isinstance(value, dict) else list(value)
        place = chance.choice(list(value) if isinstance(value, dict) else range(len(value)))
        what = chance.random()
        if what < 0.1:
            del value[place]
        elif what < 0.15 and isinstance(value, list):
            value.insert(place, value[place])
        elif what < 0.2 and isinstance(value, dict):
            value[str(chance.choice(ODD))[:50]] = value.pop(place)
        else:
            value[place] = mutated(value[place], chance)
        return value
    return chance.choice(ODD)


def bent(data: bytes, chance: random.Random) -> bytes:
    """Break the text itself: cut, doubled, or with other bytes in it."""
    at, to = sorted(chance.randrange(len(data) + 1) for _ in range(2))
    return chance.choice(
        (
            data[:at],
            data[at:],
            data[:at] + data[to:],
            data[:to] + data[at:],
            data[:at] + chance.randbytes(chance.randrange(1, 5)) + data[to:],
            data[:at] + b"[" * 3000 + data[at:],
        )
    )


def judge(question: str, data: bytes) -> None:
    """Decode, and see that the value can be kept by a store, sent as JSON and shown."""
    found = reason = None
    try:
        found = ANSWERS[question][1](data)
    except WrongAnswer as error:
        reason = error.reason
    if isinstance(found, EngineRefused):
        reason = found.reason
    if reason is not None:
        assert reason.sentence.isprintable()
        assert len(reason.sentence) < 1000
        return
    if question != "listing":  # names that are compared, and never shown
        msgspec.json.encode(found)
    if question == "event" and found is not None and isinstance(step := found[1], Step):
        assert 0.0 <= step.value <= step.maximum < math.inf


@pytest.mark.parametrize("question", ANSWERS)
def test_what_a_real_server_says_is_decoded(question):
    answers, decode = ANSWERS[question]
    for answer in answers:
        decode(json.dumps(answer).encode())


@pytest.mark.parametrize("question", ANSWERS)
@given(seed=st.integers(0, 2**64), times=st.integers(1, 4), text=st.booleans())
def test_a_changed_answer_is_decoded_or_wrong(question, seed, times, text):
    chance = random.Random(seed)
    value = chance.choice(ANSWERS[question][0])
    for _ in range(times):
        value = mutated(value, chance)
    data = json.dumps(value).encode()
    judge(question, bent(data, chance) if text else data)


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@pytest.mark.parametrize("question", ANSWERS)
@given(data=st.binary(max_size=200) | ANY_JSON.map(lambda value: json.dumps(value).encode()))
@example(data=b"")
@example(data=b"\xef\xbb\xbf{}")
@example(data=b"[" * 200_000)
@example(data=b'{"a":' * 200_000)
@example(data=b'{"queue_running": [[-1e999, "\\ud800"]], "queue_pending": [[NaN, ""]]}')
def test_anything_else_is_decoded_or_wrong(question, data):
    judge(question, data)
