"""What is noted of ComfyUI's end, in the words that systemd gives to ExecStopPost."""

import os
import time

import pytest


def end(host, result, **more):
    host.run.mkdir(exist_ok=True)
    env = {"SERVICE_RESULT": result, "EXIT_CODE": "killed", "EXIT_STATUS": "KILL", **more}
    host.env.update(env)
    done = host.start("--ended")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_an_end_by_the_kernel_for_lack_of_memory_is_published_by_the_next_start(host):
    before = int(time.time())
    end(host, "oom-kill")
    assert host.start().returncode == 0
    (ended,) = host.report["ended"]
    assert ended["how"] == "oom-kill"
    assert before <= ended["at"] <= time.time()
    # A start that fails and ends as well does not hide it.
    end(host, "exit-code")
    assert host.start().returncode == 0
    assert host.report["ended"] == [ended]


@pytest.mark.parametrize(
    "result", ["success", "exit-code", "signal", "timeout", "watchdog", "resources", ""]
)
def test_no_other_end_is_noted(host, result):
    end(host, result)
    assert not (host.run / "0.ended").exists()
    assert host.start().returncode == 0
    assert host.report["ended"] == []


@pytest.mark.parametrize("text", ["", "oom-kill", "oom-kill soon", "oom-kill 1\t2", "signal 12"])
def test_a_note_that_says_something_else_is_passed_over(host, text):
    host.run.mkdir()
    (host.run / "0.ended").write_text(f"{text}\n")
    assert host.start().returncode == 0
    assert host.report["ended"] == []


def test_a_note_that_cannot_be_written_is_no_failure_of_the_unit(host):
    host.env["SERVICE_RESULT"] = "oom-kill"
    host.env["ZOETROPE_RUN"] = ""
    assert host.start("--ended").returncode == 0


def test_a_note_of_a_time_to_come_is_none(host):
    host.run.mkdir(exist_ok=True)
    (host.run / "0.ended").write_text("oom-kill 999999999999\n")
    assert host.start().returncode == 0
    assert host.report["ended"] == []


def test_a_pipe_in_the_place_of_what_nodes_can_write_holds_no_start(host):
    (host.folder / "comfyui/comfyui_version.py").write_text('__version__ = "0.33.3"\n')
    pack = host.pack("ComfyUI-GGUF")
    links, version = host.base / ".zoetrope-links", host.base / "user/.zoetrope-version"
    for place in (host.run / "0.ended", links, version):
        for pipe in (place, place.with_name(f"{place.name}.part")):
            pipe.parent.mkdir(parents=True, exist_ok=True)
            pipe.unlink(missing_ok=True)
            # A link that is not there yet is recorded first.
            (host.base / "custom_nodes" / pack.name).unlink(missing_ok=True)
            os.mkfifo(pipe)
            done = host.start(NODE_PACKS=f"{pack.name}={pack}")
            assert done.returncode == 0, (pipe, done.stderr)


def test_the_arguments_are_written_into_a_file_of_a_closed_folder(host):
    """systemd reads it as root, so nothing else may be put in its place; that is, it is never replaced."""
    closed = host.folder / "closed"
    closed.mkdir()
    file = closed / "0.env"
    file.touch()
    known = file.stat().st_ino
    closed.chmod(0o555)
    assert host.start(ARGS_FILE=file).returncode == 0
    assert file.read_text().startswith("ZOETROPE_COMFYUI_ARGS=")
    assert file.stat().st_ino == known
    assert not (host.run / "0.env").exists()
