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

# Bottom to top: a package or module imports only from those before it in this list.
FLOORS = (
    *(
        "errors",
        "lazy",
        "address",
        "structs",
        "mistakes",
        "tables",
        "host",
        "logs",
        "notifier",
        "open_files",
        "child",
        "places",
        "threads",
        "mounts",
        "file_names",
        "durable",
        "openat2",
        "beneath",
        "transfer",
    ),
    *(
        "domain",
        "settings",
        "graphs",
        "models",
        "lint",
        "engine",
        "gpu",
        "verify",
        "store",
        "dispatch",
        "jobs",
        "inbox",
    ),
    *(
        "backup",
        "state_folder",
        "runtime",
        "health",
        "summary",
        "web",
        "client",
        "systemd",
        "reload",
        "app",
        "demo",
        "cli",
    ),
)


def tracked() -> list[Path]:
    found = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [ROOT / line for line in found.stdout.splitlines() if (ROOT / line).is_file()]


def name_of(module: Path) -> str:
    return ".".join(module.relative_to(PACKAGE).with_suffix("").parts)


NAMES = {name_of(module): module for module in MODULES}


def imports(module: Path) -> set[str]:
    """Name the modules of the package that a module imports anywhere in it, relative to the package."""
    here = module.relative_to(PACKAGE).with_suffix("").parts
    found = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = [*here[: len(here) - node.level], *(node.module or "").split(".")]
            mod = ".".join(part for part in base if part)
            for alias in node.names:
                inner = f"{mod}.{alias.name}" if mod else alias.name
                # A module of that name, else a name that the module or the package itself holds.
                places = (inner, f"{inner}.__init__", mod, f"{mod}.__init__")
                found |= set([place for place in places if place in NAMES][:1])
    return found - {name_of(module)}


@pytest.mark.parametrize("module", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_module_is_one_noun_and_fits_in_the_head(module):
    assert module.stem not in NOUNLESS
    assert len(module.read_text().splitlines()) <= LONGEST
    assert ast.get_docstring(ast.parse(module.read_text())), "says in a sentence what it is"


def test_every_part_has_a_floor():
    parts = {name.partition(".")[0] for name in NAMES} - {"__init__", "__main__"}
    assert parts == set(FLOORS)


def test_no_part_imports_from_a_floor_above_its_own():
    upward = [
        f"{name} imports {other}"
        for name, module in NAMES.items()
        if (part := name.partition(".")[0]) in FLOORS
        for other in imports(module)
        if (below := other.partition(".")[0]) in FLOORS and FLOORS.index(below) > FLOORS.index(part)
    ]
    assert not upward


def test_only_the_composition_root_and_backups_name_the_form_of_the_store():
    inside = {name for name in NAMES if name.startswith("store.sqlite.")}
    named = {name for name, module in NAMES.items() if imports(module) & inside}
    assert named - inside == {"app", "backup"}


# What looks behind others' interfaces, and why; nothing looks behind ours, and nothing is added.
BEHIND = {
    # NVIDIA's bindings keep the functions of the library that they found first; a test brings its own.
    "fakes/nvml/simulated.py",
    # pip has no public interface that lists the files of a release.
    "nix/index.py",
}


def private(tree: ast.AST) -> set[str]:
    """Name what of others a test takes that begins with an underscore: an attribute, an import, a patched name."""
    found = set()
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Attribute):
            own = isinstance(node.value, ast.Name) and node.value.id in {"self", "cls", "os"}
            names = [] if own else [node.attr]
        elif isinstance(node, ast.ImportFrom):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("setattr", "getattr")):
            words = [arg.value for arg in node.args[:2] if isinstance(arg, ast.Constant)]
            names = [str(word).rpartition(".")[2] for word in words]
        found |= {name for name in names if name.startswith("_") and not name.startswith("__")}
    return found


def test_no_test_looks_behind_what_is_public():
    tests = ROOT / "tests"
    found = {
        str(file.relative_to(tests))
        for file in tests.rglob("*.py")
        if private(ast.parse(file.read_text()))
    }
    assert found <= BEHIND, "make what the test needs public, or test it through what is"
    assert found == BEHIND, "these look behind nothing any more: take them from the list"


def test_no_modules_import_each_other_in_a_circle():
    edges = {name: sorted(imports(module)) for name, module in NAMES.items()}
    done: set[str] = set()

    def walk(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, " -> ".join((*way[way.index(name) :], name))
        if name not in done:
            for other in edges[name]:
                walk(other, (*way, name))
            done.add(name)

    for name in NAMES:
        walk(name, ())


def test_a_class_name_means_one_thing():
    places: dict[str, list[str]] = {}
    for name, module in NAMES.items():
        for node in ast.parse(module.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places.setdefault(node.name, []).append(name)
    assert {each: found for each, found in places.items() if len(found) > 1} == {}


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
    own |= {"endurance"}
    folders = {p.name for p in (ROOT / "tests").iterdir() if p.is_dir() and p.name != "__pycache__"}
    assert folders <= parts | own
