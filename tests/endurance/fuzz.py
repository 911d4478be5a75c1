"""Fuzzing of every decoder and parser: whatever the bytes, the answer is a value or a refusal with a reason."""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec

from tests.endurance.mutations import mutated
from tests.endurance.opened import OPENERS, open_many
from tests.endurance.parser import Parser
from tests.endurance.parsers import PARSERS
from tests.endurance.part import Part
from zoetrope.errors import ZoetropeError

CORPUS = Path(__file__).parent / "corpus"
MOST = 40  # inputs of one parser that are kept
SHORT = 300  # bytes of an input that is kept
SLICE = 1.0  # seconds for one parser at a time
#: An input that takes a parser longer hangs the service.
LONGEST = 2.0

_UNSAID = re.compile(r"['\"`].*['\"`]|[0-9]+|\S{25,}")


class Slow(AssertionError):
    """A parser took too long."""


def fuzz(part: Part) -> None:
    """Feed every parser in turn, and then the processes that open pictures and videos."""
    part.counts.update({"inputs": 0, "crashes": 0})
    pools = {name: Pool(name, parser) for name, parser in PARSERS.items()}
    while part.left():
        for name, pool in pools.items():
            part.points[name] += (number := pool.feed(part.random, SLICE / 2, part.root))
            part.counts["inputs"] += number
        for name, opener in OPENERS.items():
            seed = part.random.randrange(2**32)
            opened, dead = open_many(opener, seed, SLICE * 2, part.root)
            part.points[name] += opened
            part.counts["inputs"] += opened
            part.counts["decoders that died"] += dead
        part.tick()
    grown = {name: pool.kept() for name, pool in pools.items()}
    (part.root / "corpus.json").write_bytes(msgspec.json.encode(grown))


class Pool:
    """What one parser is fed with: its seeds, what earlier runs kept, and what was new in this one."""

    def __init__(self, name: str, parser: Parser) -> None:
        self._name = name
        self._parser = parser
        self._inputs: dict[str, bytes] = {}
        for data in (*parser.seeds, *read(name)):
            self._inputs.setdefault(outcome(parser, data), data)
        self._all = (*parser.seeds, *self._inputs.values())

    def feed(self, chance: random.Random, seconds: float, root: Path) -> int:
        """Feed it for so long; an input that it cannot take is kept and raised."""
        until = time.monotonic() + seconds * self._parser.cost
        number = 0
        while time.monotonic() < until:
            for _ in range(20):
                data = mutated(chance.choice(self._all), self._all, chance)
                number += 1
                try:
                    found = outcome(self._parser, data)
                except Exception as error:
                    (root / "crash").write_bytes(data)
                    raise AssertionError(
                        f"{self._name}: {type(error).__name__}: {error}"
                    ) from error
                if found not in self._inputs and len(data) <= SHORT:
                    self._inputs[found] = data
                    self._all = (*self._all, data)[-400:]
        return number

    def kept(self) -> list[str]:
        """Give the inputs that are worth keeping: one for each kind of answer."""
        return [data.decode("latin-1") for data in self._inputs.values() if len(data) <= SHORT]


def outcome(parser: Parser, data: bytes) -> str:
    """Feed one input, and name the kind of answer; anything but a value or a refusal is raised."""
    begun = time.perf_counter()
    try:
        value = parser.take(data)
    except parser.may as error:
        said = error.reason.sentence if isinstance(error, ZoetropeError) else str(error)
        kind = f"{type(error).__name__} {_UNSAID.sub('', said)[:60]}"
    else:
        kind = type(value).__name__
    if (took := time.perf_counter() - begun) > LONGEST:
        raise Slow(f"{took:.1f} s for {len(data)} bytes")
    return kind


def read(name: str, folder: Path = CORPUS) -> list[bytes]:
    """Read what earlier runs kept for a parser."""
    file = folder / f"{name.replace(' ', '-')}.json"
    return (
        [text.encode("latin-1") for text in json.loads(file.read_bytes())] if file.exists() else []
    )


def keep(found: Iterable[tuple[str, list[str]]], folder: Path = CORPUS) -> None:
    """Add to the corpus what a run found; it stays small."""
    folder.mkdir(exist_ok=True)
    for name, texts in found:
        file = folder / f"{name.replace(' ', '-')}.json"
        known = json.loads(file.read_bytes()) if file.exists() else []
        whole = [*known, *(text for text in texts if text not in known)]
        file.write_text(json.dumps(whole[:MOST], indent=0) + "\n")
