"""The real service killed with a long queue."""

from tests.fakes.long_queue import queued_service

QUEUED = 150


def test_after_a_kill_with_a_long_queue_all_of_it_is_there(tmp_path):
    service, jobs = queued_service(tmp_path, QUEUED)

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
