"""`zoetrope verify`: what the service would say of a video."""

from __future__ import annotations

from pathlib import Path

import click

from .options import Options, common, pass_options


@click.command(epilog="\b\nExample:\n  zoetrope verify clip.mp4 --picture cat.png --frames 81")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--picture",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The picture that the video was made from; more can be said beside it.",
)
@click.option("--frames", type=click.IntRange(1), help="How many frames it should have.")
@click.option("--fps", type=click.FloatRange(0.1), help="How fast it should play.")
@click.option("--still", is_flag=True, help="It may stand still.")
@common
@pass_options
def verify(
    options: Options,
    file: Path,
    picture: Path | None,
    frames: int | None,
    fps: float | None,
    *,
    still: bool,
) -> int:
    """Measure a video as the service does before it counts: every frame, in a process of its own.

    Exits with 1 if there is a doubt.
    """
    import asyncio

    import msgspec

    from ..errors import ZoetropeError
    from ..verify.check import VIDEOS, check
    from ..verify.expected import Expected

    if file.suffix.lower() not in VIDEOS:
        raise ZoetropeError(
            f"{file} is no video by its name.", f"These are looked at: {', '.join(sorted(VIDEOS))}."
        )
    expected = Expected(frames=frames or 0, fps=fps or 0.0, size="any", motion=not still)
    verdict = asyncio.run(check(file, expected, image=picture))
    if options.json:
        click.echo(msgspec.json.encode(verdict))
        return 0 if verdict.passed else 1
    if (found := verdict.measured) is not None:
        click.echo(
            f"{found.frames} frames of {found.width}x{found.height}, {found.fps:g} a second,"
            f" {found.duration:.2f} s, {found.codec}, {found.size / 1e6:.1f} MB"
        )
        click.echo(
            f"brightness {found.luma:.1f}, motion {found.motion:.2f}, repeated {found.repeated:.0%},"
            f" grain {' '.join(f'{grain:.1f}' for grain in found.grain)}, burnt {found.clipped:.0%}"
        )
    for finding in verdict.findings:
        click.echo(click.style(finding.key, fg="red") + f": {finding.sentence}")
    if verdict.passed:
        click.echo(click.style("valid", fg="green") + ": no doubt about it")
    return 0 if verdict.passed else 1
