"""Every number and every text on the helper's socket has an end; what is beyond it is an answer, never a crash."""

import json
import math

import msgspec
import pytest
from hypothesis import example, given, settings

from tests.fakes.frames import frames
from tests.fakes.nvml.simulated import uid
from zoetrope.gpu import wire
from zoetrope.gpu.bounds import LONGEST_SENTENCE, LONGEST_STAGE

CARD = uid(0)
SOAKED = {"do": "soaked", "card": CARD, "profile": "baseline", "seconds": 60.0}
TROUBLE = {
    "do": "trouble",
    "card": CARD,
    "profile": "baseline",
    "kind": "output",
    "sentence": "It is black.",
}
APPLY = {"do": "apply", "card": CARD, "profile": "baseline"}
WORK = {"do": "work", "card": CARD}

NUMBERS = [
    *(math.nan, math.inf, -math.inf, 1.7e308, -1e-300, -1, -0.5, LONGEST_STAGE + 1, 10**400),
    *(True, False, None, "60", [60], {"seconds": 60}),
]
TEXTS = ["x" * 101, "", 5, 1e300, True, None, ["x"], {"a": "b"}]
NAMES = ["x" * 65, "base line", "../baseline", "baseline\n", "base\x00line", "ß", *TEXTS[1:]]
BEYOND = [
    *(("seconds", SOAKED | {"seconds": number}) for number in NUMBERS),
    *(("card", asked | {"card": text}) for asked in (SOAKED, TROUBLE, WORK) for text in TEXTS),
    *(("profile", SOAKED | {"profile": name}) for name in NAMES),
    *(("profile", APPLY | {"profile": name}) for name in NAMES if name is not None),
    *(("profile", TROUBLE | {"profile": name}) for name in NAMES if name != ""),
    *(("kind", TROUBLE | {"kind": kind}) for kind in ("", "clocks", "engine\n", 5, None)),
    *(
        ("sentence", TROUBLE | {"sentence": text})
        for text in ("x" * (LONGEST_SENTENCE + 1), 5, True, None, ["x"])
    ),
]


@pytest.mark.parametrize(("what", "asked"), BEYOND)
def test_what_has_no_end_or_no_sense_is_no_request(what, asked):
    with pytest.raises(wire.BadHelperRequest, match=r"Not a valid request") as caught:
        wire.decode(json.dumps(asked).encode())
    assert len(str(caught.value)) < 2 * LONGEST_SENTENCE
    assert what in str(caught.value) or "JSON is malformed" in str(caught.value)


def deep(levels):
    return b'{"x": ' + b"[" * levels + b"]" * levels + b', "do": "status"}'


@pytest.mark.parametrize(
    "line",
    [deep(10), deep(1000), deep(2000), b"[" * 4000, b'{"do":' * 500, b'{"do": "\xff"}', b"\x00"],
)
def test_deep_or_broken_json_is_no_request(line):
    with pytest.raises(wire.BadHelperRequest):
        wire.decode(line)


def test_what_a_client_says_of_a_failure_cannot_break_a_line():
    found = wire.decode(json.dumps(TROUBLE | {"sentence": "a\nb\x1b[31m\x00"}).encode())
    assert found.sentence == "a\ufffdb\ufffd[31m\ufffd"


@settings(max_examples=200, deadline=None)
@given(frames)
@example(b'{"do": "soaked", "card": "x", "profile": "a", "seconds": 1.7e308}')
def test_whatever_comes_is_a_request_within_bounds_or_none(line):
    try:
        found = wire.decode(line)
    except wire.BadHelperRequest as error:
        msgspec.json.encode(error.reason)  # and can be said
        return
    assert wire.decode(wire.encode(found).rstrip()) == found
    if isinstance(found, wire.SoakedRequest):
        assert 0 <= found.seconds <= LONGEST_STAGE
