"""The embedded engine's figures: frames per second, the pipeline's makespan over it, verification, the demo."""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from tests.bench import pictures
from tests.bench.process import wait_until
from tests.bench.table import Figure
from tests.fakes.service import EngineProcess, ServiceProcess
from tests.fakes.source_image import plain_image
from zoetrope.domain.values import Ticket
from zoetrope.engine.comfyui import ComfyEngine
from zoetrope.engine.protocol import Finished
from zoetrope.graphs.shelf import load, shipped
from zoetrope.settings import EngineSettings
from zoetrope.verify.check import check
from zoetrope.verify.expected import Expected

FRAMES = 81


def fps(root: Path, rounds: int = 3) -> Iterator[Figure]:
    """The hero's first stage at the sizes people ask for."""
    engine = EngineProcess(root / "engine")
    engine.start()
    try:
        for width, height in ((832, 480), (1280, 720)):
            seconds = [
                asyncio.run(_stage(engine.url, root, width, height, seed)) for seed in range(rounds)
            ]
            median = statistics.median(seconds)
            size = f"{width}x{height}"
            note = f"hero i2v stage, {FRAMES} frames, 20 steps, median of {rounds}"
            yield Figure(f"engine {size}: frames a second", FRAMES / median, "/s", note=note)
            if width == 832:
                yield Figure(f"engine {size}: stage", median, "s", 15)
    finally:
        engine.stop()


def makespan(root: Path, count: int = 10, step: float = 0.4) -> Iterator[Figure]:
    """Ten pictures, from the first drop to the last folder, against the engine's own busy time."""
    engine = EngineProcess(root / "engine", "--step-seconds", str(step))
    service = ServiceProcess(root, engine.url)
    engine.start()
    service.start()
    try:
        png = pictures.draw()
        begun = time.time()
        for number in range(count):
            staged = root / "staged.png"
            staged.write_bytes(pictures.variant(png, number))
            staged.rename(service.inbox / f"p{number}.png")
        wait_until(lambda: len(service.done()) == count, 300)
        total = time.time() - begun
        spans = [
            stamps["execution_success"] - stamps["execution_start"]
            for stamps in map(_stamps, _history(engine.url).values())
        ]
    finally:
        service.stop()
        engine.stop()
    busy = sum(spans) / 1000
    note = f"{count} jobs, {len(spans)} prompts of {statistics.median(spans):.0f} ms"
    yield Figure("pipeline makespan / engine busy", total / busy, "x", 1.10, note=note)


def verification(root: Path, rounds: int = 7) -> Iterator[Figure]:
    """A clip as large as the documents' largest, looked at by the checking process."""
    engine = EngineProcess(root / "engine")
    engine.start()
    try:
        asyncio.run(_stage(engine.url, root, 832, 1216, 1))
    finally:
        engine.stop()
    times = []
    for _ in range(rounds):
        begun = time.perf_counter()
        verdict = asyncio.run(
            check(
                root / "clip.mp4",
                Expected(frames=FRAMES, fps=16, width=832, height=1216),
                image=root / "picture.png",
                poster=root / "poster.jpg",
            )
        )
        times.append(time.perf_counter() - begun)
        assert verdict.passed, verdict.sentence
    note = f"{FRAMES} frames of 832x1216, process and poster included, median of {rounds}"
    yield Figure("verification", statistics.median(times), "s", 1.5, note=note)


def demo(root: Path, rounds: int = 3) -> Iterator[Figure]:
    """The whole demo, as `make demo` runs it once the environment exists."""
    times = []
    for _ in range(rounds):
        begun = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "zoetrope", "demo"],
            check=True,
            cwd=root,
            stdout=subprocess.DEVNULL,
            timeout=180,
        )
        times.append(time.perf_counter() - begun)
    yield Figure("demo", statistics.median(times), "s", 60, note=f"median of {rounds}")


async def _stage(url: str, root: Path, width: int, height: int, seed: int) -> float:
    """Run the hero's first stage once, keep its clip, and say how many seconds the engine worked."""
    hero = load(shipped() / "wan22-i2v-hero")
    picture = root / "picture.png"
    _scene(width, height).save(picture)
    image = plain_image("picture.png", width=width, height=height)
    ticket = Ticket(recipe=hero.name, width=width, height=height, frames=FRAMES)
    stage = hero.stage("i2v")
    client = ComfyEngine(EngineSettings(name="bench", url=url), "bench")
    await client.start()
    try:
        name = await client.upload(picture, f"bench-{width}x{height}.png")
        graph = hero.build(
            hero.plan(ticket, image, seed), stage, files={"picture": name}, prefix=f"bench/{seed}"
        )
        prompt = str(uuid.uuid4())
        await client.submit(graph, prompt, tags={})
        *_, last = [event async for event in client.follow(prompt)]
        assert isinstance(last, Finished), last
        clip = next(output for output in last.outputs if output.node == stage.output)
        await client.fetch(clip, root / "clip.mp4")
    finally:
        await client.close()
    stamps = _stamps(_history(url)[prompt])
    return (stamps["execution_success"] - stamps["execution_start"]) / 1000


def _scene(width: int, height: int) -> Image.Image:
    """Draw something with soft and fine parts, as photographs have."""
    soft = Image.radial_gradient("L").resize((width, height))
    fine = Image.effect_noise((width, height), 24)
    sky = Image.linear_gradient("L").resize((width, height))
    return Image.merge("RGB", (soft, Image.blend(soft, fine, 0.15), sky))


def _stamps(entry: dict[str, Any]) -> dict[str, float]:
    return {kind: data["timestamp"] for kind, data in entry["status"]["messages"]}


def _history(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{url}/history", timeout=30) as answer:
        found: dict[str, Any] = json.load(answer)
        return found
