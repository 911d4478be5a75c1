"""Types of structs under threads: msgspec alone crashes where two of them use one for the first time."""

import ast
import json
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "service" / "zoetrope"

# These decode on the one thread that their process's event loop has.
ALONE = {"engine/simulated/serve.py", "engine/simulated/server.py"}


def run(code: str, *words: str) -> str:
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    assert done.returncode == 0, f"{done.returncode}: {done.stderr}"
    return done.stdout


# The second thread comes while the first is in the middle: the hint of the inner struct's field blocks.
TWO_THREADS = """
import threading, msgspec
from zoetrope.structs import primed

inside, go_on = threading.Event(), threading.Event()

def number():
    inside.set()
    go_on.wait()
    return int

class Inner(msgspec.Struct):
    value: "number()"

class Outer(msgspec.Struct):
    inner: Inner

found = []

def convert():
    found.append(msgspec.convert({"inner": {"value": 7}}, primed(Outer)).inner.value)

first, second = (threading.Thread(target=convert) for _ in range(2))
first.start()
inside.wait()
second.start()
second.join(0.2)  # unprimed it ends the process within that time; primed it waits
go_on.set()
first.join()
second.join()
print(found)
"""


def test_a_type_can_be_used_for_the_first_time_by_two_threads_at_once():
    assert run(TWO_THREADS).strip() == "[7, 7]"


# Switching threads as often as possible makes the meeting likely, not certain.
MANY_THREADS = """
import sys, threading
sys.setswitchinterval(1e-6)
from zoetrope.graphs.shelf import Recipes, shipped

recipes = Recipes((shipped(),))
names = recipes.names()
begin = threading.Barrier(24)
found = []

def load(number):
    begin.wait()
    found.append(recipes.get(names[number % len(names)]).name)

threads = [threading.Thread(target=load, args=(number,)) for number in range(24)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(len(found))
"""


def test_recipes_are_loaded_by_many_threads_at_once():
    assert run(MANY_THREADS).strip() == "24"


def conversions(tree: ast.AST) -> list[tuple[int, ast.expr]]:
    """Find what msgspec is asked to make of something, with its line."""
    places = {"convert": 1, "Decoder": 0, "decode": 1}
    found = []
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        name = node.func.attr
        if name in places and ast.unparse(node.func.value).split(".")[0] == "msgspec":
            named = [keyword.value for keyword in node.keywords if keyword.arg == "type"]
            found += [(node.lineno, kind) for kind in [*node.args[places[name] :], *named][:1]]
    return found


def is_primed(kind: ast.expr) -> bool:
    return isinstance(kind, ast.Call) and ast.unparse(kind.func) == "primed"


# What stands in the table below is evaluated in its module; the structs in it that no import has primed are told.
UNPRIMED = """
import importlib, json, sys, typing
import msgspec
import zoetrope.app
from zoetrope import structs

def within(kind, seen):
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        if kind not in seen:
            seen.add(kind)
            for hint in typing.get_type_hints(kind, include_extras=True).values():
                within(hint, seen)
    for part in typing.get_args(kind):
        within(part, seen)
    return seen

known = set()
for kind in structs._PRIMED:
    within(kind, known)
for place, module, text in json.loads(sys.argv[1]):
    namespace = vars(importlib.import_module(module))
    try:
        left = within(eval(text, namespace), set()) - known
    except NameError as error:
        left = [error]
    if left:
        print(place, text, *left)
"""


def test_every_conversion_names_a_type_that_is_primed():
    left = []
    for file in sorted(PACKAGE.rglob("*.py")):
        own = file.relative_to(PACKAGE)
        tree = ast.parse(file.read_text())
        direct = [n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.module]
        hidden = {a.name for n in direct if n.module.startswith("msgspec") for a in n.names}
        assert not hidden & {"convert", "decode", "Decoder", "json", "msgpack"}, own
        if own.as_posix() in ALONE or own.name == "structs.py":
            continue
        module = ".".join(["zoetrope", *own.with_suffix("").parts]).removesuffix(".__init__")
        left += [
            (f"{own}:{line}", module, ast.unparse(kind))
            for line, kind in conversions(tree)
            if not is_primed(kind)
        ]
    assert run(UNPRIMED, json.dumps(left)) == ""
