"""Which attention kernel may ComfyUI use on this GPU? The fastest one whose results are correct.

    python selftest.py                     test every installed kernel, print the report
    python selftest.py --wish sage         the same, and choose SageAttention if it is correct
    python selftest.py --quick --out FILE  the smallest size only; the report goes to a file

Run it with ComfyUI's own Python. It needs no package itself: each kernel is measured in a separate
process (kernels.py), so a crash or a hang affects that kernel only.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))  # also where Python's safe path is on
import flags
from kernels import HEAD_DIM, KERNELS, MARK, ROWS, Kernel

SCHEMA = 1
HEADS = 40
# Tokens of a WAN 2.2 clip of 81 frames: 512x512, 832x480, 1280x720; a prompt has 512 keys.
SIZES = ((21504, 21504), (32760, 512), (32760, 32760), (75600, 75600))
QUICK = SIZES[:2]
ON_CPU = ((1024, 1024), (1024, 512))
DTYPES = ("bfloat16", "float16")

# How far a result may be from the fp32 reference: the worst cosine and the worst relative L1 of any
# head or row (kernels.compare). Measured with the inputs of this test and kernels emulated on a
# CPU (tests/runtime/test_measure.py checks it):
#                                              cosine         relative L1
#   correct, 16 bits: rounding of the result    > 0.99999      0.002
#   correct, int8 scores with fp16 values       0.9999         0.018
#   correct, int8 scores with fp8 values        0.9991         0.042
#   softmax scale 10 % off                      0.975..0.991   0.33..0.95
#   the last 64 keys left out                   0.01..0.14     0.91..0.98
#   values shifted by one token                 < 0            1.4
# The bounds are in between, at about twice the error of the worst correct kernel of their kind.
# A scale that is 2 % off in an 8-bit kernel (0.06..0.15) is the smallest fault that may pass.
BOUNDS = {False: (0.9999, 0.01), True: (0.997, 0.1)}  # by Kernel.quantised: (least, most)

EXIT_NONE_RIGHT, EXIT_NO_TORCH = 1, 3
EACH = 150.0  # seconds for one kernel, including import and compilation
OVERHEAD = 0.2  # share of free memory for the kernels' own workspaces

Case = dict[str, Any]
Row = dict[str, Any]
Ask = Callable[[str, Sequence[Case], float], Row]


def need(queries: int, keys: int, heads: int, *, quadratic: bool) -> int:
    """Estimate the bytes that one case takes."""
    tensors = 2 * HEAD_DIM * heads * (2 * queries + 2 * keys)  # q and result, k and v, 16 bits each
    scores = 12 * heads * queries * keys if quadratic else 0  # fp32, its softmax, and a copy
    return 2 * tensors + scores + 12 * min(ROWS, queries) * keys


def fit(queries: int, keys: int, free: int, *, quadratic: bool = False) -> Case:
    """Scale a size down until it fits: fewer heads first, because kernels fail on long rows."""
    room, heads, shrunk = free * (1 - OVERHEAD), HEADS, 1
    while heads > 1 and need(queries, keys, heads, quadratic=quadratic) > room:
        heads //= 2
    while queries > 256 and need(queries, keys, heads, quadratic=quadratic) > room:
        queries, keys, shrunk = queries // 2, max(256, keys // 2), shrunk * 2
    told = [f"{heads} of {HEADS} heads"] if heads < HEADS else []
    told += [f"1/{shrunk} of the tokens"] if shrunk > 1 else []
    return {"queries": queries, "keys": keys, "heads": heads, "scaled": " and ".join(told)}


def plan(kernel: Kernel, free: int | None, *, quick: bool) -> list[Case]:
    """List the cases of a kernel; small ones without a CUDA device (no `free`)."""
    if free is None:
        shapes = [
            {"queries": q, "keys": k, "heads": 4, "scaled": "a small size for the CPU"}
            for q, k in ON_CPU
        ]
    else:
        sizes = QUICK if quick or kernel.quadratic else SIZES
        shapes = [fit(q, k, free, quadratic=kernel.quadratic) for q, k in sizes]
    return [{"dtype": dtype, **shape} for dtype in DTYPES for shape in shapes]


def judge(kernel: Kernel, found: Row, expected: int) -> Row:
    """Turn the output of a kernel's process into a verdict with one sentence of reason."""
    cases: list[Case] = found["cases"]
    figures = [case for case in cases if case["finite"]]
    row: Row = {
        "name": kernel.name,
        "version": found.get("version", ""),
        "flag": kernel.flag,
        "verdict": "ok",
        "reason": "",
        "transient": False,  # the reason may not apply next time
        "cosine": min((case["cosine"] for case in figures), default=None),
        "rel_l1": max((case["rel_l1"] for case in figures), default=None),
        "ms": round(sum(case["ms"] for case in cases), 3) if cases else None,
        "note": found.get("note", ""),
        "cases": cases,
    }
    least, most = BOUNDS[kernel.quantised]
    reason = ""
    for case in cases:
        where = f"{case['dtype']}, {case['queries']} tokens, {case['keys']} keys"
        if not case["finite"]:
            reason = f"the result contains NaN or infinity ({where})"
        elif not (case["cosine"] >= least and case["rel_l1"] <= most):
            reason = (
                f"the result is wrong: cosine {case['cosine']:.4f} (at least {least}),"
                f" relative L1 {case['rel_l1']:.4f} (at most {most}) ({where})"
            )
        if reason:
            break
    if not reason and found.get("reason"):
        reason, row["transient"] = found["reason"], found["transient"]
    if not reason and len(cases) < expected:
        reason = f"only {len(cases)} of {expected} cases were measured"
    if reason:
        row |= {"verdict": "refused", "reason": reason}
    return row


