"""A service whose ledger has a long queue, each job with its work, and no engine that answers."""

from __future__ import annotations

from pathlib import Path

from tests.bench.host import finished_job
from tests.fakes.ledger import fill
from tests.fakes.service import ServiceProcess
from zoetrope.domain.job import Job, State

NO_ENGINE = "http://127.0.0.1:9"  # none answers there


def queued_service(root: Path, number: int) -> tuple[ServiceProcess, list[Job]]:
    """Give the service, which is not started yet, and the jobs of its queue."""
    service = ServiceProcess(root, NO_ENGINE)
    jobs = [finished_job(each, State.QUEUED) for each in range(number)]
    fill(service.state / "ledger.db", jobs)
    for job in jobs:
        folder = service.state / "work" / job.id
        folder.mkdir(parents=True)
        (folder / "p.png").write_bytes(b"x")
    return service, jobs
