"""What lies on disks and is read again: records of the service, notes on the share, catalogues, books; as functions of bytes."""

from __future__ import annotations

import functools
import io
import logging
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec
from aiohttp.test_utils import make_mocked_request

from tests.bench.host import finished_job
from tests.endurance.parser import Parser
from zoetrope import backup
from zoetrope.beneath import Beneath
from zoetrope.domain.job import State
from zoetrope.errors import NotFound, RecipeError, ZoetropeError
from zoetrope.gpu import book_file
from zoetrope.gpu.book import Book, Page
from zoetrope.gpu.book_file import NoBook
from zoetrope.graphs import catalog, shared
from zoetrope.graphs.catalog import Catalog, Input, Signature
from zoetrope.graphs.versions import Versions
from zoetrope.inbox import folder_ticket
from zoetrope.jobs import keep_book, pause, review_folder, work_note
from zoetrope.jobs.keep import KeepBook
from zoetrope.jobs.lost_work import LostWork, describe
from zoetrope.jobs.outbox import owner
from zoetrope.jobs.outbox_identity import MARK, OutboxAway, OutboxIdentity
from zoetrope.jobs.pause import Pause
from zoetrope.models import manifest
from zoetrope.models.store import VERIFIED, Store
from zoetrope.settings import ModelsSettings
from zoetrope.store.rows import Rows, UnreadableJob
from zoetrope.web.api.gpu import Wish
from zoetrope.web.api.lint import LintRequest
from zoetrope.web.endpoint import check, decode, read_headers
from zoetrope.web.environment_views import EnvironmentForm
from zoetrope.web.forms import PauseForm, ReasonForm, Repeatable
from zoetrope.web.problems import BadRequest

ID = "ab" * 16
JOB = finished_job(1, State.QUEUED)


@functools.cache
def folder() -> Path:
    """Give a folder in memory, one for each process that fuzzes."""
    # What is not readable is said in the log each time, and nobody reads it here.
    logging.getLogger("zoetrope").setLevel(logging.CRITICAL)
    home = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    for name in (ID, "lost"):
        (home / name).mkdir()
    return home


def in_file(name: str, read: Callable[[Path], object]) -> Callable[[bytes], object]:
    """Make a function of bytes of one that reads a file."""

    def take(data: bytes) -> object:
        file = folder() / name
        file.write_bytes(data)
        return read(file)

    return take


def in_tree(name: str, read: Callable[[Beneath], object]) -> Callable[[bytes], object]:
    """Make a function of bytes of one that reads below an open folder."""

    def take(data: bytes) -> object:
        (folder() / name).write_bytes(data)
        with Beneath(folder()) as tree:
            return read(tree)

    return take


def take_mark(data: bytes) -> object:
    """See to an outbox by a mark that anybody may have written, then by a record of it."""
    file = folder() / "outbox.json"
    for name, found in ((MARK, b""), ("outbox.json", data)):
        file.unlink(missing_ok=True)
        (folder() / MARK).write_bytes(data)
        if found:
            (folder() / name).write_bytes(found)
        with Beneath(folder()) as tree:
            OutboxIdentity(folder(), file, lambda: "").check(tree)
    return None


def take_lost(data: bytes) -> object:
    """Read the note of lost work; one that is none is made anew from the folder."""
    (folder() / "lost" / ID).mkdir(exist_ok=True)
    (folder() / "lost" / ID / work_note.NOTE).write_bytes(data)
    lost = LostWork(folder(), folder() / "lost")
    lost.job(ID)
    return lost.note(ID)


def take_version(data: bytes) -> object:
    (folder() / "versions" / ID).mkdir(parents=True, exist_ok=True)
    (folder() / "versions" / ID / "index.json").write_bytes(data)
    return Versions(folder() / "versions").get(ID)


def take_form(data: bytes) -> object:
    """Read a body as each of the addresses that take one."""
    raw = decode(data, how="")
    found: object = None
    for kind in (LintRequest, Wish, EnvironmentForm, PauseForm, ReasonForm):
        try:
            check(raw, kind, how="")
            found = msgspec.convert(raw, kind)
        except BadRequest as error:
            found = error
    if isinstance(found, BadRequest):
        raise found
    return found


def take_headers(data: bytes) -> object:
    text = data.decode("latin-1").replace("\r", "").replace("\n", "")
    request = make_mocked_request("POST", "/api/v1/jobs", headers={"Idempotency-Key": text})
    return read_headers(request, Repeatable)


def _backup() -> bytes:
    body = msgspec.json.encode(
        backup.Manifest(
            format=1, zoetrope="1", created=1.0, schema=1, jobs=1, files={"ledger.db": "0"}
        )
    )
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        about = tarfile.TarInfo(backup.MANIFEST)
        about.size = len(body)
        tar.addfile(about, io.BytesIO(body))
    return file.getvalue()