def choose(rows: Sequence[Row], wish: str) -> tuple[str, str]:
    """Choose among the correct kernels that have a flag; say why when it is not the requested one."""
    wishes = {kernel.name: kernel.wish for kernel in KERNELS}
    usable = [row for row in rows if row["flag"] and row["verdict"] == "ok"]
    if not usable:
        return "", "no attention kernel that ComfyUI has a flag for gives correct results"
    fastest = min(usable, key=lambda row: row["ms"])["name"]
    if wish == "auto":
        return fastest, ""
    for row in rows:
        if wishes.get(row["name"]) == wish:
            if row["verdict"] == "ok":
                return row["name"], ""
            how = "is not installed" if row["verdict"] == "absent" else "was rejected"
            return fastest, f"{wish} was requested, but {row['name']} {how}: {row['reason']}"
    return fastest, f"{wish} was requested, but it was not tested"


def report(
    ask: Ask,
    wish: str,
    *,
    quick: bool,
    limit: float,
    say: Callable[[str], None],
    taken: Collection[str] | None = None,
) -> Row:
    """Test every installed kernel, those with a flag of ComfyUI first; `taken` are the flags that it knows."""
    end = time.monotonic() + limit
    host = ask("host", (), EACH)
    if "torch" not in host:
        return {"schema": SCHEMA, "torch": None, "trouble": host.get("reason", "")}
    cuda = bool(host["card"])
    rows = []
    for kernel in KERNELS:
        cases = plan(kernel, host.get("free"), quick=quick)
        version = installed(kernel.package)
        if version is None:
            found: Row = {"name": kernel.name, "flag": kernel.flag, "verdict": "absent"}
            found |= {
                "reason": f"the package {kernel.package} is not installed",
                "transient": False,
            }
            found |= {"cosine": None, "rel_l1": None, "ms": None, "cases": []}
        elif not (cuda or kernel.cpu):
            answer = {"cases": [], "reason": "it needs a CUDA device", "transient": False}
            found = judge(kernel, {**answer, "version": version}, len(cases))
        else:
            answer = ask(kernel.name, cases, min(EACH, end - time.monotonic()))
            found = judge(kernel, {**answer, "version": version}, len(cases))
        if taken is not None and kernel.flag not in taken:
            found["flag"] = ""  # measured, and never chosen
        rows.append(found)
        say(line(found))
    chosen, fell_back = choose(rows, wish)
    if wish not in ("auto", "sdpa") and not cuda and fell_back:
        fell_back = f"{wish} was requested, but there is no CUDA device"
    flags = {row["name"]: row["flag"] for row in rows}
    return {
        "schema": SCHEMA,
        "torch": host["torch"],
        "cuda": host["cuda"],
        "card": host["card"] or "no CUDA device: a small check on the CPU",
        "capability": host.get("capability", ""),
        "memory": host.get("memory"),
        "driver": driver(),
        "quick": quick,
        "shapes": plan(KERNELS[0], host.get("free"), quick=quick),
        "kernels": rows,
        "wished": wish,
        "chosen": chosen,
        "flag": flags.get(chosen, ""),
        "fell_back": fell_back,
        # A kernel rejected because memory or time ran out may pass next time: then nothing is cached.
        "settled": bool(chosen) and not any(row["transient"] for row in rows),
    }


def line(row: Row) -> str:
    """Say a verdict in one line."""
    if row["verdict"] != "ok":
        shown = "rejected" if row["verdict"] == "refused" else row["verdict"]
        return f"{shown:<8} {row['name']}: {row['reason']}"
    figures = f"{row['ms']:.1f} ms, cosine {row['cosine']:.5f}, relative L1 {row['rel_l1']:.5f}"
    return f"{'ok':<8} {row['name']}: {figures}" + (f" ({row['note']})" if row["note"] else "")


