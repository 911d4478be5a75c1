"""The product's decoders and parsers, each as a function of bytes, with what it may raise and what it is fed first."""

from __future__ import annotations

import functools
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from tests.endurance.kept import KEPT
from tests.endurance.parser import Parser
from zoetrope import file_names, settings, tables
from zoetrope.cli import receipt_file
from zoetrope.domain.job import Job
from zoetrope.domain.query import JobQuery
from zoetrope.domain.values import Ticket
from zoetrope.engine import report
from zoetrope.engine.comfyui import decoder, events, submission
from zoetrope.engine.report import ReportUnknown
from zoetrope.errors import RecipeError, Rejected, SettingsError, WrongAnswer
from zoetrope.gpu import wire
from zoetrope.gpu.wire import BadHelperRequest
from zoetrope.graphs import document
from zoetrope.graphs.assembly import assemble
from zoetrope.graphs.recipe import Recipe
from zoetrope.graphs.shelf import Recipes
from zoetrope.inbox import entry, formats, ticket
from zoetrope.jobs.outbox import folder_name
from zoetrope.web import files, guard
from zoetrope.web.endpoint import check, decode, read_query
from zoetrope.web.forms import InboxForm, Listing, TicketForm, values
from zoetrope.web.problems import BadRange, BadRequest

ROOT = Path(__file__).parents[2]
TINY = ROOT / "tests" / "recipes" / "tiny"


@functools.cache
def tiny() -> Recipe:
    """Give the recipe that tickets are resolved with."""
    return Recipes((ROOT / "tests" / "recipes",)).get("tiny")


def take_ticket(data: bytes) -> object:
    return ticket.resolve(ticket.parse(data, "cat.toml"), tiny())


def take_prompt(data: bytes) -> object:
    return ticket.resolve(ticket.parse(data, "cat.txt"), tiny())


def take_name(data: bytes) -> object:
    """Take a file's name apart, and make the names that follow from it."""
    # As a folder lists it: no part is empty, and none leads upward.
    parts = [part for part in data.replace(b"\0", b"").split(b"/") if part.strip(b".")]
    path = os.fsdecode(b"/".join(part[:255] for part in parts) or b"x")
    found = entry.classify(path)
    entry.ticket_names(found.stem, found.half)
    stem = file_names.safe_stem(found.stem) if found.stem else "x"
    job = Job(
        id="0" * 32, created=0.0, updated=0.0, state="queued", stem=stem, ticket=Ticket(recipe="r")
    )
    name = folder_name(job)
    assert len(os.fsencode(name)) <= 255, "a name that no file can have"
    assert "/" not in name, "a name that leads elsewhere"
    assert not name.startswith("."), "a hidden name"
    return found


def take_head(data: bytes) -> object:
    """Say what a file's first bytes announce, and why not."""
    head = data[: formats.HEAD]
    return formats.sniff(head) or formats.sniff_moving(head) or formats.refusal(head)


def take_settings(data: bytes) -> object:
    return settings.parse(data.decode("utf-8", "replace"), "zoetrope.toml")


def take_table(data: bytes) -> object:
    return tables.find(tables.read(data.decode("utf-8", "replace")))


def take_recipe(data: bytes) -> object:
    def read(name: str) -> bytes:
        if name == "recipe.toml":
            return data
        file = TINY / Path(name).name
        return (
            file.read_bytes()
            if file.exists()
            else (TINY.parents[2] / "workflows" / name).read_bytes()
        )

    return assemble("tiny", read, lambda name: name)


def take_graph(data: bytes) -> object:
    return document.parse(data, "graph.json")


def take_body(data: bytes) -> object:
    """Read a body as the addresses that make jobs do."""
    raw = decode(data, how="")
    for kind in (TicketForm, InboxForm):
        try:
            said = values(raw, kind, how="")
        except BadRequest:
            continue
        said.pop("path", None)
        return ticket.resolve(said, tiny())
    return check(raw, TicketForm, how="")


def take_frame(data: bytes) -> object:
    return wire.decode(data)