_CATALOGUE = Catalog(
    comfyui="0.27.1",
    packs={"core": ""},
    nodes={
        name: Signature(
            pack="core",
            inputs={"seed": Input(type="INT", default=0, min=0, options=("a", "b"))},
            outputs=("LATENT",),
        )
        for name in ("One", "Other")
    },
)

KEPT: dict[str, Parser] = {
    "catalogues": Parser(
        take=catalog.decode,
        may=(msgspec.DecodeError, UnicodeDecodeError),
        seeds=(catalog.encode(_CATALOGUE),),
    ),
    "model manifests": Parser(
        take=in_file("models.toml", lambda file: manifest.catalogue(ModelsSettings(), file)),
        may=(RecipeError,),
        seeds=(b'[[model]]\nfile = "a.safetensors"\nfolder = "unet"\nbytes = 7\nsha256 = "%s"\nurl = "https://h/a"\n' % (b"0" * 64),),
    ),
    "model hashes": Parser(
        take=in_file(VERIFIED, lambda file: Store(file.parent).seen()),
        may=(),
        seeds=(b'{"/m/a": {"size": 1, "mtime_ns": 2, "sha256": "00"}}',),
    ),
    "GPU books": Parser(
        take=book_file.decode,
        may=(NoBook,),
        seeds=(
            msgspec.json.encode(Book(cards={"GPU-1": Page(held="p")})),
            b'{"schema": 1, "cards": {"GPU-1": {"mark": {"profile": "p", "knobs": ["power"], "boot": "b", "since": 1.0}, "records": {"p": {"soaked": 1.5}}}}}',
            b'{"closed": {"why": "w", "kept": "/k", "since": 1.0}}',
        ),
    ),
    "rows": Parser(take=lambda data: Rows().read(ID, data), may=(UnreadableJob,), seeds=(msgspec.json.encode(JOB),)),
    "lost work": Parser(
        take=take_lost,
        may=(NotFound,),
        seeds=(msgspec.json.encode(describe(ID, JOB, (), 1.0)), msgspec.json.encode(JOB)),
    ),
    "ages": Parser(take=in_file("kept.json", keep_book.read), may=(), seeds=(msgspec.json.encode(KeepBook()),)),
    "pauses": Parser(take=in_file("pause.json", lambda file: pause.read(file, 1.0)), may=(), seeds=(msgspec.json.encode(Pause(since=1.0)),)),
    "outbox marks": Parser(take=take_mark, may=(OutboxAway,), seeds=(b"0" * 32 + b"\n", b'{"path": "/o", "mark": "00", "inode": 1, "mount": "/"}')),
    "texts of reviews": Parser(
        take=in_tree(f"{ID}/{review_folder.READ_ME}", lambda tree: review_folder.named_in(tree, ID)),
        may=(),
        seeds=(review_folder.read_me(JOB, ""), review_folder.read_me(JOB, "ab" * 8),),
    ),
    "receipts on the share": Parser(
        take=in_tree(f"{ID}/receipt.json", lambda tree: owner(tree, ID)),
        may=(),
        seeds=(b'{"job": "%s", "stages": [{"name": "i2v"}]}' % ID.encode(),),
    ),
    "folder tickets": Parser(
        take=in_file("ticket.toml", lambda file: folder_ticket.read(file.parent, "")),
        may=(folder_ticket.BadFolderTicket,),
        seeds=(b'prompt = "a"\nseed = 7\n',),
    ),
    "shared recipe files": Parser(
        take=lambda data: shared.read(data, "shared.toml"),
        may=(RecipeError,),
        seeds=(b"[memory.16]\npixels = 400000\n", b"[presets.soft]\nparameters = {steps = 4}\n"),
    ),
    "kept recipe versions": Parser(take=take_version, may=(RecipeError,), seeds=(b'{"name": "tiny", "files": {"recipe.toml": "r"}}', b'{"name": "tiny", "files": {"recipe.toml": "\\u0000"}}')),
    "backups": Parser(take=in_file("backup.tar", backup.read_manifest), may=(ZoetropeError,), seeds=(_backup(),)),
    "API bodies": Parser(
        take=take_form,
        may=(BadRequest,),
        seeds=(b'{"minutes": 5}', b'{"why": "w"}', b'{"profile": null}', b'{"graph": {}, "tags": []}', b'{"models": ["unet/a"]}'),
    ),
    "headers": Parser(take=take_headers, may=(BadRequest,), seeds=(b"0b1e3c4d", b"x" * 200)),
}  # fmt: skip
