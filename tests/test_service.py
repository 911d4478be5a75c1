"""The real service as a process, in the trouble that hosts make."""

import contextlib
import io
import json
import os
import shutil
import sqlite3
import stat
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from tests.fakes.precious import ID, make_precious, snapshot
from tests.fakes.service import EngineProcess, ServiceProcess, free_port

PATIENCE = 60.0


def draw(file: Path, colour: int = 0, size: tuple[int, int] = (96, 64)) -> Path:
    image = Image.linear_gradient("L").resize(size).point(lambda v: (v + colour) % 256)
    image.convert("RGB").save(file)
    return file


def until(condition, what: str, timeout: float = PATIENCE):
    deadline = time.monotonic() + timeout
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited in vain for: {what}"
        time.sleep(0.05)
    return found


def known_jobs(service: ServiceProcess) -> set[str]:
    with contextlib.closing(sqlite3.connect(service.state / "ledger.db")) as db:
        return {job for (job,) in db.execute("SELECT id FROM jobs")}


def readiness(service: ServiceProcess) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"{service.url}/readyz?format=text", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


@pytest.fixture
def engine(tmp_path):
    engine = EngineProcess(tmp_path / "engine")
    engine.start()
    yield engine
    engine.stop()


@pytest.fixture
def service(tmp_path, engine):
    service = ServiceProcess(tmp_path, engine.url)
    yield service
    service.stop()
    assert "Traceback" not in service.log.read_text()


def test_a_dropped_picture_becomes_a_video(service):
    service.start()
    draw(service.inbox / "Жук & co (1).png")
    until(service.done, "the video")
    (folder,) = service.done()
    assert folder.name.startswith("Жук & co (1)-")
    assert (folder / "Жук & co (1).mp4").stat().st_size > 0
    job = service.get("/api/v1/jobs")["jobs"][0]
    assert (job["state"], job["name"]) == ("done", "Жук & co (1).png")


@pytest.mark.system("ffprobe")
def test_an_independent_probe_agrees_with_the_receipt(service):
    service.start()
    draw(service.inbox / "cat.png")
    (service.inbox / "cat.toml").write_text("frames = 9")
    (folder,) = until(service.done, "the video")
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


def test_a_dropped_video_comes_out_larger_and_smoother_with_its_sound(service):
    service.start()
    folder = service.inbox / "seedvr2-rife-upscale"
    folder.mkdir()
    (folder / "ticket.toml").write_text("resolution = 480")
    (folder / ".cat.mp4").write_bytes(moving_and_singing())
    (folder / ".cat.mp4").rename(folder / "cat.mp4")
    (made,) = until(service.done, "the video")
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


