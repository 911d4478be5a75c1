"""Whole jobs, from the inbox to the outbox, on a real ComfyUI.

The server's tiny models answer to the real files' names (links beside them will do).
"""

import io
import json
import shutil
import subprocess
import time
import urllib.request

import av
import numpy as np
import pytest

from tests.fakes.running import draw, until, videos
from tests.fakes.service import ServiceProcess
from zoetrope.graphs.shelf import shipped

pytestmark = pytest.mark.engine


@pytest.fixture
def service(tmp_path, real_url):
    service = ServiceProcess(tmp_path, real_url)
    service.start()
    yield service
    service.stop()
    assert "Traceback" not in service.log.read_text()


def frames(video) -> tuple[int, int, int]:
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        return sum(1 for _ in container.decode(stream)), stream.width, stream.height


def test_pictures_become_videos(service):
    for n in range(4):
        draw(service.inbox / f"cat{n}.png", colour=n * 11 + time.time_ns() % 97)
        (service.inbox / f"cat{n}.toml").write_text(f"frames = {5 + 4 * (n % 2)}")
    for folder in videos(service, 4):
        receipt = json.loads((folder / "receipt.json").read_text())
        video = next(folder.glob("cat*.mp4"))
        assert frames(video) == (receipt["plan"]["frames"], 128, 128)
        attempts = [a for stage in receipt["stages"] for a in stage["attempts"]]
        assert len(attempts) == 2
        assert all(a["version"] for a in attempts)
        assert all(a.get("started") for a in attempts), "the socket told when it began"


def test_a_review_and_a_cancelled_job(service, real_url):
    draw(service.inbox / "cat.png", colour=time.time_ns() % 251)
    (service.inbox / "cat.toml").write_text("review = true\nseconds = 1")
    until(lambda: _states(service) == ["review"], "the review", 120)
    job = service.get("/api/v1/jobs")["jobs"][0]["id"]
    _order(service, job, "approve")
    videos(service)
    draw(service.inbox / "long.png", colour=time.time_ns() % 251)
    (service.inbox / "long.toml").write_text("frames = 81\nsteps = 100")
    until(lambda: "running" in _states(service), "the long job to run", 60)
    job = service.get("/api/v1/jobs?state=running")["jobs"][0]["id"]
    _order(service, job, "cancel")
    until(lambda: _queue(real_url) == 0, "the engine to be free again", 60)
    until(lambda: sorted(_states(service)) == ["cancelled", "done"], "the states")


def test_killed_while_the_engine_works_it_finds_its_prompt_again(service):
    draw(service.inbox / "cat.png", colour=time.time_ns() % 251)
    (service.inbox / "cat.toml").write_text("frames = 33\nsteps = 60")
    until(lambda: _states(service) == ["running"], "the job to run", 60)
    service.kill()
    service.start()
    videos(service)
    (job,) = service.get("/api/v1/jobs")["jobs"]
    assert [len(stage["attempts"]) for stage in job["stages"]] == [1, 1]


