"""What earlier fuzzing kept is answered, and every parser is fed for a moment."""

import random

import pytest

from tests.endurance import fuzz
from tests.endurance.mutations import mutated
from tests.endurance.opened import OPENERS
from tests.endurance.parsers import PARSERS

ROUNDS = 60


@pytest.mark.parametrize("name", PARSERS)
def test_whatever_the_bytes_a_parser_answers_or_refuses_with_a_reason(name, tmp_path):
    parser = PARSERS[name]
    chance = random.Random(1834)
    inputs = [*parser.seeds, *fuzz.read(name)]
    inputs += [mutated(chance.choice(inputs), parser.seeds, chance) for _ in range(ROUNDS)]
    for data in inputs:
        fuzz.outcome(parser, data)


@pytest.mark.parametrize("name", OPENERS)
def test_whatever_the_bytes_a_picture_or_a_video_is_opened_or_refused(name, tmp_path):
    take, seeds = OPENERS[name]
    chance = random.Random(7)
    for data in (*seeds(), *(mutated(chance.choice(seeds()), seeds(), chance) for _ in range(10))):
        file = tmp_path / "input"
        file.write_bytes(data)
        take(file)


def test_what_is_kept_is_small(tmp_path):
    fuzz.keep([("a parser", [str(number) for number in range(100)])], tmp_path)
    fuzz.keep([("a parser", ["0", "new"])], tmp_path)
    assert fuzz.read("a parser", tmp_path) == [str(number).encode() for number in range(fuzz.MOST)]
    assert sum(file.stat().st_size for file in fuzz.CORPUS.glob("*")) < 300_000
