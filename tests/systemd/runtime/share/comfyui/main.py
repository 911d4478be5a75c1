"""The simulated engine behind ComfyUI's command line, for machines that have no GPU."""

import argparse
import asyncio
import os
from pathlib import Path

from zoetrope.engine.simulated.serve import serve

parser = argparse.ArgumentParser()
parser.add_argument("--base-directory", type=Path, required=True)
parser.add_argument("--listen", required=True)
parser.add_argument("--port", type=int, required=True)
given, rest = parser.parse_known_args()
print("flags:", *rest, flush=True)
asyncio.run(
    serve(
        given.base_directory,
        host=given.listen,
        port=given.port,
        step_seconds=float(os.environ.get("SIMULATED_STEP_SECONDS", "0")),
        faults=[],
    )
)
