"""Where a graph that is to be read lies: a file, alone or next to its recipe."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from .. import tables
from ..errors import RecipeError
from ..graphs.document import MOST_BYTES, Document, encode, parse
from .facts import LintContext
from .findings import Finding
from .fix import fixed
from .linter import lint

REVERSE_ORDER = "experimental.low_to_high"


class LintSource:
    """One graph as it lies on the disk, and what its recipe says of it."""

    def __init__(self, file: Path, document: Document, tags: frozenset[str]) -> None:
        self.file = file
        self.document = document
        self.tags = tags

    def lint(self, context: LintContext) -> tuple[Finding, ...]:
        """List what is to be said of it."""
        doubled = tuple(
            Finding(
                rule="Z009",
                severity="error",
                node=name,
                found="two nodes of the file have this id",
                why="Only the last of them is read, and the file does not show which one that is.",
                fix="Give each node a unique id.",
                source="ComfyUI API format",
            )
            for name in self.document.twice
        )
        return (*doubled, *lint(self.document, context))


def gather(paths: Sequence[Path]) -> Iterator[LintSource]:
    """Read files, and the graphs of recipes' folders."""
    for path in paths:
        if path.is_dir():
            graphs = sorted(path.glob("*.json"))
            if not (path / "recipe.toml").is_file() or not graphs:
                raise RecipeError(
                    f"{path} is not a recipe: it has no recipe.toml, or no workflow.",
                    "Name the file of a workflow, or the folder of a recipe.",
                )
            yield from (read(file) for file in graphs)
        else:
            yield read(path)


def read(file: Path) -> LintSource:
    """Read one graph; what is no JSON at all is an error, what is no graph is the linter's to say."""
    try:
        if file.stat().st_size > MOST_BYTES:
            raise RecipeError(f"{file} is too large for a workflow ({MOST_BYTES >> 20} MB).")
        text = file.read_bytes()
    except OSError as error:
        raise RecipeError(f"{file} cannot be read ({error.strerror}).") from error
    return LintSource(file, parse(text, str(file)), _tags(file.parent / "recipe.toml"))


def fix_file(source: LintSource, context: LintContext) -> tuple[str, ...]:
    """Fix a graph in its file, and name the rules that were fixed; a file that is no graph stays as it is."""
    document = source.document
    if document.page_format or document.malformed:
        return ()
    done = fixed(document.nodes, context)
    if not done.findings:
        return ()
    plain = encode(done.graph)
    if document.request is not None:
        plain = {"prompt": plain, **document.request}
    text = json.dumps(plain, indent=1, ensure_ascii=False) + "\n"
    part = source.file.with_name(f".{source.file.name}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(source.file)
    source.document = parse(text, str(source.file))
    return tuple(finding.rule for finding in done.findings)


def _tags(recipe: Path) -> frozenset[str]:
    if not recipe.is_file():
        return frozenset()
    try:
        said = tables.read(recipe.read_text(encoding="utf-8"))
    except (tables.BrokenTable, UnicodeDecodeError) as error:
        raise RecipeError(f"{recipe} is not valid TOML ({error}).") from error
    return tags_of(said.get("tags", ()), pictures=said.get("pictures", 1))


def tags_of(tags: Sequence[str], *, pictures: int) -> frozenset[str]:
    """Say in the linter's words what a recipe says of itself."""
    found = {str(tag) for tag in tags}
    if "experimental" in found:
        found.add(REVERSE_ORDER)
    if pictures == 2:
        found.add("flf")
    return frozenset(found)
