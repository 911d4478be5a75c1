"""The page that leads through the code: what it names is there, and a traced picture takes the way that it tells."""

import ast
import asyncio
import importlib.util
import re
import sys
import threading
from pathlib import Path

import aiohttp
import pytest
from PIL import Image

from tests.fakes.service import free_port
from zoetrope.app import App
from zoetrope.notifier import Notifier
from zoetrope.settings import (
    EngineSettings,
    InboxSettings,
    JobsSettings,
    OutboxSettings,
    RecipesSettings,
    Settings,
    StateSettings,
    WebSettings,
)

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "service" / "zoetrope"
PAGE = (ROOT / "docs" / "architecture.md").read_text()
NAMED = re.findall(r"`([a-z_0-9/]+\.py)` `([\w.]+)`", PAGE)
WAY, _, REST = PAGE.partition("## In processes of their own")
STEPS = re.findall(r"`([a-z_0-9/]+\.py)` `([\w.]+)`", WAY)
# Their modules are all on the page; of the others, those that matter to a reader of the way.
WHOLE = ("dispatch", "inbox", "jobs", "store", "verify")


@pytest.mark.parametrize(("module", "name"), NAMED)
def test_what_the_page_names_is_there(module, name):
    body = ast.parse((PACKAGE / module).read_text()).body
    kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for part in name.split("."):
        found = [node for node in body if isinstance(node, kinds) and node.name == part]
        assert found, f"{module} has no {name}"
        body = found[-1].body


def test_every_module_on_the_way_is_named():
    named = {module for module, _ in NAMED} | set(re.findall(r"`([a-z_0-9/]+/)`", PAGE))
    missing = [
        str(path.relative_to(PACKAGE))
        for part in WHOLE
        for path in sorted((PACKAGE / part).rglob("*.py"))
        if path.name != "__init__.py"
        and str(path.relative_to(PACKAGE)) not in named
        and f"{path.parent.relative_to(PACKAGE)}/" not in named
    ]
    assert not missing


BEGIN = ("inbox/entry.py", "classify")


class Trace:
    """Notes when each function of the package is called first after a drop is seen, in whichever thread."""

    def __init__(self) -> None:
        self.first: dict[tuple[str, str], int] = {}
        self.on = False

    def __call__(self, frame, event, _):
        if not self.on or event != "call":
            return
        code = frame.f_code
        file = code.co_filename
        if file.startswith(f"{PACKAGE}/"):
            key = (file.removeprefix(f"{PACKAGE}/"), code.co_qualname)
            if self.first or key == BEGIN:
                self.first.setdefault(key, len(self.first))


class Told(Notifier):
    """Knows when the service says that it is ready."""

    def __init__(self) -> None:
        super().__init__()
        self.told = asyncio.Event()

    def ready(self, sentence: str = "") -> None:
        self.told.set()


async def drop(root: Path, trace: Trace) -> None:
    """Run the service with its simulated engine, and drop one picture with a ticket."""
    inbox, outbox = root / "inbox", root / "outbox"
    for folder in (inbox, outbox, root / "state"):
        folder.mkdir()
    port = free_port()
    settings = Settings(
        inbox=InboxSettings(path=inbox, settle_seconds=0.3, ticket_grace_seconds=0.1),
        outbox=OutboxSettings(path=outbox),
        state=StateSettings(path=root / "state", min_free_megabytes=0),
        recipes=RecipesSettings(path=(ROOT / "tests" / "recipes",), default="tiny"),
        jobs=JobsSettings(review=False),
        engines=(EngineSettings(name="e", url="simulated:"),),
        web=WebSettings(listen=f"127.0.0.1:{port}"),
    )
    stop, told = asyncio.Event(), Told()
    service = asyncio.create_task(App(settings, told).run(stop))
    async with asyncio.timeout(120):
        await told.told.wait()
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http:
            while not (await (await http.get("/api/v1/engines")).json())["engines"][0]["up"]:
                await asyncio.sleep(0.05)
        Image.linear_gradient("L").resize((64, 64)).convert("RGB").save(root / "cat.png")
        trace.on = True
        (inbox / "cat.toml").write_text('prompt = "a room"\n')
        (root / "cat.png").rename(inbox / "cat.png")
        # The last thing of all is that the work folder goes.
        while not any(outbox.glob("*/receipt.json")) or any((root / "state" / "work").iterdir()):
            await asyncio.sleep(0.05)
    trace.on = False
    stop.set()
    await service


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    if sys.gettrace() or sys.getprofile():
        pytest.skip("a debugger or profiler is at work")
    # What other tests have read or worked out in this process is not called again.
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "zoetrope":
            for value in vars(module).values():
                if callable(forget := getattr(value, "cache_clear", None)):
                    forget()
    trace = Trace()
    threading.setprofile(trace)
    sys.setprofile(trace)
    try:
        asyncio.run(drop(tmp_path_factory.mktemp("traced"), trace))
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return trace.first


def test_a_traced_picture_takes_the_way_that_the_page_tells(first):
    calls = {}
    for (module, name), at in first.items():
        whole = name.partition(".<locals>")[0]
        # A class that is named alone: the first of its functions counts.
        for each in (whole, whole.partition(".")[0]):
            calls.setdefault((module, each), at)
    never = [f"{module} {name}" for module, name in STEPS if (module, name) not in calls]
    assert not never, "these are not called on the way"
    times = [calls[step] for step in STEPS]
    back = [
        f"{STEPS[n + 1]} comes before {STEPS[n]}"
        for n in range(len(times) - 1)
        if times[n + 1] < times[n]
    ]
    assert not back, "\n".join(back)


def test_the_drawing_is_made_from_the_imports():
    """Renewed by docs/floors.py."""
    spec = importlib.util.spec_from_file_location("floors", ROOT / "docs" / "floors.py")
    floors = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(floors)
    assert (ROOT / "docs" / "floors.svg").read_text() == floors.drawing()