def take_query(data: bytes) -> object:
    """Read a query, and ask a store with it."""
    text = data.decode("latin-1").replace("\r", "").replace("\n", "").replace(" ", "+")
    asked = read_query(make_mocked_request("GET", f"/api/v1/jobs?{text}"), Listing)
    return JobQuery(states=asked.state, text=asked.q, limit=asked.limit, before=asked.before)


def take_answer(data: bytes) -> object:
    """Read what an engine says, as the answer to any of the questions."""
    found = None
    for read in ANSWERS:
        try:
            found = read(data)
        except WrongAnswer as error:
            found = error
    if isinstance(found, WrongAnswer):
        raise found
    return found


ANSWERS: tuple[Callable[[bytes], object], ...] = (
    lambda data: decoder.queue_place(decoder.queue(data, "zoetrope"), PROMPT),
    lambda data: decoder.history(data, PROMPT),
    lambda data: decoder.uploaded(data, "a.png", "zoetrope"),
    decoder.listing,
    decoder.stats,
    decoder.cuda_bytes,
    decoder.max_upload,
    lambda data: decoder.object_info(data, "0.27.1"),
    events.event,
    lambda data: submission.refusal(200, data, PROMPT, {}),
    lambda data: submission.refusal(400, data, PROMPT, {}),
)


def take_receipt(data: bytes) -> object:
    return receipt_file.decode(data)


def take_report(data: bytes) -> object:
    """Read what the engine's user may have written for an engine's report."""
    with tempfile.NamedTemporaryFile(dir="/dev/shm") as file:
        file.write(data)
        file.flush()
        return report.read(Path(file.name))


def take_request(data: bytes) -> object:
    """Look at the headers by which a request is let in."""
    lines = data.decode("utf-8", "surrogateescape").split("\n")
    host, origin, token, cookie, span = [*lines, "", "", "", "", ""][:5]
    headers = CIMultiDict({"Origin": origin, "Sec-Fetch-Site": "none"})
    guard.host_allowed(host, ACCESS)
    guard.origin_allowed(host, headers)
    ACCESS.opens(token)
    ACCESS.opens_cookie(cookie)
    return files.span(span, 1000)


PROMPT = "0b1e3c4d-0000-5000-8000-000000000001"

ACCESS = guard.Access("127.0.0.1", ("box.lan",), b"0" * 32)

_TICKET = b"""
prompt = ["she looks up", "a slow smile"]
preset = []
seed = 7
seconds = 2.5
name = "holiday"
width = 64
review = true
[parameters]
steps = 4
cfg = 1.0
"""
_REQUEST = (
    b"localhost:8190\nhttp://localhost:8190\ntoken\nabc\nbytes=0-99",
    b"[::1]:8190\nhttps://box.lan\n\xff\n\xe9\nbytes=-5",
)

