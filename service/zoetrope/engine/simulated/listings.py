"""What ComfyUI's own page and client libraries ask of a host next to prompts: answered as on an empty host."""

import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from aiohttp import web

from .files import Files
from .release import Release

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Simulated engine</title></head>
<body><h1>Simulated engine</h1>
<p>This is zoetrope's simulated engine. It speaks ComfyUI's protocol and has no page of its own.</p></body></html>
"""
KINDS = ("output", "input", "temp")
#: These folders hold no models.
_NO_MODELS = ("configs", "custom_nodes")


class Listings:
    """The GET routes about folders, users, settings and texts."""

    def __init__(self, files: Files, release: Release) -> None:
        self._files = files
        self._release = release

    def routes(self) -> list[web.RouteDef]:
        """Return those that are served with and without the prefix."""
        return [
            web.get("/", self.page),
            web.get("/embeddings", self.embeddings),
            web.get("/users", self.users),
            web.get("/settings/{setting}", _null),
            web.get("/userdata", self.userdata),
            web.get("/userdata/{file}", _not_found),
            web.get("/v2/userdata", self.userdata_tree),
            web.get("/experiment/models", self.model_folders),
            web.get("/experiment/models/{folder}", self.model_files),
            web.get("/global_subgraphs/{subgraph}", _null),
            *(web.get(path, _no_list) for path in ("/extensions",)),
            *(
                web.get(path, _no_table)
                for path in (
                    *("/settings", "/i18n", "/workflow_templates"),
                    *("/global_subgraphs", "/node_replacements"),
                )
            ),
        ]

    def internal(self) -> list[web.RouteDef]:
        """Return those that have no prefix."""
        return [
            web.get("/internal/logs", self.log),
            web.get("/internal/logs/raw", self.raw_log),
            web.get("/internal/folder_paths", self.folder_paths),
            web.get("/internal/files/{kind}", self.files_of),
        ]

    async def page(self, _: web.Request) -> web.Response:
        """Serve /."""
        headers = {
            "Cache-Control": "no-store, must-revalidate",
            "Pragma": "no-cache",
            "Expires": "0",
        }
        return web.Response(text=PAGE, content_type="text/html", headers=headers)

    async def embeddings(self, _: web.Request) -> web.Response:
        """Serve /embeddings: their names without what they end in."""
        names = self._files.models("embeddings")
        return web.json_response([os.path.splitext(name)[0] for name in names])  # noqa: PTH122

    async def users(self, _: web.Request) -> web.Response:
        """Serve /users: there is one, who has stored nothing."""
        return web.json_response({"storage": "server", "migrated": False})

    async def userdata(self, request: web.Request) -> web.Response:
        """Serve /userdata: no folder is there."""
        folder = request.query.get("dir", "")
        if not folder:
            return web.Response(status=400, text="Directory not provided")
        if _leaves(folder):
            return web.Response(status=403, text="Invalid directory")
        return web.Response(status=404, text="Directory not found")

    async def userdata_tree(self, request: web.Request) -> web.Response:
        """Serve /v2/userdata: nothing is there."""
        path = unquote(request.query.get("path", ""))
        if not path:
            return web.json_response([])
        if _leaves(path):
            return web.Response(status=400, text="Invalid path requested")
        if Path(path) == Path():
            return web.json_response([])
        return web.Response(status=404, text="Requested path not found")

    async def model_folders(self, _: web.Request) -> web.Response:
        """Serve /experiment/models."""
        return web.json_response(
            [
                {"name": name, "folders": [str(self._place(name))], **self._release.described(name)}
                for name in self._folders()
                if name not in _NO_MODELS
            ]
        )

    async def model_files(self, request: web.Request) -> web.Response:
        """Serve /experiment/models/{folder}."""
        folder = request.match_info["folder"]
        if folder not in self._folders():
            return web.Response(status=404)
        return web.json_response([self._described(folder, n) for n in self._files.models(folder)])

    async def log(self, _: web.Request) -> web.Response:
        """Serve /internal/logs: this engine says nothing while all is well."""
        return web.json_response("")

    async def raw_log(self, _: web.Request) -> web.Response:
        """Serve /internal/logs/raw."""
        return web.json_response({"entries": [], "size": {"cols": 80, "rows": 24}})

    async def folder_paths(self, _: web.Request) -> web.Response:
        """Serve /internal/folder_paths."""
        return web.json_response({name: [str(self._place(name))] for name in self._folders()})

    def _folders(self) -> list[str]:
        return sorted({*self._files.model_folders, *self._release.folders})

    async def files_of(self, request: web.Request) -> web.Response:
        """Serve /internal/files/{kind}: the newest first."""
        kind = request.match_info["kind"]
        folder = self._files.by_type(kind)
        if folder is None:
            return web.json_response({"error": "Invalid directory type"}, status=400)
        found = [p for p in folder.iterdir() if p.is_file() and not p.name.startswith(".")]
        found.sort(key=lambda path: -path.stat().st_mtime)
        return web.json_response([f"{path.name} [{kind}]" for path in found])

    def _place(self, folder: str) -> Path:
        return self._files.home / "models" / folder

    def _described(self, folder: str, name: str) -> dict[str, Any]:
        """Describe a model file; one that is a name alone has no size."""
        try:
            about = (self._place(folder) / name).stat()
        except OSError:
            times, size = (0.0, 0.0), 0
        else:
            times, size = (about.st_mtime, about.st_ctime), about.st_size
        return {
            "name": name,
            "pathIndex": 0,
            "modified": times[0],
            "created": times[1],
            "size": size,
        }


def _leaves(path: str) -> bool:
    user = Path("/user")
    return not Path(os.path.normpath(user / path)).is_relative_to(user)


async def _no_list(_: web.Request) -> web.Response:
    """Answer that there are none."""
    return web.json_response([])


async def _no_table(_: web.Request) -> web.Response:
    """Answer that there are none, by name."""
    return web.json_response({})


async def _null(_: web.Request) -> web.Response:
    """Answer for one of them that it is not there."""
    return web.Response(text=json.dumps(None), content_type="application/json")


async def _not_found(_: web.Request) -> web.Response:
    """Answer for a file that is not there."""
    return web.Response(status=404)
