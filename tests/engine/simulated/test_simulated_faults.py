"""Faults strike as ordered, and look like the real thing."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import aiohttp
import numpy as np
import pytest

from tests.engine.simulated.stage import next_event, node, tiny, until_done
from tests.engine.simulated.test_simulated_protocol import upload
from zoetrope.engine.simulated import Fault
from zoetrope.engine.simulated.faults import Faults, uses_card
from zoetrope.engine.simulated.serve import read_fault

SOURCE = Path(__file__).parents[3] / "service"


async def order(client, **fault):
    status, answer = await client.post("/simulated/faults", json=fault)
    assert status == 200, answer


async def test_the_second_call_of_a_node_runs_out_of_memory_once(client):
    await order(client, kind="oom", node="KSamplerAdvanced", call=2)

    played = await client.play(tiny())
    again = await client.play(tiny())

    assert played.last[0] == "execution_error"
    assert played.last[1]["node_id"] == "14"
    assert played.last[1]["exception_type"] == "torch.OutOfMemoryError"
    assert again.last[0] == "execution_success"


async def test_the_host_may_run_out_of_memory(client):
    await order(client, kind="host_oom", node="VAEDecode")

    error = (await client.play(tiny())).last[1]

    assert error["exception_type"] == "RuntimeError"
    assert "DefaultCPUAllocator: can't allocate memory" in error["exception_message"]
    assert "TIPS" not in error["exception_message"]


async def test_a_lost_cuda_context_stays_lost_until_a_restart(client):
    await order(client, kind="cuda")

    first = await client.play(tiny())
    second = await client.play(tiny(seed=9))
    await client.engine.restart()
    third = await client.play(tiny(seed=9))

    for played in (first, second):
        assert played.last[1]["exception_type"] == "torch.AcceleratorError"
    assert third.last[0] == "execution_success"


async def test_a_missing_interpolation_model_shows_after_the_generation(client):
    await order(client, kind="missing", node="RIFE VFI")
    graph = tiny()
    graph["20"] = node(
        "RIFE VFI",
        frames=["15", 0],
        ckpt_name="rife49.pth",
        clear_cache_after_n_frames=10,
        multiplier=2,
        fast_mode=True,
        ensemble=True,
        scale_factor=1.0,
        dtype="float32",
        torch_compile=False,
        batch_size=1,
    )
    graph["16"]["inputs"]["images"] = ["20", 0]

    played = await client.play(graph)

    assert "no success" in played.last[1]["exception_message"]
    assert "14" in played.last[1]["executed"]


async def test_an_exit_in_mid_step_drops_everything(client):
    await order(client, kind="exit", step=1)
    async with await client.listen() as socket:
        await client.submit(tiny())
        with pytest.raises(ConnectionError):
            await next_event(socket, "execution_success")
    async with asyncio.timeout(45):
        while client.engine.running:
            await asyncio.sleep(0.002)

    with pytest.raises(aiohttp.ClientConnectionError):
        await client.get("/queue")


async def test_an_engine_that_is_watched_over_comes_back_without_its_memory(start):
    client = await start(respawn_seconds=0.01)
    url = client.engine.url
    done = await client.play(tiny(seed=1))
    await order(client, kind="exit", step=1)
    await client.submit(tiny())
    async with asyncio.timeout(45):
        while True:
            try:
                _, history = await client.get("/history")
                if not history:
                    break
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.005)

    assert client.engine.url == url
    assert await client.get("/queue") == (200, {"queue_running": [], "queue_pending": []})
    assert client.paths(done)[0].exists()
    assert client.paths(await client.play(tiny(seed=2)))[0].name == "tiny_00002_.mp4"


async def test_a_wedged_sampler_ignores_interrupts_while_http_answers(client):
    await order(client, kind="wedged", step=2)
    async with await client.listen() as socket:
        prompt_id = await client.submit(tiny())
        await next_event(socket, "progress")
        await client.post("/interrupt", json={"prompt_id": prompt_id})
        assert (await client.get("/system_stats"))[0] == 200
        _, queue = await client.get("/queue")
        assert [item[1] for item in queue["queue_running"]] == [prompt_id]
    await client.engine.restart()

    assert (await client.play(tiny())).last[0] == "execution_success"


async def ids(client, kind):
    """Name the prompts of the queue that run, or that wait."""
    return [item[1] for item in (await client.get("/queue"))[1][f"queue_{kind}"]]


async def runs(client, prompt_id):
    """Wait until a prompt runs."""
    async with asyncio.timeout(45):
        while await ids(client, "running") != [prompt_id]:
            await asyncio.sleep(0.005)


async def test_without_a_worker_nothing_moves_and_no_order_helps_but_a_restart(client):
    await order(client, kind="no_worker")
    running, waiting = await client.submit(tiny()), await client.submit(tiny(seed=2))
    await client.post("/interrupt", json={"prompt_id": running})
    await client.post("/free", json={"unload_models": True, "free_memory": True})
    await runs(client, running)
    assert await ids(client, "pending") == [waiting]
    await client.post("/queue", json={"delete": [running, waiting]})
    assert (await ids(client, "running"), await ids(client, "pending")) == ([running], [])
    assert await client.get("/history") == (200, {})
    assert (await client.get("/system_stats"))[0] == 200
    await client.engine.restart()

    assert (await client.play(tiny())).last[0] == "execution_success"


async def test_a_silent_socket_says_nothing_while_the_work_goes_on(client):
    await order(client, kind="silent")
    async with await client.listen() as socket:
        prompt_id = await client.submit(tiny())
        entry = await client.ended(prompt_id)
        assert entry["status"]["completed"] is True
        with pytest.raises(TimeoutError):
            await socket.receive(timeout=0.02)
    async with client.session.delete(client.engine.url + "/simulated/faults") as response:
        assert await response.json() == {"faults": []}
    async with await client.listen() as socket:
        assert (await next_event(socket))[0] == "status"


async def test_a_dropped_socket_does_not_stop_the_work(client):
    await order(client, kind="drop", step=1)
    async with await client.listen() as socket:
        prompt_id = await client.submit(tiny())
        with pytest.raises(ConnectionError):
            await until_done(socket, prompt_id)

    assert (await client.ended(prompt_id))["status"]["completed"] is True


async def test_a_refusal_is_a_500_once(client):
    await order(client, kind="refuse")

    statuses = [(await client.post("/prompt", json={"prompt": tiny()}))[0] for _ in range(2)]

    assert statuses == [500, 200]


async def test_an_emptied_input_folder_lets_a_prompt_be_rejected_for_its_upload(client):
    await upload(client, "cat.png", b"a picture")
    graph = {"1": {"class_type": "LoadImage", "inputs": {"image": "cat.png"}}}
    graph["2"] = {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}}
    await order(client, kind="emptied")

    status, answer = await client.post("/prompt", json={"prompt": graph})

    (error,) = answer["node_errors"]["1"]["errors"]
    assert (status, error["type"]) == (400, "custom_validation_failed")
    assert error["details"] == "image - Invalid image file: cat.png"
    await upload(client, "cat.png", b"a picture")
    assert (await client.post("/prompt", json={"prompt": graph}))[0] == 200


async def test_slow_steps_take_their_time(client):
    await order(client, kind="slow", seconds=0.02, times=0)

    entry = (await client.play(tiny())).entry

    times = [data["timestamp"] for _, data in entry["status"]["messages"]]
    assert times[-1] - times[0] >= 80


async def test_a_slowness_ends_with_its_prompt_and_when_it_is_withdrawn(client):
    await order(client, kind="slow", seconds=600, times=0)
    first, second = await client.submit(tiny()), await client.submit(tiny(seed=2))
    await runs(client, first)

    async def interrupt():
        # As with ComfyUI, one that comes before its worker has begun is not heard.
        while True:
            await client.post("/interrupt", json={"prompt_id": first})
            await asyncio.sleep(0.05)

    again = asyncio.create_task(interrupt())
    try:
        await runs(client, second)
    finally:
        again.cancel()
    client.engine.faults.clear()

    ends = [(await client.ended(each))["status"]["status_str"] for each in (first, second)]
    assert ends == ["error", "success"]


async def test_a_vanished_file_is_named_but_not_there(client):
    await order(client, kind="vanish")

    played = await client.play(tiny())

    assert played.last[0] == "execution_success"
    assert not client.paths(played)[0].exists()


async def test_a_black_video_is_black(client):
    await order(client, kind="black")

    assert client.frames(await client.play(tiny())).mean() < 3


async def test_a_frozen_video_does_not_move(client):
    await order(client, kind="frozen")

    frames = client.frames(await client.play(tiny(_12={"length": 17}))).astype(int)

    assert np.abs(np.diff(frames, axis=0)).mean() < 0.1


async def test_a_short_video_lacks_frames(client):
    await order(client, kind="short")

    assert len(client.frames(await client.play(tiny(_12={"length": 9})))) == 5


async def test_an_unknown_fault_is_refused(client):
    assert (await client.post("/simulated/faults", json={"kind": "odd"}))[0] == 400


def test_a_fault_counts_from_the_moment_it_is_ordered():
    faults = Faults()
    assert faults.strikes("refuse") is None
    faults.order(Fault("refuse", call=2, times=2))

    assert [bool(faults.strikes("refuse")) for _ in range(5)] == [False, True, True, False, False]
    assert faults.pending() == []


def test_the_command_line_names_a_fault():
    assert read_fault("oom:node=KSampler,call=3") == Fault("oom", node="KSampler", call=3)
    assert read_fault("silent") == Fault("silent")
    with pytest.raises(ValueError, match=r"'odd' is not a fault .*kinds are oom, "):
        read_fault("odd")
    with pytest.raises(ValueError, match="is not a fault"):
        read_fault("oom:call=often")


@pytest.mark.parametrize(
    ("class_type", "card"),
    [
        ("KSampler", True),
        ("ClownsharkChainsampler_Beta", True),
        ("VAEDecodeTiled", True),
        ("VAELoader", False),
        ("SeedVR2LoadVAEModel", False),
        ("SaveVideo", False),
        ("RIFE VFI", True),
    ],
)
def test_work_on_the_card_is_told_from_the_rest(class_type, card):
    assert uses_card(class_type) is card


async def test_a_stop_while_it_is_away_keeps_it_away(start):
    client = await start(respawn_seconds=60)
    await order(client, kind="exit", step=1)
    await client.submit(tiny())
    async with asyncio.timeout(45):
        while client.engine.running:
            await asyncio.sleep(0.002)

    async with asyncio.timeout(45):
        await client.engine.stop()

    assert not client.engine.running


async def test_the_process_starts_announces_itself_and_dies_as_ordered(tmp_path, session):
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "zoetrope.engine.simulated", "--port", "0", "--home", str(tmp_path)),
        *("--fault", "exit:step=1"),
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        stdout=subprocess.PIPE,
    )
    line = (await process.stdout.readline()).decode()
    url = line.split()[3].rstrip(",")
    graph = {
        "1": node("EmptyHunyuanLatentVideo", width=64, height=64, length=5, batch_size=1),
        "2": node("CLIPLoader", clip_name="umt5_xxl_fp8_e4m3fn_scaled.safetensors", type="wan"),
        "3": node("CLIPTextEncode", clip=["2", 0], text="a hill"),
        "4": node(
            "UNETLoader", unet_name="wan2.2_ti2v_5B_fp16.safetensors", weight_dtype="default"
        ),
        "5": node(
            "KSampler",
            model=["4", 0],
            positive=["3", 0],
            negative=["3", 0],
            latent_image=["1", 0],
            seed=1,
            steps=3,
            cfg=1.0,
            sampler_name="euler",
            scheduler="simple",
            denoise=1.0,
        ),
        "6": node("SaveLatent", samples=["5", 0], filename_prefix="x"),
    }
    async with session.post(f"{url}/prompt", json={"prompt": graph}) as response:
        assert response.status == 200

    assert await asyncio.wait_for(process.wait(), 60) == 137


async def test_the_process_ends_quietly_on_sigterm(tmp_path):
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "zoetrope.engine.simulated", "--port", "0", "--home", str(tmp_path)),
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        stdout=subprocess.PIPE,
    )
    await process.stdout.readline()
    process.send_signal(signal.SIGTERM)

    assert await asyncio.wait_for(process.wait(), 60) == 0


async def test_faults_can_be_injected_under_the_earlier_path_too(client):
    assert (await client.post("/rehearsal/faults", json={"kind": "slow"}))[0] == 200

    async with client.session.get(client.engine.url + "/simulated/faults") as response:
        assert [fault["kind"] for fault in (await response.json())["faults"]] == ["slow"]
