"""`zoetrope lint`: mistakes in workflows, found before a GPU runs them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from . import show
from .options import Options, common, pass_options

if TYPE_CHECKING:
    from ..lint.facts import HostFacts, LintContext
    from ..lint.findings import Finding

COLOURS = {"error": "red", "warn": "yellow", "info": "blue", "hint": None}
ON_GITHUB = {"error": "error", "warn": "warning", "info": "notice", "hint": "notice"}


@click.command(
    epilog="\b\nExample:\n  zoetrope lint workflow.json\n  zoetrope lint workflow.json --fix\n  zoetrope lint my-recipe/ --service"
)
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--format", "form", type=click.Choice(["text", "json", "github"]), default="text", show_default=True, help="The format of the findings.")  # fmt: skip
@click.option("--fix", is_flag=True, help="Fix in the file what has exactly one mechanical fix.")  # fmt: skip
@click.option("--quiet", is_flag=True, help="Show only errors and warnings.")
@click.option("--memory", type=click.FloatRange(min=1), metavar="GB", help="The GPU's memory.")
@click.option("--arch", metavar="SM", help="The GPU's architecture, such as sm_89 or sm_120.")
@click.option("--kernels", metavar="NAME,...", help="The installed attention kernels.")
@click.option("--flags", metavar="FLAGS", help="ComfyUI's launch flags.")
@click.option("--engine", metavar="URL", help="Take nodes and GPU from a running ComfyUI.")
@click.option("--service", is_flag=True, help="Take GPU, kernels and launch flags from the running zoetrope service (see --url).")  # fmt: skip
@click.option("--catalog", metavar="VERSION|FILE", help="Use these recorded nodes instead of the pinned version's.")  # fmt: skip
@click.option(
    "--tag",
    multiple=True,
    metavar="TAG",
    help="What the workflow intends, such as slow-motion; may be repeated.",
)
@click.option("--ignore", multiple=True, metavar="ID=REASON", help="Ignore a rule, with the reason; may be repeated.")  # fmt: skip
@common
@pass_options
def lint(
    options: Options,
    files: tuple[str, ...],
    form: str,
    fix: bool,
    quiet: bool,
    memory: float | None,
    arch: str | None,
    kernels: str | None,
    flags: str | None,
    engine: str | None,
    service: bool,
    catalog: str | None,
    tag: tuple[str, ...],
    ignore: tuple[str, ...],
) -> int:
    """Find mistakes in workflows in API format, before a GPU runs them; exit with 1 if there is an error.

    FILE is a workflow, or the folder of a recipe for all its workflows. A workflow next to a recipe.toml is
    checked with it. `zoetrope rules ID` explains a rule.
    """
    import msgspec

    from ..lint.facts import HostFacts, RecipeFacts, pinned_context
    from ..lint.source import LintSource, fix_file, gather
    from .nodes import card_gigabytes, fetch, named

    host = _host(options) if service else HostFacts()
    said = {
        "memory_gb": memory,
        "architecture": arch,
        "kernels": frozenset(kernels.split(",")) if kernels is not None else None,
        "flags": tuple(flags.split()) if flags is not None else None,
    }
    # Flags override what was found.
    host = msgspec.structs.replace(host, **{k: v for k, v in said.items() if v is not None})
    base = pinned_context(host=host, ignore=_ignores(ignore))

    if catalog is not None:
        base = msgspec.structs.replace(base, catalog=named(catalog))
    elif engine is not None:
        base = msgspec.structs.replace(base, catalog=fetch(engine))
    if engine is not None and memory is None:
        host = msgspec.structs.replace(host, memory_gb=card_gigabytes(engine))
        base = msgspec.structs.replace(base, host=host)

    def context(source: LintSource) -> LintContext:
        tags = frozenset(tag) | source.tags
        return msgspec.structs.replace(base, recipe=RecipeFacts(tags=tags), file=source.file.name)

    found: list[tuple[Path, tuple[Finding, ...]]] = []
    for source in gather([Path(file) for file in files]):
        if fix and (done := fix_file(source, context(source))):
            count = len(done)
            click.echo(f"{source.file}: {count} fixed ({', '.join(done)})", err=True)
        found.append((source.file, source.lint(context(source))))
    if quiet:
        found = [
            (file, tuple(f for f in findings if f.severity in ("error", "warn")))
            for file, findings in found
        ]
    _write("json" if options.json else form, found)
    return int(any(f.severity == "error" for _, findings in found for f in findings))


def _host(options: Options) -> HostFacts:
    """Ask the service for the GPU, kernels and flags of its first engine."""
    from ..client import decode
    from ..graphs.memory import gigabytes
    from ..lint.facts import reported
    from ..web.views import Engines

    engines = decode(options.client().get("/api/v1/engines"), Engines).engines
    up = [engine for engine in engines if engine.up] or list(engines)
    if not up:
        raise click.UsageError(
            "The service has no engine, so --service finds no GPU; use --memory and --arch."
        )
    first = up[0]
    return reported(
        memory_gb=0 if first.rehearsal else gigabytes(first.vram_total),
        capability=first.capability,
        kernels=first.kernels,
        flags=first.flags,
    )


def _ignores(words: Sequence[str]) -> dict[str, str]:
    ignores = {}
    for word in words:
        rule, sign, reason = word.partition("=")
        if not sign or not reason.strip():
            raise click.UsageError(f"--ignore {word!r} has no reason; write ID=REASON.")
        ignores[rule.strip().upper()] = reason.strip()
    return ignores


def _write(form: str, found: Sequence[tuple[Path, Sequence[Finding]]]) -> None:
    if form == "json":
        import msgspec

        rows = [
            {"file": str(file), **msgspec.to_builtins(finding)}
            for file, findings in found
            for finding in findings
        ]
        click.echo(msgspec.json.encode(rows))
        return
    lines = _github if form == "github" else _text
    for file, findings in found:
        for line in lines(file, findings):
            click.echo(line)
    if form == "text":
        click.echo(_summary(found))


def _text(file: Path, findings: Sequence[Finding]) -> Iterator[str]:
    if not findings:
        return
    yield click.style(show.clean(str(file)), bold=True)
    for finding in findings:
        severity = click.style(f"{finding.severity:<5}", fg=COLOURS[finding.severity])
        place = ".".join(text for text in (finding.node, finding.input) if text)
        title = f" ({finding.title})" if finding.title and finding.title != finding.node else ""
        where = f"{place}{title}: " if place else ""
        yield f"  {severity} {finding.rule}  {show.clean(f'{where}{finding.found}')}"
        yield f"              why: {show.clean(finding.why)}"
        yield f"              fix: {show.clean(finding.fix)}{' (--fix)' if finding.changes else ''}"


def _github(file: Path, findings: Sequence[Finding]) -> Iterator[str]:
    for finding in findings:
        kind = ON_GITHUB[finding.severity]
        text = f"{finding.node} {finding.found}. {finding.why} {finding.fix}".strip()
        # GitHub's runner wants these escaped: they would end the command or its message.
        for letter, code in (("%", "%25"), ("\r", "%0D"), ("\n", "%0A")):
            text = text.replace(letter, code)
        yield f"::{kind} file={file},title={finding.rule}::{text}"


def _summary(found: Sequence[tuple[Path, Sequence[Finding]]]) -> str:
    counts = {"error": 0, "warn": 0, "info": 0, "hint": 0}
    for _, findings in found:
        for finding in findings:
            counts[finding.severity] += 1
    names = {"error": "error", "warn": "warning", "info": "note", "hint": "hint"}
    words = [
        f"{count} {names[severity]}{'' if count == 1 else 's'}"
        for severity, count in counts.items()
        if count
    ]
    workflows = f"{len(found)} workflow{'' if len(found) == 1 else 's'}"
    return f"{', '.join(words) or 'No findings'} in {workflows}."
