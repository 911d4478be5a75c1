"""The real service as a process: what people drop, what comes out, and how it starts and ends."""

import contextlib
import io
import json
import stat
import subprocess
import time
import urllib.error
import urllib.request

import av
import numpy as np
import pytest

from tests.fakes.running import draw, readiness, states, until, videos
from tests.fakes.service import EngineProcess, ServiceProcess, free_port


def test_a_dropped_picture_becomes_a_video(service):
    service.start()
    draw(service.inbox / "Жук & co (1).png")
    (folder,) = videos(service)
    assert folder.name.startswith("Жук & co (1)-")
    assert (folder / "Жук & co (1).mp4").stat().st_size > 0
    assert service.get("/api/v1/jobs")["jobs"][0]["name"] == "Жук & co (1).png"


@pytest.mark.system("ffprobe")
def test_an_independent_probe_agrees_with_the_receipt(service):
    service.start()
    (service.inbox / "cat.toml").write_text("frames = 9")
    draw(service.inbox / "cat.png")
    (folder,) = videos(service)
    probed = subprocess.run(
        [
            *("ffprobe", "-v", "error", "-count_frames", "-select_streams", "v:0"),
            *("-show_entries", "stream=nb_read_frames,width,height,r_frame_rate,codec_name"),
            *("-of", "json", str(folder / "cat.mp4")),
        ],
        capture_output=True,
        check=True,
    )
    (stream,) = json.loads(probed.stdout)["streams"]
    plan = json.loads((folder / "receipt.json").read_text())["plan"]
    assert int(stream["nb_read_frames"]) == plan["frames"] == 9
    assert (stream["width"], stream["height"], stream["codec_name"]) == (128, 128, "h264")
    assert stream["r_frame_rate"] == f"{plan['fps']:g}/1"


@pytest.mark.parametrize("recipe", ["seedvr2-rife-upscale", "seedvr2-rife-native"])
def test_a_dropped_video_comes_out_larger_and_smoother_with_its_sound(service, recipe):
    service.start()
    folder = service.inbox / recipe
    folder.mkdir()
    (folder / "ticket.toml").write_text("resolution = 480")
    (folder / ".cat.mp4").write_bytes(moving_and_singing())
    (folder / ".cat.mp4").rename(folder / "cat.mp4")
    (made,) = videos(service)
    with av.open(str(made / "cat.mp4")) as container:
        video, voice = container.streams.video[0], container.streams.audio[0]
        frames = [frame.to_ndarray(format="gray") for frame in container.decode(video)]
        assert (len(frames), frames[0].shape, video.average_rate) == (33, (480, 640), 32)
        container.seek(0)
        heard = np.concatenate([part.to_ndarray() for part in container.decode(voice)], axis=1)
    assert voice.rate == 8000
    assert 1.0 < heard.shape[1] / 8000 < 1.5, "AAC rounds up to whole packets, twice"
    assert 0.1 < np.abs(heard).mean() < 0.3, "the tone is there, neither silent nor distorted"
    receipt = json.loads((made / "receipt.json").read_text())
    assert receipt["plan"]["frames"] == 17
    assert (made / "source.mp4").read_bytes() == moving_and_singing()


def moving_and_singing() -> bytes:
    """Make a second of a bright square that crosses a room, with a tone."""
    stream = io.BytesIO()
    with av.open(stream, "w", format="mp4") as container:
        video = container.add_stream("libx264", rate=16, options={"crf": "10"})
        video.width, video.height, video.pix_fmt = 160, 120, "yuv420p"
        voice = container.add_stream("aac", rate=8000, layout="mono")
        for n in range(17):
            room = np.tile(np.linspace(30, 90, 160).astype(np.uint8)[:, None], (120, 1, 3))
            room[40:80, 10 + 6 * n : 40 + 6 * n] = 200
            container.mux(video.encode(av.VideoFrame.from_ndarray(room, format="rgb24")))
        tone = np.sin(np.arange(8500) / 8000 * 440 * 2 * np.pi, dtype=np.float32)[None] * 0.3
        sound = av.AudioFrame.from_ndarray(np.ascontiguousarray(tone), "fltp", "mono")
        sound.sample_rate = 8000
        container.mux([*video.encode(), *voice.encode(sound), *voice.encode()])
    return stream.getvalue()


def test_a_file_that_grows_for_longer_than_it_has_to_stand_still_is_taken_once_and_whole(
    service, tmp_path
):
    whole = draw(tmp_path / "whole.png", size=(640, 480)).read_bytes()
    settled = service.config.read_text().replace("settle_seconds = 0.2", "settle_seconds = 3")
    service.config.write_text(settled)
    service.start()
    with (service.inbox / "slow.png").open("wb") as target:
        for n in range(60):
            target.write(whole[len(whole) * n // 60 : len(whole) * (n + 1) // 60])
            target.flush()
            time.sleep(0.1)
    (made,) = videos(service)
    assert len(service.get("/api/v1/jobs")["jobs"]) == 1
    assert (made / "source.png").read_bytes() == whole


def test_sigterm_ends_it_and_the_prompt_goes_on(tmp_path):
    engine = EngineProcess(tmp_path / "engine", "--step-seconds", "0.3")
    engine.start()
    service = ServiceProcess(tmp_path, engine.url)
    service.start()
    try:
        draw(service.inbox / "cat.png")
        until(lambda: states(service) == ["running"], "the job to run")
        assert service.stop() == 0
        assert "exiting without it" not in service.log.read_text()
        service.start()
        videos(service)
        (job,) = service.get("/api/v1/jobs")["jobs"]
        assert [len(stage["attempts"]) for stage in job["stages"]] == [1, 1]
    finally:
        service.stop()
        engine.stop()


def test_files_in_the_outbox_can_be_read_by_the_group_and_the_state_by_no_other_user(service):
    service.state.mkdir(mode=0o770)
    service.state.chmod(0o2770)
    service.start()
    draw(service.inbox / "cat.png")
    (folder,) = videos(service)
    for path in [folder, *folder.rglob("*")]:
        assert path.stat().st_mode & stat.S_IRGRP, path
    assert service.state.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO) == 0


def test_a_wrong_settings_file_is_one_line_and_no_traceback(service):
    service.config.write_text("[inbox]\npth = 3\n")
    done = subprocess.run(
        [*service_command(), "serve", "--check", str(service.config)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "inbox.pth: unknown key; did you mean `path`?" in done.stdout + done.stderr
    assert len((done.stdout + done.stderr).strip().splitlines()) == 1
    service.log.touch()


def test_a_second_service_on_the_same_folders_is_refused(service, tmp_path):
    service.start()
    text = service.config.read_text().replace(str(service.port), str(free_port()))
    other = tmp_path / "other.toml"
    other.write_text(text)
    until(lambda: readiness(service)[0] == 200, "readiness")
    port = text.split('listen = "127.0.0.1:')[1].split('"')[0]
    process = subprocess.Popen(
        [*service_command(), "serve", "--config", str(other)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:

        def told():
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz?format=text", timeout=30)
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz?format=text", timeout=30)
            except urllib.error.HTTPError as error:
                with error:
                    return "Another zoetrope" in error.read().decode()
            except OSError:
                return False

        until(told, "the second service to say why it does not work")
    finally:
        process.terminate()
        process.wait(60)


def service_command() -> list[str]:
    import sys

    return [sys.executable, "-m", "zoetrope"]
