"""A ledger with a job in every state, and the files that such jobs have."""

from __future__ import annotations

import asyncio
import hashlib
import io
from pathlib import Path

import msgspec
from PIL import Image

from tests.web.fakes import IMAGE, make_job
from zoetrope.domain.job import Attempt, Job, Progress, Stage, State
from zoetrope.domain.plan import Plan
from zoetrope.domain.values import Artefact, Ticket
from zoetrope.errors import Reason
from zoetrope.jobs import receipt
from zoetrope.jobs.outbox import Outbox
from zoetrope.store.sqlite.ledger import Ledger

TICKET = Ticket(recipe="tiny", prompt="she turns <b>slowly</b>", parameters={"steps": 5})

DONE = f"{list(State).index(State.DONE) + 1:x}" * 32


def picture() -> bytes:
    """Draw a picture that can be opened."""
    drawn = io.BytesIO()
    Image.linear_gradient("L").resize((64, 64)).save(drawn, "PNG")
    return drawn.getvalue()


def jobs() -> list[Job]:
    """Make one job in every state; their ids tell which is which, and are the same each time."""
    attempt = Attempt(
        number=1, prompt_id="p", engine="e0", state=Progress.DONE, started=1.0, ended=9.0
    )
    made = Stage(
        name="i2v",
        review=True,
        state=Progress.DONE,
        attempts=(attempt,),
        artefacts=(Artefact(file="i2v-1.mp4", size=6, sha256="1" * 64),),
        poster="i2v-1.jpg",
    )
    last = msgspec.structs.replace(
        made,
        name="upscale",
        artefacts=(Artefact(file="upscale-1.mp4", size=6, sha256="2" * 64),),
        poster="upscale-1.jpg",
        fallbacks=("tiled-decode",),
    )
    image = msgspec.structs.replace(
        IMAGE, name="<i>cat</i>.png", sha256=hashlib.sha256(picture()).hexdigest()
    )
    found = []
    for number, state in enumerate(State):
        more = {}
        if state in (State.FAILED, State.CANCELLED, State.REJECTED):
            more = {"reason": Reason(str(state), "It came to nothing.", "Try again.")}
        stages = (made, Stage(name="upscale"))
        if state is State.DONE:
            stages = (made, last)
        elif state is State.WAITING:
            stages, more = (), {"half": "start"}
        found.append(
            make_job(
                state,
                id=f"{number + 1:x}" * 32,
                ticket=TICKET,
                stages=stages,
                notes=("600x400 became 592x400: a grid of 16.",),
                images=(image,),
                **more,
            )
        )
    return found


def fill(state: Path, outbox: Path) -> None:
    """Write the ledger of a service that is not running, with work folders and finished folders."""
    asyncio.run(_fill(state, outbox))


async def _fill(state: Path, outbox: Path) -> None:
    ledger = await Ledger.open(state / "ledger.db")
    for job in jobs():
        work = state / "work" / job.id
        work.mkdir(parents=True)
        (work / "source.png").write_bytes(picture())
        for stage in job.stages:
            for file in (*(each.file for each in stage.artefacts), stage.poster):
                if file:
                    (work / file).write_bytes(b"film" + stage.name.encode())
        if job.state is State.DONE:
            paper = receipt.encode(receipt.write(job, Plan(seed=job.seed), 9.0))
            name = Outbox(outbox).publish(job, work, paper)
            job = msgspec.structs.replace(job, outbox=name)
        await ledger.add(job, claim=job.id)
    await ledger.close()
