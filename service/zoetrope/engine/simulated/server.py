"""The HTTP routes of the engine, each with and without the /api prefix."""

import json
import mimetypes
import os
import platform
import sys
import uuid
from typing import Any

import msgspec
from aiohttp import web

from ...errors import RecipeError
from ...graphs import catalog as signatures
from ...graphs.document import read
from . import jobs
from .execute import Executor
from .faults import Fault, Faults
from .files import Files
from .form import read_form
from .guard import only_own_pages
from .listings import Listings
from .queue import PromptQueue, QueuedPrompt
from .release import release
from .sockets import Sockets
from .validate import Lists, validate

Json = dict[str, Any]

MAX_BODY = 100 * 1024 * 1024

#: Served as downloads: a browser would run or render them.
_ACTIVE = ("html", "javascript", "css", "svg", "xml", "rfc822")


class SimulatedServer:
    """The requests of one engine process."""

    def __init__(
        self,
        *,
        catalog: signatures.Catalog,
        files: Files,
        faults: Faults,
        queue: PromptQueue,
        executor: Executor,
        sockets: Sockets,
    ) -> None:
        self.catalog = catalog
        self.files = files
        self.faults = faults
        self.queue = queue
        self.executor = executor
        self.sockets = sockets
        self.release = release(catalog.comfyui)
        self._number = 0

    def application(self) -> web.Application:
        """Build the application with all its routes."""
        listings = Listings(self.files, self.release)
        app = web.Application(client_max_size=MAX_BODY, middlewares=[only_own_pages])
        routes = [
            web.get("/ws", self.websocket),
            web.get("/prompt", self.get_prompt),
            web.post("/prompt", self.post_prompt),
            web.get("/queue", self.get_queue),
            web.post("/queue", self.post_queue),
            web.get("/history", self.get_history),
            web.get("/history/{prompt_id}", self.get_history),
            web.post("/history", self.post_history),
            web.post("/interrupt", self.post_interrupt),
            web.post("/free", self.post_free),
            web.get("/system_stats", self.system_stats),
            web.get("/features", self.features),
            web.get("/object_info", self.object_info),
            web.get("/object_info/{class_type}", self.object_info),
            web.get("/models", self.models),
            web.get("/models/{folder}", self.models),
            web.post("/upload/image", self.upload),
            web.get("/view", self.view),
            *(
                route(path, handler)
                # The second is the path that it had first; scripts may still use it.
                for path in ("/simulated/faults", "/rehearsal/faults")
                for route, handler in (
                    (web.get, self.get_faults),
                    (web.post, self.post_faults),
                    (web.delete, self.delete_faults),
                )
            ),
        ]
        routes += [
            *listings.routes(),
            web.get("/api/jobs", self.get_jobs),
            web.post("/api/jobs/cancel", self.cancel_jobs),
            web.get("/api/jobs/{job_id}", self.get_job),
            web.post("/api/jobs/{job_id}/cancel", self.cancel_job),
        ]
        app.add_routes(routes)
        # Every route again behind the prefix, those of the jobs too.
        app.add_routes([web.route(r.method, f"/api{r.path}", r.handler) for r in routes])
        app.add_routes(listings.internal())
        app.router.add_get("/{anything:.*}", _nothing)
        return app

    async def websocket(self, request: web.Request) -> web.StreamResponse:
        """Serve /ws."""
        executor = self.executor
        return await self.sockets.handle(
            request, lambda sid: executor.current_node if executor.client_id == sid else None
        )

    def queue_info(self) -> Json:
        """Say how many prompts wait or run."""
        return {"exec_info": {"queue_remaining": self.queue.remaining()}}

    async def get_prompt(self, _: web.Request) -> web.Response:
        """Serve GET /prompt."""
        return web.json_response(self.queue_info())

    async def post_prompt(self, request: web.Request) -> web.Response:
        """Serve POST /prompt: check a graph and queue it."""
        if self.faults.strikes("refuse"):
            return _broken()
        try:
            body = await request.json()
            if "number" in body:
                body["number"] = float(body["number"])
            extra_data: Json = {**body.get("extra_data", {})}
        except (ValueError, TypeError, AttributeError, RecursionError):
            return _broken()
        if "number" in body:
            number: float = body["number"]
        else:
            number = -self._number if body.get("front") else self._number
            self._number += 1
        if "prompt" not in body:
            return _refused("no_prompt", "No prompt provided", "No prompt provided")
        prompt_id = body.get("prompt_id")
        if prompt_id is None:
            prompt_id = str(uuid.uuid4())
        elif not is_canonical(prompt_id):
            return _refused(
                "invalid_prompt_id",
                "prompt_id must be a valid UUID",
                "prompt_id must be a UUID string in canonical lowercase hyphenated form; "
                "omit it to let the server generate one",
            )
        try:
            document = read(body["prompt"], "The prompt")
        except RecipeError as error:
            return _refused("invalid_prompt", error.reason.sentence, "")
        if self.faults.strikes("emptied"):
            self.files.empty_input()
        # Before it is checked, so that no old file goes between the check and the queue.
        self.files.kept.wanted(self.executor.read_by(document.nodes))
        lists = Lists(self._listed, lambda name: self.files.find(name) is not None)
        verdict = validate(document, self.catalog, lists, body.get("partial_execution_targets"))
        if verdict.error is not None:
            answer = {"error": verdict.error, "node_errors": verdict.node_errors}
            return web.json_response(answer, status=400)
        if "client_id" in body:
            extra_data["client_id"] = body["client_id"]
        extra_data["create_time"] = int(self.executor.clock() * 1000)
        self.queue.put(QueuedPrompt(number, prompt_id, verdict.graph, extra_data, verdict.outputs))
        return web.json_response(
            {"prompt_id": prompt_id, "number": number, "node_errors": verdict.node_errors}
        )

    async def get_queue(self, _: web.Request) -> web.Response:
        """Serve GET /queue."""
        running, waiting = self.queue.snapshot()
        return web.json_response(
            {
                "queue_running": [p.plain() for p in running],
                "queue_pending": [p.plain() for p in waiting],
            }
        )

    async def post_queue(self, request: web.Request) -> web.Response:
        """Serve POST /queue: forget waiting prompts."""
        body = await request.json()
        if body.get("clear"):
            self.queue.clear()
        for prompt_id in body.get("delete", ()):
            self.queue.delete(prompt_id)
        return web.Response()

    async def get_history(self, request: web.Request) -> web.Response:
        """Serve GET /history and /history/{prompt_id}."""
        prompt_id = request.match_info.get("prompt_id")
        entries = self.queue.history(prompt_id)
        if prompt_id is None and "max_items" in request.query:
            limit = int(request.query["max_items"])
            offset = int(request.query.get("offset", -1))
            start = max(0, len(entries) - limit) if offset < 0 else offset
            entries = dict(list(entries.items())[start : start + limit])
        return web.json_response(entries)

    async def post_history(self, request: web.Request) -> web.Response:
        """Serve POST /history: forget what has ended."""
        body = await request.json()
        if body.get("clear"):
            self.queue.forget()
        for prompt_id in body.get("delete", ()):
            self.queue.forget(prompt_id)
        return web.Response()

    async def post_interrupt(self, request: web.Request) -> web.Response:
        """Serve POST /interrupt, for one prompt or for whatever runs."""
        try:
            body = await request.json()
        except json.JSONDecodeError:
            body = {}
        prompt_id = body.get("prompt_id")
        if prompt_id:
            self.queue.if_running(prompt_id, self.executor.interrupt)
        else:
            self.executor.interrupt()
        return web.Response()

    async def post_free(self, request: web.Request) -> web.Response:
        """Serve POST /free; the worker acts on it when it is idle."""
        body = await request.json()
        for flag in ("unload_models", "free_memory"):
            if body.get(flag):
                self.queue.raise_flag(flag)
        return web.Response()

    async def system_stats(self, _: web.Request) -> web.Response:
        """Serve /system_stats in ComfyUI's shape, and say that the engine is simulated."""
        if self.faults.context_lost:
            # ComfyUI asks the GPU for its memory here, and that call fails as well.
            return web.Response(status=500)
        page, pages = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_PHYS_PAGES")
        total, free = page * pages, page * os.sysconf("SC_AVPHYS_PAGES")
        return web.json_response(
            {
                "system": {
                    "os": sys.platform,
                    "ram_total": total,
                    "ram_free": free,
                    "comfyui_version": self.catalog.comfyui,
                    "required_frontend_version": None,
                    "installed_templates_version": None,
                    "required_templates_version": None,
                    "comfy_package_versions": [],
                    "python_version": sys.version,
                    "pytorch_version": "none",
                    "embedded_python": False,
                    "deploy_environment": "simulated",
                    "argv": ["zoetrope", "simulate"],
                },
                "devices": [
                    {
                        "name": "simulated",
                        "type": "cpu",
                        "index": None,
                        "vram_total": total,
                        "vram_free": free,
                        "torch_vram_total": total,
                        "torch_vram_free": free,
                    }
                ],
                "simulated": {"engine": "zoetrope simulate", "machine": platform.machine()},
                # How clients of earlier versions know it.
                "rehearsal": {"engine": "zoetrope simulate"},
            }
        )

    async def features(self, _: web.Request) -> web.Response:
        """Serve /features."""
        return web.json_response(self.release.features)

    async def object_info(self, request: web.Request) -> web.Response:
        """Serve /object_info and /object_info/{class}."""
        class_type = request.match_info.get("class_type")
        names = self.catalog.nodes if class_type is None else [class_type]
        info = {
            name: signatures.node_info(self.catalog, name, self._listed)
            for name in names
            if name in self.catalog.nodes
        }
        body = msgspec.json.encode(info)
        return web.Response(body=body, content_type="application/json", charset="utf-8")

    async def models(self, request: web.Request) -> web.Response:
        """Serve /models and /models/{folder}."""
        folder = request.match_info.get("folder")
        if folder is None:
            return web.json_response(sorted({*self.files.model_folders, *self.release.folders}))
        if folder not in (*self.files.model_folders, *self.release.folders):
            return web.Response(status=404)
        return web.json_response(self.files.models(folder))

    async def upload(self, request: web.Request) -> web.Response:
        """Serve POST /upload/image; any bytes are taken."""
        form, images = await read_form(request)
        kind = form.get("type") or "input"
        if self.files.by_type(kind) is None:
            return _broken()
        if not images or not images[-1][0]:
            return web.Response(status=400)
        subfolder = form.get("subfolder", "")
        overwrite = form.get("overwrite") in ("true", "1")
        file_name, data = images[-1]
        name = self.files.upload(kind, subfolder, file_name, data, overwrite=overwrite)
        if name is None:
            return web.Response(status=400)
        return web.json_response({"name": name, "subfolder": subfolder, "type": kind})

    async def view(self, request: web.Request) -> web.StreamResponse:
        """Serve /view: a file of one of the three folders, in parts if asked so."""
        if self.faults.strikes("view"):
            return web.Response(status=500)
        if "filename" not in request.query:
            return web.Response(status=404)
        query = request.query
        path = self.files.viewed(
            query["filename"], query.get("subfolder", ""), query.get("type", "output")
        )
        if isinstance(path, int):
            return web.Response(status=path)
        kind = content_type(path.name)
        shown = f'filename="{path.name}"'
        if any(word in kind for word in _ACTIVE):
            kind, shown = "application/octet-stream", f"attachment; {shown}"
        headers = {
            "Content-Disposition": shown,
            "Content-Type": kind,
            "X-Content-Type-Options": "nosniff",
        }
        return web.FileResponse(path, headers=headers)

    async def get_jobs(self, request: web.Request) -> web.Response:
        """Serve /api/jobs."""
        try:
            return web.json_response(jobs.all_jobs(self.queue, self.release, dict(request.query)))
        except jobs.BadQuery as problem:
            return web.json_response({"error": str(problem)}, status=400)

    async def get_job(self, request: web.Request) -> web.Response:
        """Serve /api/jobs/{job_id}."""
        job = jobs.one_job(self.queue, self.release, request.match_info["job_id"])
        if job is None:
            return web.json_response({"error": "Job not found"}, status=404)
        return web.json_response(job)

    async def cancel_job(self, request: web.Request) -> web.Response:
        """Serve POST /api/jobs/{job_id}/cancel."""
        return web.json_response({"cancelled": self._cancel(request.match_info["job_id"])})

    async def cancel_jobs(self, request: web.Request) -> web.Response:
        """Serve POST /api/jobs/cancel."""
        try:
            body = await request.json()
        except json.JSONDecodeError:
            return web.json_response({"error": "Request body must be valid JSON"}, status=400)
        ids = body.get("job_ids") if isinstance(body, dict) else None
        if not isinstance(ids, list):
            return web.json_response({"error": "job_ids must be a list"}, status=400)
        bad = [i if isinstance(i, str) else repr(i) for i in ids if not is_canonical(i)]
        if bad:
            error = {"error": "job_ids contains invalid id(s)", "invalid_ids": bad}
            return web.json_response(error, status=400)
        done = [self._cancel(prompt_id) for prompt_id in ids]
        return web.json_response({"cancelled": any(done)})

    async def get_faults(self, _: web.Request) -> web.Response:
        """Tell which faults are ordered."""
        return web.json_response({"faults": msgspec.to_builtins(self.faults.pending())})

    async def post_faults(self, request: web.Request) -> web.Response:
        """Order one fault or a list of them."""
        try:
            body = msgspec.json.decode(await request.read(), type=Fault | list[Fault])
        except msgspec.DecodeError as problem:
            return web.json_response({"error": str(problem)}, status=400)
        for fault in body if isinstance(body, list) else [body]:
            if fault.kind == "drop" and fault.step == 0:
                self.sockets.drop()
            else:
                self.faults.order(fault)
        return await self.get_faults(request)

    async def delete_faults(self, request: web.Request) -> web.Response:
        """Withdraw every fault."""
        self.faults.clear()
        return await self.get_faults(request)

    def _listed(self, folder: str) -> list[str]:
        """List the files of a model folder, or those of a kind in the input folder."""
        if folder.startswith(signatures.INPUT_FOLDER):
            return self.files.listed(folder.removeprefix(signatures.INPUT_FOLDER))
        return self.files.models(folder)

    def _cancel(self, prompt_id: str) -> bool:
        """Stop a prompt wherever it is; False if it is nowhere or has ended."""
        interrupt = self.executor.interrupt
        return self.queue.delete(prompt_id) or self.queue.if_running(prompt_id, interrupt)


def is_canonical(prompt_id: object) -> bool:
    """Say whether an id is a UUID in its lower-case form with hyphens."""
    try:
        return isinstance(prompt_id, str) and str(uuid.UUID(prompt_id)) == prompt_id
    except ValueError:
        return False


def content_type(name: str) -> str:
    """Return the content type that a file's name stands for."""
    return mimetypes.guess_type(name)[0] or "application/octet-stream"


async def _nothing(_: web.Request) -> web.Response:
    """Answer for paths that are none."""
    return web.Response(status=404)


def _broken() -> web.Response:
    """Answer as aiohttp does when a handler raises."""
    return web.Response(
        status=500, text="500 Internal Server Error\n\nServer got itself in trouble"
    )


def _refused(kind: str, message: str, details: str) -> web.Response:
    error = {"type": kind, "message": message, "details": details, "extra_info": {}}
    return web.json_response({"error": error, "node_errors": {}}, status=400)
