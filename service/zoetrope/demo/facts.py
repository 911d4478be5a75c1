"""The demo's last lines: the video, decoded again without the service, and the main facts of its receipt."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from ..jobs.receipt import Receipt, StageReceipt
from ..structs import primed

Line = tuple[str, str]


def facts(folder: Path) -> tuple[Path, list[Line]]:
    """Find the video of a finished folder, and give topic and text of each line about it."""
    receipt = msgspec.json.decode((folder / "receipt.json").read_bytes(), type=primed(Receipt))
    video = next(iter(sorted(folder.glob("*.mp4"))))
    return video, [("video", probe(video)), *_summary(receipt)]


def probe(video: Path) -> str:
    """Decode every frame of a video, as a player would, and say what came out."""
    import av

    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        frames = sum(1 for _ in container.decode(stream))
        rate = float(stream.average_rate or 0)
        seconds = frames / rate if rate else 0.0
        return (
            f"{frames} frames, {stream.width}x{stream.height}, {rate:g} fps, {seconds:.2f} s,"
            f" {stream.codec_context.name}, {video.stat().st_size / 1e6:.1f} MB"
        )


def _summary(receipt: Receipt) -> Iterator[Line]:
    image = receipt.images[0]
    source = f"source {image.name} sha256 {image.sha256[:12]}"
    what = f"job {receipt.job[:8]}, recipe {receipt.recipe}, seed {receipt.seed}"
    yield "receipt", f"{what}, {source}"
    for stage in receipt.stages:
        yield "", f"{stage.name}: {_how(stage)}"
    yield "", f"{receipt.finished - receipt.created:.1f} s from acceptance to outbox"


def _how(stage: StageReceipt) -> str:
    tries = len(stage.attempts)
    parts = [f"{tries} attempt{'s' if tries > 1 else ''}", f"{stage.seconds:.1f} s running"]
    if met := [attempt.failure.kind for attempt in stage.attempts if attempt.failure]:
        parts.append(f"recovered from {' and '.join(met)}")
    if stage.fallbacks:
        parts.append(f"fallbacks {', '.join(stage.fallbacks)}")
    if stage.source is not None:
        loss = "losslessly" if stage.source.lossless else "as the compressed clip"
        parts.append(f"frames passed on {loss} ({stage.source.codec})")
    if measured := next((v.measured for v in stage.verdicts if v.measured), None):
        parts.append(f"motion {measured.motion:.1f}, grain {max(measured.grain):.1f}")
    return ", ".join(parts)
