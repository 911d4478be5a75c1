"""A job stays with its worker as long as it is carried, and no longer."""

import asyncio

from tests.fakes.pipeline import Pipeline
from zoetrope.dispatch.queue import Queue
from zoetrope.domain.job import State
from zoetrope.jobs.worker import EngineWorker


async def test_a_job_stays_with_its_worker_however_long_the_upload_takes(tmp_path, monkeypatch):
    monkeypatch.setattr("zoetrope.dispatch.queue.LEASE_SECONDS", 2.0)
    monkeypatch.setattr("zoetrope.jobs.worker.EXTEND_SECONDS", 0.02)
    pipeline = Pipeline(tmp_path, engines=2)
    await pipeline.start()
    await pipeline.until(lambda: all(worker.up for worker in pipeline.conductor.status().workers))
    uploads, arrive = [], asyncio.Event()
    for client in pipeline.clients:

        async def upload(file, name, client=client, whole=client.upload):
            uploads.append(client.name)
            await arrive.wait()
            return await whole(file, name)

        monkeypatch.setattr(client, "upload", upload)
    job = await pipeline.drop()
    await pipeline.until(lambda: uploads)
    # Longer than a lease, with another worker that is idle and looks each time that a job is written.
    for number in range(3):
        await asyncio.sleep(0.8)
        await pipeline.drop(stem=f"other{number}", colour=number)
    first = uploads[0]
    arrive.set()
    done = await pipeline.becomes(job, State.DONE)
    assert done.stages[0].attempts[0].engine == first
    assert [len(stage.attempts) for stage in done.stages] == [1, 1]
    assert (await pipeline.becomes(await pipeline.drop(stem="last"), State.DONE)).outbox
    await pipeline.close()


async def test_a_job_that_was_returned_is_kept_by_no_worker(pipeline, monkeypatch):
    """In the moment between the return and the end of its task; no reader could take it for a minute."""
    returned, late, over = set(), [], asyncio.Event()
    give_back = Queue.give_back

    def returning(queue, lease):
        returned.add(lease)
        give_back(queue, lease)
        asyncio.get_running_loop().call_soon(extend)

    def extend():
        workers[0].extend_leases()
        if len(returned) == 2:  # its stages
            over.set()

    workers, status = [], EngineWorker.status
    with monkeypatch.context() as patch:
        patch.setattr(EngineWorker, "status", lambda each: workers.append(each) or status(each))
        pipeline.conductor.status()
    monkeypatch.setattr(Queue, "give_back", returning)
    monkeypatch.setattr(
        Queue, "extend", lambda _, lease: late.append(lease) if lease in returned else None
    )
    await pipeline.becomes(await pipeline.drop(), State.DONE)
    async with asyncio.timeout(45):
        await over.wait()
    assert not late