def test_the_command_line_waits_for_the_outcome(service, tmp_path):
    picture = draw(tmp_path / "from-cli.png", colour=time.time_ns() % 251)
    command = ["submit", str(picture), "--no-review", "--sync", "--url", service.url]
    done = subprocess.run(
        [*_zoetrope(), *command], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(service.done()) == 1


def _zoetrope() -> list[str]:
    import sys

    return [sys.executable, "-m", "zoetrope"]


def _states(service: ServiceProcess) -> list[str]:
    return [job["state"] for job in service.get("/api/v1/jobs")["jobs"]]


def _order(service: ServiceProcess, job: str, verb: str) -> None:
    request = urllib.request.Request(f"{service.url}/api/v1/jobs/{job}/{verb}", method="POST")
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200


def _queue(url: str) -> int:
    with urllib.request.urlopen(f"{url}/queue", timeout=10) as answer:
        queue = json.load(answer)
    return len(queue["queue_running"]) + len(queue["queue_pending"])


def test_a_picture_becomes_a_clip_and_comfyui_itself_makes_it_larger_and_smoother(
    tmp_path, real_url
):
    service = with_native_recipes(tmp_path, real_url)
    service.start()
    try:
        shade = time.time_ns() % 97
        draw(service.inbox / "cat.png", colour=shade)
        (service.inbox / "cat.toml").write_text(
            'recipe = "tiny-wan22-i2v-hero-native"\nreview = true\n'
            "frames = 5\nwidth = 256\nheight = 256\nresolution = 320\n"
        )
        until(lambda: _states(service) == ["review"], "the review", 300)
        (job,) = service.get("/api/v1/jobs")["jobs"]
        _order(service, job["id"], "approve")
        (folder,) = videos(service)
        assert frames(folder / "cat.mp4") == (9, 320, 320)
        (clip,) = (folder / "stages").glob("*i2v*.mp4")
        assert frames(clip) == (5, 256, 256)
        receipt = json.loads((folder / "receipt.json").read_text())
        assert [stage["name"] for stage in receipt["stages"]] == ["i2v", "upscale"]
        models = receipt["stages"][1]["attempts"][0]["environment"]["models"]
        assert {model["name"] for model in models} == {
            "diffusion_models/seedvr2_3b_int8_convrot.safetensors",
            "vae/seedvr2_ema_vae_fp16.safetensors",
            "frame_interpolation/rife_v4.26.safetensors",
        }
    finally:
        service.stop()


def test_a_video_is_enlarged_by_comfyui_itself_frame_by_frame_in_its_order(tmp_path, real_url):
    service = with_native_recipes(tmp_path, real_url)
    service.start()
    try:
        folder = service.inbox / "tiny-seedvr2-rife-native"
        folder.mkdir()
        (folder / "ticket.toml").write_text("resolution = 128\nbatch = 5\n")
        (folder / ".cat.mp4").write_bytes(crossing())
        (folder / ".cat.mp4").rename(folder / "cat.mp4")
        (made,) = videos(service)
        with av.open(str(made / "cat.mp4")) as container:
            stream = container.streams.video[0]
            shown = [frame.to_ndarray(format="gray") for frame in container.decode(stream)]
            assert (len(shown), shown[0].shape, stream.average_rate) == (11, (128, 192), 32)
        # A bright square crosses the picture: where the brightness is, in columns, grows with every frame.
        columns = np.arange(192)
        places = [
            float((frame.mean(0) ** 4 @ columns) / (frame.mean(0) ** 4).sum()) for frame in shown
        ]
        assert places[::2] == sorted(places[::2])
        assert places[-1] - places[0] > 60
    finally:
        service.stop()


def with_native_recipes(tmp_path, real_url) -> ServiceProcess:
    """Give a service with the shipped recipes of ComfyUI's own nodes, but small, and judging no picture: weights are random."""
    for name in ("seedvr2-rife-native", "wan22-i2v-hero-native"):
        own = tmp_path / "recipes" / f"tiny-{name}"  # another name: shipped ones come first
        shutil.copytree(shipped() / name, own)
        file = own / "recipe.toml"
        text = file.read_text().replace("expect = {", "expect = { quality = false,")
        text = text.replace("min = 480", "min = 64")
        file.write_text(
            text.replace("review = true\n", "review = true\nexpect = { quality = false }\n")
        )
    shutil.copy(shipped() / "shared.toml", tmp_path / "recipes")
    service = ServiceProcess(tmp_path, real_url)
    text = service.config.read_text()
    service.config.write_text(text.replace('path = ["', f'path = ["{tmp_path / "recipes"}", "', 1))
    return service


def crossing() -> bytes:
    """Make six frames of a bright square that crosses a dark picture."""
    stream = io.BytesIO()
    with av.open(stream, "w", format="mp4") as container:
        video = container.add_stream("libx264", rate=16, options={"crf": "8"})
        video.width, video.height, video.pix_fmt = 96, 64, "yuv420p"
        shift = time.time_ns() % 16
        for n in range(6):
            room = np.full((64, 96, 3), 20 + shift, dtype=np.uint8)
            room[16:48, 12 * n : 12 * n + 32] = 230
            container.mux(video.encode(av.VideoFrame.from_ndarray(room, format="rgb24")))
        container.mux(video.encode())
    return stream.getvalue()