PARSERS: dict[str, Parser] = {
    **KEPT,
    "tickets": Parser(take=take_ticket, may=(Rejected,), seeds=(_TICKET, b'prompt = "a"\nframes = 5')),
    "prompts": Parser(take=take_prompt, may=(Rejected,), seeds=(b"Beat 1 (0-2s): a slow zoom.",)),
    "names": Parser(
        take=take_name,
        may=(),
        seeds=(b"cat.png", b"flf/cat.start.png", "Größe (2).toml".encode(), b"a/b/c/d.jpeg", b"x" * 250 + b".png"),
    ),
    "first bytes": Parser(
        take=take_head,
        may=(),
        seeds=(
            b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"RIFF0000WEBPVP8 ", b"\0\0\0\x20ftypavif\0\0\0\0mif1",
            b"GIF89a", b"II*\0", b"BM1234\0\0\0\0", b"<svg", b"\x1aE\xdf\xa3webm", b"%PDF-1.7",
        ),
    ),
    "settings": Parser(
        take=take_settings,
        may=(SettingsError,),
        seeds=tuple(file.read_bytes() for file in sorted((ROOT / "examples").rglob("*.toml")))
        or (b'[inbox]\npath = "/a"\n[[engines]]\nname = "e"\nurl = "http://h:1"\n',),
    ),
    "tables": Parser(take=take_table, may=(tables.BrokenTable,), seeds=(_TICKET, b"a = [1, {b = 2}]")),
    "recipes": Parser(take=take_recipe, may=(RecipeError,), seeds=((TINY / "recipe.toml").read_bytes(),), cost=5),
    "workflows": Parser(
        take=take_graph,
        may=(RecipeError,),
        seeds=tuple(file.read_bytes() for file in sorted(TINY.glob("*.json"))),
    ),
    "bodies": Parser(
        take=take_body,
        may=(BadRequest, Rejected),
        seeds=(b'{"prompt": "a", "seed": 7, "parameters": {"steps": 4}}', b'{"path": "cat.png", "frames": 5}', b"{}"),
    ),
    "helper frames": Parser(
        take=take_frame,
        may=(BadHelperRequest,),
        seeds=(
            b'{"type": "status"}', b'{"type": "work", "card": "GPU-1"}', b'{"type": "apply", "card": "GPU-1", "profile": "p"}',
            b'{"type": "soaked", "card": "G", "profile": "p", "seconds": 1.7e308}',
            b'{"type": "trouble", "card": "G", "profile": "p", "kind": "xid", "sentence": "s"}',
        ),
    ),
    "queries": Parser(
        take=take_query,
        may=(BadRequest,),
        seeds=(b"state=done,failed&recipe=tiny&q=cat&limit=50&before=7", b"q=%C3%A4+b", b"limit=-1"),
        cost=3,
    ),
    "receipts": Parser(
        take=take_receipt,
        may=(msgspec.DecodeError, UnicodeDecodeError, RecursionError),
        seeds=((ROOT / "tests" / "cli" / "recordings" / "receipt-1.json").read_bytes(),),
    ),
    "engine reports": Parser(
        take=take_report,
        may=(ReportUnknown,),
        seeds=(
            b'{"schema": 1, "chosen": "sdpa", "kernels": [{"name": "sdpa", "verdict": "ok", "reason": ""}], "packs": [{"name": "gguf", "state": "linked"}]}',
        ),
        cost=2,
    ),
    "requests": Parser(take=take_request, may=(BadRange, BadRequest), seeds=_REQUEST),
    "engine answers": Parser(
        take=take_answer,
        may=(WrongAnswer,),
        seeds=(
            b'{"queue_running": [[1, "%s", {}, {"client_id": "zoetrope", "zoetrope": {"job": "a"}}, []]], "queue_pending": []}' % PROMPT.encode(),
            b'{"%s": {"outputs": {"save": {"images": [{"filename": "a.mp4", "subfolder": "", "type": "output"}]}}, "status": {"status_str": "success", "messages": [["execution_error", {"exception_message": "x"}]]}}}' % PROMPT.encode(),
            b'{"system": {"comfyui_version": "0.27.1"}, "devices": [{"name": "cuda:0", "vram_total": 17, "vram_free": 1.5}]}',
            b'{"name": "a.png", "subfolder": "zoetrope"}', b'["a.safetensors"]', b'{"max_upload_size": 104857600}',
            b'{"prompt_id": "%s", "number": 1, "node_errors": {"5": {"errors": [{"type": "value_not_in_list", "message": "m", "details": "d", "extra_info": {"input_name": "unet_name"}}], "class_type": "X"}}}' % PROMPT.encode(),
            b'{"error": {"type": "prompt_no_outputs", "message": "m", "details": ""}, "node_errors": {}}',
            b'{"type": "progress_state", "data": {"prompt_id": "%s", "nodes": {"3": {"state": "running", "value": 1, "max": 4}}}}' % PROMPT.encode(),
            b'{"KSampler": {"input": {"required": {"seed": ["INT", {"default": 0, "min": 0}]}}, "output": ["LATENT"], "python_module": "nodes"}}',
        ),
        cost=2,
    ),
}  # fmt: skip
