"""`zoetrope verify`: the service's checks of a video."""

from __future__ import annotations

from pathlib import Path

import click

from .options import Options, local, pass_options


@click.command(epilog="\b\nExample:\n  zoetrope verify clip.mp4 --picture cat.png --frames 81")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--picture",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The picture that the video was made from; adds the checks that compare with it.",
)
@click.option(
    "--frames", type=click.IntRange(1), metavar="NUMBER", help="The expected number of frames."
)
@click.option("--fps", type=click.FloatRange(0.1), metavar="FPS", help="The expected frame rate.")
@click.option("--still", is_flag=True, help="Accept a video without motion.")
@local
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
    """Check a video as the service does before it publishes one: decode and measure every frame.

    Exit with 1 if a check fails.
    """
    import asyncio

    import msgspec

    from ..errors import ZoetropeError
    from ..verify.check import VIDEOS, check
    from ..verify.expected import Expected

    if file.suffix.lower() not in VIDEOS:
        raise ZoetropeError(
            f"{file} does not have the name of a video.",
            f"Supported are: {', '.join(sorted(VIDEOS))}.",
        )
    expected = Expected(frames=frames or 0, fps=fps or 0.0, size="any", motion=not still)
    verdict = asyncio.run(check(file, expected, image=picture))
    if options.json:
        click.echo(msgspec.json.encode(verdict))
        return 0 if verdict.passed else 1
    if (found := verdict.measured) is not None:
        click.echo(
            f"{found.frames} frames of {found.width}x{found.height}, {found.fps:g} fps,"
            f" {found.duration:.2f} s, {found.codec}, {found.size / 1e6:.1f} MB"
        )
        click.echo(
            f"brightness {found.luma:.1f}, motion {found.motion:.2f}, repeated {found.repeated:.0%},"
            f" grain {' '.join(f'{grain:.1f}' for grain in found.grain)}, burnt {found.clipped:.0%}"
        )
    for finding in verdict.findings:
        click.echo(click.style(finding.key, fg="red") + f": {finding.sentence}")
    if verdict.passed:
        click.echo(click.style("valid", fg="green") + ": all checks passed")
    return 0 if verdict.passed else 1