def ask_process(name: str, cases: Sequence[Case], seconds: float, child: Sequence[str] = ()) -> Row:
    """Measure one kernel in a separate process, and say how it ended if it failed."""
    if seconds <= 0:
        return {
            "cases": [],
            "reason": "the time limit of the whole test was reached",
            "transient": True,
        }
    command = child or (sys.executable, str(Path(__file__).with_name("kernels.py")))
    # Files, not pipes: a grandchild that survives the kill would keep a pipe open.
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = subprocess.Popen(
            [*command, name, json.dumps(list(cases))],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,  # so that compilers that it started end with it
        )
        try:
            code: int | None = process.wait(seconds)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        out.seek(0)
        err.seek(0)
        return gather(out.read(), err.read(), code, seconds)


def gather(out: str, err: str, code: int | None, seconds: float) -> Row:
    """Combine the lines of a process; `code` is None if it was killed."""
    found: Row = {"cases": [], "reason": "", "transient": False}
    begun = None
    for text in out.splitlines():
        _, ours, words = text.partition(MARK)  # a library may have left a line unfinished
        if ours and words.endswith("}"):  # a killed process may leave half a line
            said = json.loads(words)
            begun = said.pop("begun", begun)
            if "case" in said:
                found["cases"].append(said.pop("case"))
            if "error" in said:
                found["reason"] = said.pop("error")
                found["transient"] = said.pop("kind") == "memory"
            found |= said
    where = f" ({begun['dtype']}, {begun['queries']} tokens)" if begun else ""
    last = next((t.strip() for t in reversed(err.splitlines()) if t.strip()), "")[:200]
    if code is None:
        found |= {"reason": f"no result within {seconds:.0f} s{where}", "transient": True}
    elif code < 0:
        found["reason"] = f"it crashed the process: {signal.Signals(-code).name}{where}"
    elif code > 0:
        found["reason"] = f"its process exited with code {code}{where}: {last}".rstrip(": ")
    return found


def installed(package: str) -> str | None:
    """Give the version of an importable package without importing it; None if there is none."""
    if importlib.util.find_spec(package) is None:
        return None
    try:
        return importlib.metadata.version(package.replace("_", "-"))
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def driver(root: Path = Path("/")) -> str:
    """Give the version of the loaded NVIDIA kernel module; empty if none is loaded."""
    try:
        text = (root / "proc/driver/nvidia/version").read_text()
    except OSError:
        return ""
    found = re.search(r"Module.*?\s(\d+\.\d+(?:\.\d+)?)\s", text)
    return found[1] if found else ""


def main(arguments: Sequence[str] | None = None, ask: Ask = ask_process) -> int:
    """Run the test as a command."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0],
        epilog="Exit codes: 0 a kernel was chosen, 1 none is correct, 2 usage, 3 torch does not import.",
    )
    parser.add_argument("--wish", choices=("auto", "sage", "flash", "ck", "sdpa"), default="auto")
    parser.add_argument(
        "--comfyui",
        type=Path,
        help="the folder of the ComfyUI that is to be started: choose a flag of its own",
    )
    parser.add_argument("--out", type=Path, help="write the report to this file, not to stdout")
    parser.add_argument("--quick", action="store_true", help="only the smallest size")
    parser.add_argument(
        "--limit", type=float, default=600.0, help="time limit of the whole test in seconds (600)"
    )
    parser.add_argument("--list", action="store_true", help="list the kernels that would be tested")
    options = parser.parse_args(arguments)
    if options.list:
        for kernel in KERNELS:
            print(f"{kernel.name:<34} {installed(kernel.package) or 'absent':<26} {kernel.flag}")
        return 0
    found = report(
        ask,
        options.wish,
        quick=options.quick,
        limit=options.limit,
        say=lambda text: print(text, file=sys.stderr, flush=True),
        taken=None if options.comfyui is None else flags.known(options.comfyui),
    )
    if found["torch"] is None:
        why = found["trouble"] or "the import fails"
        print(f"torch cannot be used by {sys.executable}: {why}", file=sys.stderr)
        return EXIT_NO_TORCH
    text = json.dumps(found, indent=2) + "\n"
    if options.out is None:
        print(text, end="")
    else:
        partial = options.out.with_name(f".{options.out.name}.part")
        partial.write_text(text)
        partial.replace(options.out)
    chosen = f"chosen: {found['chosen']} ({found['flag']})" if found["chosen"] else "chosen: none"
    print(chosen + (f"; {found['fell_back']}" if found["fell_back"] else ""), file=sys.stderr)
    return 0 if found["chosen"] else EXIT_NONE_RIGHT


if __name__ == "__main__":
    sys.exit(main())
