"""The simulated engine as a process of its own."""

import argparse
import asyncio
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import msgspec

from .engine import SimulatedEngine
from .faults import Fault, FaultKind
from .kept import KEPT_PROMPTS


async def serve(
    home: Path,
    *,
    host: str = "127.0.0.1",
    port: int = 8188,
    step_seconds: float = 0.0,
    faults: Sequence[Fault] = (),
    announce: bool = True,
    with_parent: bool = False,
    keep: int = KEPT_PROMPTS,
) -> None:
    """Run an engine until SIGTERM or SIGINT; an ordered exit ends the process with status 137."""
    engine = SimulatedEngine(
        home,
        step_seconds=step_seconds,
        faults=faults,
        on_death=lambda: os._exit(137),
        keep=keep,
    )
    done = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, done.set)
    if with_parent:
        # Standard input is a pipe from whoever started us; its end is theirs, however it came.
        loop.add_reader(0, lambda: None if os.read(0, 1) else done.set())
    url = await engine.start(host, port)
    if announce:
        os.write(1, f"simulated engine on {url}, files in {engine.files.home}\n".encode())
    await done.wait()
    await engine.stop()


def read_fault(text: str) -> Fault:
    """Read a fault from the command line: `kind` or `kind:node=KSampler,call=2`."""
    kind, _, rest = text.partition(":")
    fields: dict[str, object] = {"kind": kind}
    for part in filter(None, rest.split(",")):
        key, _, value = part.partition("=")
        fields[key] = value
    try:
        return msgspec.convert(fields, Fault, strict=False)
    except msgspec.ValidationError as problem:
        kinds = ", ".join(get_args(FaultKind))
        raise ValueError(f"{text!r} is not a fault ({problem}); the kinds are {kinds}") from problem


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m zoetrope.engine.simulated")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8188)
    parser.add_argument("--home", type=Path, required=True, help="holds input, output and temp")
    parser.add_argument("--step-seconds", type=float, default=0.0)
    parser.add_argument("--fault", action="append", default=[], metavar="KIND[:KEY=VALUE,...]")
    parser.add_argument("--with-parent", action="store_true", help="end when standard input does")
    given = parser.parse_args(arguments)
    try:
        faults = [read_fault(text) for text in given.fault]
    except ValueError as problem:
        parser.error(str(problem))
    asyncio.run(
        serve(
            given.home,
            host=given.host,
            port=given.port,
            step_seconds=given.step_seconds,
            faults=faults,
            with_parent=given.with_parent,
        )
    )
