"""The /api/jobs view: queue and history told as one list of jobs."""

from typing import Any

from .queue import PromptQueue, QueuedPrompt
from .release import Release

Json = dict[str, Any]

STATUSES = ("pending", "in_progress", "completed", "failed", "cancelled")
_SHOWN = {"images", "video", "audio", "3d", "text"}


class BadQuery(ValueError):
    """A query parameter makes no sense; the text is the answer's."""


def all_jobs(queue: PromptQueue, release: Release, query: dict[str, str]) -> Json:
    """List jobs as a query asks: filtered, sorted, paged."""
    wanted = [s.strip().lower() for s in query.get("status", "").split(",") if s.strip()]
    bad = [s for s in wanted if s not in STATUSES]
    if bad:
        raise BadQuery(
            f"Invalid status value(s): {', '.join(bad)}. Valid values: {', '.join(STATUSES)}"
        )
    sort_by = query.get("sort_by", "created_at").lower()
    if sort_by not in {"created_at", "execution_duration"}:
        raise BadQuery("sort_by must be 'created_at' or 'execution_duration'")
    order = query.get("sort_order", "desc").lower()
    if order not in {"asc", "desc"}:
        raise BadQuery("sort_order must be 'asc' or 'desc'")
    limit = _limit(query)
    offset = _offset(query)
    running, waiting = queue.snapshot()
    jobs = [_queued(p, release, "in_progress") for p in running] + [
        _queued(p, release, "pending") for p in waiting
    ]
    jobs += [_ended(prompt_id, release, entry) for prompt_id, entry in queue.history().items()]
    jobs = [job for job in jobs if not wanted or job["status"] in wanted]
    workflow = query.get("workflow_id")
    if workflow:
        jobs = [job for job in jobs if job.get("workflow_id") == workflow]
    jobs.sort(key=_created if sort_by == "created_at" else _duration, reverse=order == "desc")
    page = jobs[offset : None if limit is None else offset + limit]
    return {
        "jobs": page,
        "pagination": {
            "offset": offset,
            "limit": limit,
            "total": len(jobs),
            "has_more": offset + len(page) < len(jobs),
        },
    }


def one_job(queue: PromptQueue, release: Release, prompt_id: str) -> Json | None:
    """Tell all about one job, or None if no one knows it."""
    entry = queue.history(prompt_id).get(prompt_id)
    if entry is not None:
        return _ended(prompt_id, release, entry, whole=True)
    running, waiting = queue.snapshot()
    for prompts, status in ((running, "in_progress"), (waiting, "pending")):
        for prompt in prompts:
            if prompt.prompt_id == prompt_id:
                return _queued(prompt, release, status)
    return None


def _limit(query: dict[str, str]) -> int | None:
    if "limit" not in query:
        return None
    try:
        limit = int(query["limit"])
    except ValueError:
        raise BadQuery("limit must be an integer") from None
    if limit <= 0:
        raise BadQuery("limit must be a positive integer")
    return limit


def _offset(query: dict[str, str]) -> int:
    try:
        return max(0, int(query.get("offset", "0")))
    except ValueError:
        raise BadQuery("offset must be an integer") from None


def _created(job: Json) -> int:
    return int(job.get("create_time", 0))


def _duration(job: Json) -> int:
    start, end = job.get("execution_start_time", 0), job.get("execution_end_time", 0)
    return end - start if start and end else 0


def _pruned(job: Json) -> Json:
    return {key: value for key, value in job.items() if value is not None}


def _origin(extra_data: Json) -> Json:
    """Read when a job came and from which workflow."""
    workflow = (extra_data.get("extra_pnginfo") or {}).get("workflow") or {}
    return {"create_time": extra_data.get("create_time"), "workflow_id": workflow.get("id")}


def _queued(prompt: QueuedPrompt, release: Release, status: str) -> Json:
    return _pruned(
        {
            "id": prompt.prompt_id,
            "status": status,
            "priority": prompt.number,
            "outputs_count": 0,
            "previewable_outputs_count": 0 if release.counts_previews else None,
            **_origin(prompt.extra_data),
        }
    )


def _ended(prompt_id: str, release: Release, entry: Json, *, whole: bool = False) -> Json:
    number, _, graph, extra_data, _ = entry["prompt"]
    events: dict[str, Json] = dict(entry["status"]["messages"])
    ending: Json = next(
        (
            events[e]
            for e in ("execution_success", "execution_error", "execution_interrupted")
            if e in events
        ),
        {},
    )
    if entry["status"]["completed"]:
        status = "completed"
    else:
        status = "cancelled" if "execution_interrupted" in events else "failed"
    count, shown, preview = _summary(entry["outputs"])
    job = _pruned(
        {
            "id": prompt_id,
            "status": status,
            "priority": number,
            "execution_start_time": events.get("execution_start", {}).get("timestamp"),
            "execution_end_time": ending.get("timestamp"),
            "execution_error": events.get("execution_error"),
            "outputs_count": count,
            "previewable_outputs_count": shown if release.counts_previews else None,
            "preview_output": preview,
            **_origin(extra_data),
        }
    )
    if whole:
        job["outputs"] = entry["outputs"]
        job["execution_status"] = entry["status"]
        job["workflow"] = {"prompt": graph, "extra_data": extra_data}
    return job


def _summary(outputs: Json) -> tuple[int, int, Json | None]:
    """Count the files of a job, and those that can be shown, and choose the one to show: a kept one before a passing one."""
    found: list[tuple[bool, Json]] = []
    count = 0
    for node_id, output in outputs.items():
        for media, items in output.items():
            if media == "animated" or not isinstance(items, list):
                continue
            for item in items:
                if not isinstance(item, dict):
                    continue
                count += 1
                moving = str(item.get("format", "")).startswith(("video/", "audio/"))
                if media in _SHOWN or moving:
                    shown = {**item, "nodeId": node_id, "mediaType": media}
                    found.append((item.get("type") == "output", shown))
    kept = next((shown for is_kept, shown in found if is_kept), None)
    return count, len(found), kept or (found[0][1] if found else None)
