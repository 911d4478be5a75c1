"""Writes the tables of docs/gpu-truth.md from the runs that are kept.

python -m tests.gpu.truth.table                     the page anew from runs/*.json
python -m tests.gpu.truth.table truth.json NAME     keep a run under that name first
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
RUNS = HERE / "runs"
PAGE = HERE.parents[2] / "docs/gpu-truth.md"
BEGIN, END = "<!-- tables -->", "<!-- end of the tables -->"
NOT_KEPT = ("log", "said", "report", "files")

Row = dict[str, Any]


def keep(run: Row) -> Row:
    """Give a run without logs, and of the kernels' report what a table shows."""
    rows = {}
    for name, row in run["rows"].items():
        rows[name] = {key: value for key, value in row.items() if key not in NOT_KEPT}
        if "failed" in row:  # without the folders of the machine that it ran on
            rows[name]["failed"] = re.sub(r"/[\w./-]*/(?=[\w.-])", "", row["failed"])
        if name == "kernels" and row.get("report"):
            rows[name]["kernels"] = [kernel(each) for each in row["report"]["kernels"]]
        if name == "host":
            rows[name].pop("service", None)
            rows[name]["service_reads"] = isinstance(row.get("service"), list)
        if name == "weights":
            files = row.get("files", ())
            written = sum(each["bytes"] for each in files)
            rows[name]["gb"] = round(written / 1e9, 1)
            rows[name]["gb_per_s"] = (
                round(written / 1e9 / sum(e["seconds"] for e in files), 2) if files else None
            )
    return {"schema": run["schema"], "rows": rows}


def kernel(report: Row) -> Row:
    """Give what is shown of a kernel's report."""
    row = {
        key: report.get(key) for key in ("name", "version", "verdict", "reason", "cosine", "rel_l1")
    }
    row["ms"] = {
        f"{c['queries']}x{c['keys']}": c["ms"] for c in report["cases"] if c["dtype"] == "bfloat16"
    }
    return row


def tables(run: Row) -> Iterator[str]:
    """Write one run's tables, line by line."""
    rows = run["rows"]
    host = rows.get("host", {})
    yield (
        f"{host.get('gpu', 'no GPU')}, driver {host.get('driver', 'none')}, torch {host.get('torch')}, Python"
        f" {host.get('python')}, {host.get('cpus')} CPU cores, {host.get('memory_gib')} GiB of host memory."
    )
    kernels = rows.get("kernels", {})
    if kernels.get("kernels"):
        yield from ("", *_kernels(kernels["kernels"]))
        yield from (
            "",
            f"The self-test took {kernels['took']:.0f} s and chose `{kernels['chosen']}`.",
        )
    weights = rows.get("weights", {})
    if weights.get("gb_per_s"):
        yield ""
        yield f"Models: {weights['gb']} GB of random weights, written at {weights['gb_per_s']} GB/s."
    yield from ("", *_graphs(rows))
    absent = [f"{name} ({row['absent']})" for name, row in rows.items() if "absent" in row]
    failed = [f"{name}: {row['failed']}" for name, row in rows.items() if "failed" in row]
    if absent:
        yield from ("", f"Not measured: {'; '.join(absent)}.")
    for each in failed:
        yield from ("", f"Failed: {each}")


def _kernels(kernels: list[Row]) -> Iterator[str]:
    sizes = list(next(k["ms"] for k in kernels if k["ms"]))
    yield (
        "| kernel | verdict | worst cosine | worst relative L1 | "
        + " | ".join(f"{s}, ms" for s in sizes)
        + " |"
    )
    yield "|---" * (4 + len(sizes)) + "|"
    for each in kernels:
        verdict = {"refused": "rejected"}.get(each["verdict"], each["verdict"])
        figures = [_number(each["cosine"], 5), _number(each["rel_l1"], 4)]
        figures += [_number(each["ms"].get(size), 1) for size in sizes]
        yield (
            f"| `{each['name']}` {each['version'] or ''} | {verdict} | "
            + " | ".join(figures)
            + " |"
        )


def _graphs(rows: Row) -> Iterator[str]:
    yield (
        "| row | size | whole, s | high-noise expert, s (steps) | low-noise expert, s (steps) | decoding, s"
        " | VRAM, GiB | host memory, GiB | W |"
    )
    yield "|---" * 9 + "|"
    for name, row in rows.items():
        if "samplers" not in row:
            continue
        taken = row["vram_peak"]
        if taken is not None and "free_gib" in row:
            taken -= row["vram_before"]
        samplers = [f"{each['seconds']:.1f} ({each['steps']})" for each in row["samplers"].values()]
        cells = [
            name,
            "x".join(str(n) for n in row.get("size", ())),
            _number(row["seconds"], 1),
            *[*samplers, "", ""][:2],
            _number(row["nodes"].get("VAEDecode"), 1),
            _number(taken, 1),
            _number(row["host_taken"], 1),
            _number(row["watts"], 0),
        ]
        yield "| " + " | ".join(cells) + " |"


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def page(text: str) -> str:
    """Give the page with its tables anew."""
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    made: list[str] = []
    for file in sorted(RUNS.glob("*.json")):
        made += ["", f"## {file.stem}", "", *tables(json.loads(file.read_text()))]
    return "\n".join([head + BEGIN, *made, "", END + tail])


def main() -> None:
    """Keep a run, if one is named, and write the page."""
    if len(sys.argv) > 1:
        source, name = sys.argv[1:]
        run = keep(json.loads(Path(source).read_text()))
        (RUNS / f"{name}.json").write_text(json.dumps(run, indent=1) + "\n")
    PAGE.write_text(page(PAGE.read_text()))


if __name__ == "__main__":
    main()
