"""A child Python finds the packages of its parent, however those came to the parent."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

from tests.test_layout import MODULES, PACKAGE
from zoetrope import child

BARE = str(Path(sys.executable).resolve())
SERVICE = PACKAGE.parent

# What nixpkgs' wrapper does, and a child that is started in another folder.
PARENT = """
import json, site, subprocess, sys
site.addsitedir(sys.argv[1])
sys.path.append("beside")
from zoetrope import child
line = [sys.executable, "-P", "-c", "import only_here, more_here; print(only_here.__file__)"]
done = subprocess.run(line, env=child.environment(), cwd="/", capture_output=True, text=True)
print(json.dumps([done.stdout.strip(), done.stderr]))
"""


def test_packages_that_are_on_the_path_of_the_process_alone_are_found_in_any_folder(tmp_path):
    site = tmp_path / "site"
    (tmp_path / "beside").mkdir()
    site.mkdir()
    (site / "service.pth").write_text(f"{SERVICE}\n")
    (site / "only_here.py").touch()
    (tmp_path / "beside" / "more_here.py").touch()
    done = subprocess.run(
        [BARE, "-I", "-S", "-c", PARENT, str(site)],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""
    assert json.loads(done.stdout) == [str(site / "only_here.py"), ""]


def test_the_rest_of_the_environment_stays_unless_it_is_changed(monkeypatch):
    monkeypatch.setenv("KEPT", "1")
    monkeypatch.setenv("CHANGED", "1")
    monkeypatch.setenv("LEFT_OUT", "1")
    found = child.environment(without={"LEFT_OUT", "NEVER_THERE"}, CHANGED="2", NEW="3")
    assert (found["KEPT"], found["CHANGED"], found["NEW"]) == ("1", "2", "3")
    assert "LEFT_OUT" not in found
    assert found["PATH"] == os.environ["PATH"]


def test_an_empty_entry_never_names_the_folder_of_the_child(monkeypatch):
    monkeypatch.setattr(sys, "path", ["", "/a", "/b", "/a"])
    assert child.environment()["PYTHONPATH"] == "/a:/b"


def starts(module: Path) -> list[ast.Call]:
    """Find the calls that start a program, wherever they stand."""
    names = {"create_subprocess_exec", "create_subprocess_shell", "Popen", "run", "check_output"}
    found = []
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name.startswith(("subprocess.", "asyncio.")) and name.rpartition(".")[2] in names:
                found.append(node)
    return found


def test_no_module_starts_a_python_that_would_miss_packages():
    """Whoever names the interpreter takes the environment from here, in every call that starts something."""
    starting = [module for module in MODULES if "sys.executable" in module.read_text()]
    assert starting
    for module in starting:
        calls = starts(module)
        assert calls, f"{module} names the interpreter and starts nothing that this test can see"
        for call in calls:
            env = {word.arg: ast.unparse(word.value) for word in call.keywords}.get("env", "none")
            place = f"{module.relative_to(PACKAGE)}, line {call.lineno}"
            assert env.startswith("child.environment("), f"{place}: env is {env}"


def test_one_module_alone_says_where_packages_are():
    naming = {module.name for module in MODULES if "PYTHONPATH" in module.read_text()}
    assert naming == {"child.py"}
