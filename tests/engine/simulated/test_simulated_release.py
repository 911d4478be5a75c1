"""The simulated engine answers as the release that it is told to be."""

import pytest

from tests.engine.simulated.stage import tiny
from zoetrope.graphs import catalog


@pytest.mark.parametrize(("version", "newer"), [("0.27.1", False), (catalog.PINNED, True)])
async def test_jobs_features_and_folders_are_those_of_the_release(start, version, newer):
    client = await start(version=version)
    _, stats = await client.get("/system_stats")
    assert stats["system"]["comfyui_version"] == version
    _, features = await client.get("/features")
    assert features.get("supports_model_type_tags", False) is newer
    _, folders = await client.get("/models")
    assert ("datasets" in folders) is newer
    assert (await client.get("/models/datasets"))[0] == (200 if newer else 404)
    _, described = await client.get("/experiment/models")
    assert {"extensions" in each for each in described} == {newer}
    played = await client.play(tiny())
    _, job = await client.get(f"/api/jobs/{played.prompt_id}")
    assert job["outputs_count"] == 1
    assert job.get("previewable_outputs_count") == (1 if newer else None)
    _, save = await client.get("/object_info/SaveVideo")
    dynamic = save["SaveVideo"]["input"]["required"]["format"][0] == "COMFY_DYNAMICCOMBO_V3"
    assert dynamic is newer
