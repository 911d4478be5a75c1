"""The real service killed with a long queue."""

from tests.bench.host import finished_job
from tests.fakes.ledger import fill
from tests.fakes.service import ServiceProcess
from zoetrope.domain.job import State

QUEUED = 150
NO_ENGINE = "http://127.0.0.1:9"  # none answers there


def test_after_a_kill_with_a_long_queue_all_of_it_is_there(tmp_path):
    service = ServiceProcess(tmp_path, NO_ENGINE)
    jobs = [finished_job(number, State.QUEUED) for number in range(QUEUED)]
    fill(service.state / "ledger.db", jobs)
    for job in jobs:
        folder = service.state / "work" / job.id
        folder.mkdir(parents=True)
        (folder / "p.png").write_bytes(b"x")

    def queued():
        told = service.get("/api/v1/jobs?limit=200")["jobs"]
        return {job["id"] for job in told if job["state"] == "queued"}

    service.start()
    try:
        assert queued() == {job.id for job in jobs}
        service.kill()
        service.start()
        assert queued() == {job.id for job in jobs}
    finally:
        code = service.stop()
    assert code == 0
    assert "Traceback" not in service.log.read_text()
    assert {path.name for path in (service.state / "work").iterdir()} == {job.id for job in jobs}
