"""Draws docs/floors.svg: the parts of the package on their floors, from the imports alone.

Run it in the checkout: .venv/bin/python docs/floors.py
"""

import ast
from collections.abc import Mapping
from pathlib import Path
from xml.sax.saxutils import escape

PACKAGE = Path(__file__).parents[1] / "service" / "zoetrope"
DRAWING = Path(__file__).with_name("floors.svg")

WIDTH, BOX, GAP, FLOOR = 960, 36, 26, 84
INK, LINE, FILL, BACK = "#1f2933", "#8896a5", "#e8eef4", "#ffffff"

Edges = Mapping[str, set[str]]


def parts() -> dict[str, list[Path]]:
    """Give the modules of every part: a package of the tree, or a module at its top."""
    found: dict[str, list[Path]] = {}
    for module in sorted(PACKAGE.rglob("*.py")):
        top = module.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if not top.startswith("__"):
            found.setdefault(top, []).append(module)
    return found


def imports(module: Path) -> set[str]:
    """Name the parts that a module imports from."""
    depth = len(module.relative_to(PACKAGE).parts)
    found = set()
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level == depth:
            names = [node.module] if node.module else [alias.name for alias in node.names]
            found |= {name.partition(".")[0] for name in names}
    return found


def reduced(edges: Edges) -> dict[str, set[str]]:
    """Leave out an import that goes without saying, because what is imported imports it as well."""

    def below(part: str) -> set[str]:
        return {deep for each in edges[part] for deep in {each, *below(each)}}

    return {
        part: {each for each in direct if not any(each in below(other) for other in direct)}
        for part, direct in edges.items()
    }


def levels(edges: Edges) -> dict[str, int]:
    """Give each part the lowest floor that stands above all that it imports."""
    found: dict[str, int] = {}

    def level(part: str) -> int:
        if part not in found:
            found[part] = 1 + max((level(each) for each in edges[part]), default=0)
        return found[part]

    for part in edges:
        level(part)
    return found


def drawing() -> str:
    """Give the drawing: packages on their floors, single modules that import no package as the ground."""
    modules = parts()
    direct = {part: set().union(*map(imports, files)) - {part} for part, files in modules.items()}
    packages = {part for part, files in modules.items() if len(files) > 1}
    above = set(packages)
    while more := {p for p, used in direct.items() if used & above} - above:
        above |= more
    ground = sorted(set(modules) - above)
    edges = reduced({part: direct[part] & above for part in sorted(above)})
    rows: dict[int, list[str]] = {}
    for part, level in levels(edges).items():
        rows.setdefault(level, []).append(part)
    height = FLOOR * (len(rows) + 1) + GAP
    places = _places(rows, edges, height)
    return "\n".join(_svg(places, edges, ground, packages, height)) + "\n"


Place = tuple[float, float, float]  # the middle, the top, the width


def _places(rows: Mapping[int, list[str]], edges: Edges, height: int) -> dict[str, Place]:
    places: dict[str, Place] = {}
    for level in sorted(rows):
        row = rows[level]

        def wish(part: str) -> float:
            under = [places[each][0] for each in edges[part] if each in places]
            return sum(under) / len(under) if under else WIDTH / 2

        row.sort(key=lambda part: (wish(part), part))
        widths = [max(92, 11 * len(part) + 30) for part in row]
        space = (WIDTH - sum(widths)) / (len(row) + 1)
        left = space
        for part, width in zip(row, widths, strict=True):
            # A row of one stands above what it imports.
            middle = min(max(wish(part), 80), WIDTH - 80) if len(row) == 1 else left + width / 2
            places[part] = (middle, height - FLOOR * (level + 1), width)
            left += width + space
    return places


def _svg(
    places: Mapping[str, Place],
    edges: Edges,
    ground: list[str],
    packages: set[str],
    height: int,
) -> list[str]:
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        "<title>The parts of the package; each imports only from those below it</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="{BACK}"/>',
    ]
    for part, under in edges.items():
        x, y, _ = places[part]
        for each in sorted(under):
            to, top, _ = places[each]
            bend = (y + BOX + top) / 2
            curve = (
                f"M{x:.0f} {y + BOX:.0f}C{x:.0f} {bend:.0f} {to:.0f} {bend:.0f} {to:.0f} {top:.0f}"
            )
            out.append(f'<path d="{curve}" fill="none" stroke="{LINE}" stroke-width="1.5"/>')
    for part, (x, y, width) in places.items():
        name = f"{part}/" if part in packages else part
        out.append(_box(x - width / 2, y, width, BOX))
        out.append(_text(x, y + 24, 16, name))
    top, half = height - FLOOR, len(ground) // 2
    out.append(_box(GAP, top, WIDTH - 2 * GAP, FLOOR - 12))
    out.append(_text(WIDTH / 2, top + 22, 15, " · ".join(ground[:half])))
    out.append(_text(WIDTH / 2, top + 42, 15, " · ".join(ground[half:])))
    out.append(
        _text(
            WIDTH / 2, top + 62, 12, "single modules that import no package: everybody may use them"
        )
    )
    return [*out, "</svg>"]


def _box(x: float, y: float, width: float, height: float) -> str:
    return (
        f'<rect x="{x:.0f}" y="{y:.0f}" width="{width:.0f}" height="{height:.0f}" rx="8"'
        f' fill="{FILL}" stroke="{LINE}"/>'
    )


def _text(x: float, y: float, size: int, words: str) -> str:
    weight = 600 if size > 12 else 400
    return (
        f'<text x="{x:.0f}" y="{y:.0f}" font-family="system-ui, sans-serif" fill="{INK}"'
        f' text-anchor="middle" font-size="{size}" font-weight="{weight}">{escape(words)}</text>'
    )


if __name__ == "__main__":
    DRAWING.write_text(drawing(), encoding="utf-8")