def test_a_file_that_grows_for_ten_seconds_is_taken_once_and_whole(service, tmp_path):
    whole = draw(tmp_path / "whole.png", size=(640, 480)).read_bytes()
    service.start()
    with (service.inbox / "slow.png").open("wb") as target:
        for n in range(100):
            target.write(whole[len(whole) * n // 100 : len(whole) * (n + 1) // 100])
            target.flush()
            time.sleep(0.1)
    until(service.done, "the video")
    assert len(service.get("/api/v1/jobs")["jobs"]) == 1
    assert (service.done()[0] / "source.png").read_bytes() == whole


def test_sigterm_ends_it_within_five_seconds_and_the_prompt_goes_on(tmp_path):
    engine = EngineProcess(tmp_path / "engine", "--step-seconds", "0.3")
    engine.start()
    service = ServiceProcess(tmp_path, engine.url)
    service.start()
    try:
        draw(service.inbox / "cat.png")
        until(lambda: _states(service) == ["running"], "the job to run")
        begun = time.monotonic()
        assert service.stop() == 0
        assert time.monotonic() - begun < 5
        service.start()
        until(service.done, "the video")
        (job,) = service.get("/api/v1/jobs")["jobs"]
        assert [len(stage["attempts"]) for stage in job["stages"]] == [1, 1]
    finally:
        service.stop()
        engine.stop()


def test_an_engine_that_comes_late_and_goes_again_fails_nobody(tmp_path):
    engine = EngineProcess(tmp_path / "engine", "--step-seconds", "0.1")
    service = ServiceProcess(tmp_path, engine.url)
    service.start()
    try:
        draw(service.inbox / "cat.png")
        until(lambda: _states(service) == ["queued"], "the job to queue")
        code, told = until(lambda: (r := readiness(service))[0] == 503 and r, "the trouble")
        assert "does not answer" in told
        engine.start()
        until(lambda: _states(service) == ["running"], "the job to run")
        engine.process.kill()
        engine.process.wait()
        engine.start()
        until(service.done, "the video")
        code, _ = until(lambda: (r := readiness(service))[0] == 200 and r, "readiness")
        assert code == 200
    finally:
        service.stop()
        engine.stop()


@pytest.mark.parametrize("trouble", ["damaged", "newer"])
def test_a_ledger_that_cannot_be_used_is_told_and_taken_up_once_mended(
    service, trouble, monkeypatch
):
    service.start()
    draw(service.inbox / "cat.png")
    until(service.done, "the video")
    service.stop()
    ledger = service.state / "ledger.db"
    sound = ledger.read_bytes()
    if trouble == "damaged":
        ledger.write_bytes(b"\0" * 100 + sound[100:])
    else:
        with sqlite3.connect(ledger) as db:
            db.execute("PRAGMA user_version = 99")
        db.close()
    broken = ledger.read_bytes()
    service.start()
    words = "damaged" if trouble == "damaged" else "newer zoetrope"
    until(lambda: words in readiness(service)[1], "the trouble to be told")
    assert readiness(service)[0] == 503
    draw(service.inbox / "dog.png", 50)
    time.sleep(0.5)
    assert (service.inbox / "dog.png").exists()
    assert ledger.read_bytes() == broken
    mended = service.state / "mended"
    mended.write_bytes(sound)
    mended.replace(ledger)  # in one step: the service may look at any moment
    until(lambda: len(service.done()) == 2, "the second video")


def test_a_start_without_a_usable_outbox_serves_says_so_and_goes_on_when_it_is_back(
    service, tmp_path
):
    service.start()
    (service.inbox / "ticket.toml").write_text("review = true")
    draw(service.inbox / "cat.png")
    until(lambda: _states(service) == ["review"], "the review")
    service.stop()
    shutil.rmtree(service.outbox / "review")
    service.outbox.rename(tmp_path / "away")
    service.outbox.write_text("no folder")
    service.start()
    (job,) = service.get("/api/v1/jobs")["jobs"]
    until(lambda: f"Job {job['id'][:8]} waits" in readiness(service)[1], "the wait to be told")
    service.post(f"/api/v1/jobs/{job['id']}/approve")
    until(lambda: _waits(service), "the finished video to wait")
    assert "waits" in service.get("/api/v1/status")["summary"]
    draw(service.inbox / "dog.png", 50)
    until(lambda: len(_states(service)) == 2, "the next picture to be taken")
    service.outbox.unlink()
    (tmp_path / "away").rename(service.outbox)
    until(service.done, "the first video")
    until(lambda: "review" in _states(service), "the next review")


def _waits(service: ServiceProcess) -> bool:
    jobs = service.get("/api/v1/jobs")["jobs"]
    return any(
        job["state"] == "running" and job.get("reason") and "outbox" in job["reason"]["sentence"]
        for job in jobs
    )


def test_an_inbox_that_is_removed_and_comes_back_is_watched_again(service, tmp_path):
    service.start()
    until(lambda: readiness(service)[0] == 200, "readiness")
    service.inbox.rename(tmp_path / "away")
    _, told = until(lambda: (r := readiness(service))[0] == 503 and r, "the trouble to be told")
    assert str(service.inbox) in told
    (tmp_path / "away").rename(service.inbox)
    draw(service.inbox / "cat.png")
    until(service.done, "the video")


def test_an_inbox_on_another_mount_works_the_same(tmp_path, engine):
    shared = Path("/dev/shm")  # a second file system that every Linux has
    if not shared.is_dir() or shared.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system")
    away = shared / f"zoetrope-test-{os.getpid()}-{free_port()}"
    away.mkdir()
    try:
        service = ServiceProcess(tmp_path, engine.url)
        service.config.write_text(
            service.config.read_text().replace(str(tmp_path / "inbox"), str(away))
        )
        service.start()
        draw(away / "cat.png")
        until(service.done, "the video")
        service.stop()
    finally:
        shutil.rmtree(away)


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: int):
    folder.mkdir(parents=True, exist_ok=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("a small disk cannot be mounted here (not root, or no mounts allowed)")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_pauses_and_goes_on_by_itself(tmp_path, engine):
    service = ServiceProcess(tmp_path, engine.url)
    with small_disk(service.state, 12):
        service.start()
        until(lambda: readiness(service)[0] == 200, "readiness")
        draw(service.inbox / "first.png")
        until(service.done, "the first video")
        ballast = service.state / "ballast"
        with contextlib.suppress(OSError), ballast.open("wb") as file:
            while True:
                file.write(b"\0" * 65536)
        draw(service.inbox / "second.png", 50)
        until(
            lambda: (r := readiness(service))[0] == 503 and "are free" in r[1],
            "the trouble to be told",
        )
        ballast.unlink()
        until(lambda: len(service.done()) == 2, "the second video")
        assert _states(service) == ["done", "done"]
        service.stop()
    assert "Traceback" not in service.log.read_text()


def remount(folder: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", str(folder)], check=True)


def test_a_read_only_inbox_is_told_and_nothing_is_lost(tmp_path, engine):
    service = ServiceProcess(tmp_path, engine.url)
    with small_disk(service.inbox, 4):
        draw(service.inbox / "cat.png")
        remount(service.inbox, "ro")
        service.start()
        until(lambda: "inbox.claim" in readiness(service)[1], "the trouble to be told")
        assert readiness(service)[0] == 503
        assert (service.inbox / "cat.png").exists()
        remount(service.inbox, "rw")
        until(service.done, "the video, once the inbox can be written")
        service.stop()
    assert "Traceback" not in service.log.read_text()


def test_a_read_only_inbox_serves_when_its_files_are_copied(tmp_path, engine):
    service = ServiceProcess(tmp_path, engine.url)
    text = service.config.read_text()
    service.config.write_text(text.replace("[inbox]", '[inbox]\nclaim = "copy"', 1))
    with small_disk(service.inbox, 4):
        draw(service.inbox / "cat.png")
        remount(service.inbox, "ro")
        service.start()
        until(service.done, "the video")
        service.stop()
        service.start()
        time.sleep(1.0)
        assert _states(service) == ["done"]
        service.stop()
        assert (service.inbox / "cat.png").exists()


@pytest.mark.parametrize("target", ["state", "precious"])
def test_links_from_the_share_lead_nowhere_at_the_start_and_afterwards(service, tmp_path, target):
    service.start()
    draw(service.inbox / "first.png")
    until(service.done, "the first video")
    service.stop()
    precious = make_precious(tmp_path / "precious")
    before = snapshot(precious)
    rows = known_jobs(service)
    led_to = tmp_path / target
    for place in (
        *("inbox/.zoetrope/state", f"inbox/.zoetrope/{ID}", "inbox/plain/.zoetrope", "inbox/link"),
        *("inbox/rejected/bad.png.why.txt", "outbox/review", "outbox/rejected"),
    ):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).symlink_to(led_to)
    service.start()
    draw(service.inbox / "second.png", 9)
    (service.inbox / "bad.png").write_text("hello")
    until(lambda: len(service.done()) == 2, "the second video")
    until((service.inbox / "rejected" / "bad.png").exists, "the rejected picture")
    assert service.stop() == 0
    assert snapshot(precious) == before
    assert rows < known_jobs(service)


def test_files_in_the_outbox_can_be_read_by_the_group(service):
    service.start()
    draw(service.inbox / "cat.png")
    until(service.done, "the video")
    for path in [service.done()[0], *service.done()[0].rglob("*")]:
        assert path.stat().st_mode & stat.S_IRGRP, path


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
                urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz?format=text", timeout=5)
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz?format=text", timeout=5)
            except urllib.error.HTTPError as error:
                with error:
                    return "Another zoetrope" in error.read().decode()
            except OSError:
                return False

        until(told, "the second service to say why it does not work")
    finally:
        process.terminate()
        process.wait(10)


def service_command() -> list[str]:
    import sys

    return [sys.executable, "-m", "zoetrope"]


def _states(service: ServiceProcess) -> list[str]:
    """Name every job's state; none while the ledger is still being opened."""
    with contextlib.suppress(urllib.error.HTTPError):
        return [job["state"] for job in service.get("/api/v1/jobs")["jobs"]]
    return []
