"""Another client of an engine: it knows nothing of the service, and uses the engine as it likes."""

from __future__ import annotations

from typing import Any

import aiohttp

PICTURE = {"width": 64, "height": 64, "batch_size": 1, "color": 0}
GRAPH = {
    "1": {"class_type": "EmptyImage", "inputs": PICTURE},
    "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
}


async def send_foreign(url: str) -> str:
    """Queue a prompt, and give its id."""
    answer = await tell(url, "/prompt", {"prompt": GRAPH, "client_id": "another"})
    return str(answer["prompt_id"])


async def tell(url: str, path: str, body: object = None) -> Any:
    """Send the engine something, and give what it answers, if it is JSON."""
    async with aiohttp.ClientSession() as http, http.post(url + path, json=body) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json() if answer.content_type == "application/json" else None
