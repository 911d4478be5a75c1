"""The house rules that a machine can check."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "service" / "zoetrope"
MODULES = sorted(PACKAGE.rglob("*.py"))
NOUNLESS = {"utils", "util", "common", "helpers", "helper", "misc"}
LONGEST = 450

# The way of one picture: a part may know what lies below it, never what lies above.
STREET = ("inbox", "jobs", "graphs", "engine")
# Values that every part speaks of; they know nobody.
SHARED = {
    "domain",
    "domain.job",
    "domain.plan",
    "domain.steps",
    "domain.usage",
    "domain.values",
    "domain.verdict",
    "graphs.graph",
    "graphs.catalog",
    "graphs.loaders",
    "graphs.schedules",
    "errors",
    "settings",
    "mistakes",
}


def tracked() -> list[Path]:
    found = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [ROOT / line for line in found.stdout.splitlines() if (ROOT / line).is_file()]


def imports(module: Path) -> set[str]:
    """Name the modules of the package that a module imports when it is loaded, relative to the package."""
    here = module.relative_to(PACKAGE).with_suffix("").parts
    found = set()
    for node in ast.parse(module.read_text()).body:
        if isinstance(node, ast.ImportFrom) and node.level:
            base = here[: len(here) - node.level]
            names = [*base, *(node.module.split(".") if node.module else [])]
            found.add(".".join(names))
            found |= {".".join([*names, alias.name]) for alias in node.names}
    return found


@pytest.mark.parametrize("module", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_module_is_one_noun_and_fits_in_the_head(module):
    assert module.stem not in NOUNLESS
    assert len(module.read_text().splitlines()) <= LONGEST
    assert ast.get_docstring(ast.parse(module.read_text())), "says in a sentence what it is"


@pytest.mark.parametrize("part", STREET)
def test_nobody_on_the_street_looks_up(part):
    above = STREET[: STREET.index(part)]
    for module in (PACKAGE / part).rglob("*.py"):
        for name in imports(module) - SHARED:
            known = name in SHARED or any(name.startswith(f"{shared}.") for shared in SHARED)
            up = "." in name and name.split(".")[0] in above
            assert known or not up, f"{module.relative_to(PACKAGE)} imports {name}"


@pytest.mark.parametrize("part", STREET)
def test_the_street_does_not_know_the_page_or_the_command_line(part):
    for module in (PACKAGE / part).rglob("*.py"):
        roots = {name.split(".")[0] for name in imports(module)}
        assert not roots & {"web", "cli", "health", "app", "systemd", "demo"}, module


def test_the_idle_service_loads_nothing_heavy():
    code = (
        "import sys, zoetrope.app;"
        "print([m for m in ('numpy', 'PIL', 'av', 'rich', 'pillow_heif') if m in sys.modules])"
    )
    found = subprocess.run(
        [str(ROOT / ".venv/bin/python"), "-c", code], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"


def test_cancellation_is_never_swallowed():
    # Before Python 3.12, wait_for can lose a cancellation that comes together with its result.
    for module in MODULES:
        assert "asyncio.wait_for(" not in module.read_text(), module


def test_nothing_names_a_package_index_or_a_home_folder():
    words = ["py" + "pi.org", "python" + "hosted", "registry.npm" + "js", f"{Path.home()}/"]
    pattern = re.compile("|".join(re.escape(word) for word in words))
    for path in tracked():
        if path.suffix in {".py", ".md", ".toml", ".txt", ".in", ".nix", ".sh", ".js", ".json", ""}:
            found = pattern.search(path.read_text(encoding="utf-8", errors="replace"))
            assert found is None, f"{path.relative_to(ROOT)}: {found}"


def test_every_test_folder_mirrors_a_part():
    parts = {p.name for p in PACKAGE.iterdir() if p.is_dir() and p.name != "__pycache__"}
    own = {"fakes", "recipes", "bench", "comfyui", "browser", "nix", "systemd", "gpu", "runtime"}
    folders = {p.name for p in (ROOT / "tests").iterdir() if p.is_dir() and p.name != "__pycache__"}
    assert folders <= parts | own
