"""A host's units under a real systemd: what a person does to it, and what it does to itself."""

import hashlib
import json
import os
import re
import shutil
import stat

import pytest
from PIL import Image

pytestmark = pytest.mark.system("nix-instantiate", "debootstrap", "systemd-nspawn", "curl")

SLOW = 'comfyui.environment.SIMULATED_STEP_SECONDS = "0.4";'


def draw(file, colour=0):
    picture = Image.linear_gradient("L").resize((96, 64)).point(lambda v: (v + colour) % 256)
    picture.convert("RGB").save(file)


def drop(machine, name="cat.png", ticket="", colour=0):
    """Drop a picture as a member of the share's group does: copied in, then in its place."""
    draw(machine.srv / name, colour)
    (machine.srv / name).chmod(0o644)
    if ticket:
        (machine.srv / "ticket").write_text(ticket)
        said = f"/srv/zoetrope/inbox/{name.rpartition('.')[0]}.toml"
        assert machine.run("cp", "/srv/ticket", said, user="person").returncode == 0
    done = machine.run("cp", f"/srv/{name}", f"/srv/zoetrope/inbox/{name}", user="person")
    assert done.returncode == 0, done.stderr


def videos(machine):
    return sorted((machine.srv / "zoetrope/outbox").glob("[!.]*/*.mp4"))


def attempts(machine):
    (job,) = machine.jobs()
    return [len(stage["attempts"]) for stage in job["stages"]]


def working(machine):
    return re.search(
        r"rendering cat.png: i2v \d+ % \(step", machine.systemctl("status", "zoetrope")
    )


def test_a_picture_dropped_by_somebody_else_becomes_a_video(boot):
    machine = boot(SLOW)
    drop(machine, ticket="steps = 20")
    machine.until(lambda: working(machine), "systemctl status to say what is rendered")
    machine.until(lambda: videos(machine), "the video")
    (video,) = videos(machine)
    receipt = json.loads((video.parent / "receipt.json").read_text())
    assert receipt["stages"][0]["attempts"][0]["engine"] == "gpu-0"
    # The person who dropped it reads it, and can take it away.
    inside = f"/srv/{video.relative_to(machine.srv)}"
    assert machine.run("test", "-r", inside, user="person").returncode == 0
    assert machine.run("rm", inside, user="person").returncode == 0
    # Where claimed pictures wait, they can neither look nor put a folder of their own.
    (claimed,) = machine.srv.glob("**/.zoetrope")
    assert stat.S_IMODE(claimed.stat().st_mode) == 0o2700
    assert stat.S_IMODE(claimed.parent.stat().st_mode) == 0o3770
    inside = f"/srv/{claimed.relative_to(machine.srv)}"
    for words in (("ls", inside), ("rmdir", inside), ("mv", inside, f"{inside}-mine")):
        assert machine.run(*words, user="person").returncode != 0
    # Members see nothing of the service's state; ComfyUI's user neither that nor any picture.
    state, engine = "/var/lib/zoetrope", "zoetrope-engine"
    for user, path in (("person", state), (engine, state), (engine, "/srv/zoetrope/inbox")):
        assert machine.run("test", "-d", path).returncode == 0
        assert machine.run("ls", path, user=user).returncode != 0, (user, path)
    # systemd reads ComfyUI's arguments as root: nothing can be put in their place, no link and no pipe.
    args = "/run/zoetrope-args/0.env"
    assert "--use-pytorch-cross-attention" in machine.run("cat", args).stdout
    for words in (("rm", "-f"), ("ln", "-sfn", "/etc/shadow"), ("mkfifo",)):
        assert machine.run(*words, args, user=engine).returncode != 0, words
    machine.until(
        lambda: machine.show("zoetrope.service", "StatusText").startswith("idle"), "it to be idle"
    )
    status, told = machine.get("/readyz?format=text")
    assert status == 200, told
    assert "is watched by events" in told
    # Pre-start's choice reached ComfyUI's command line, and its summary the journal.
    journal = machine.journal("zoetrope-comfyui@0")
    assert "flags: " in journal
    assert "attention  sdpa" in journal
    assert "--use-pytorch-cross-attention" in machine.systemctl("status", "zoetrope-comfyui@0")


def test_members_reach_an_inbox_in_the_state_folder_and_nothing_else_of_it(boot):
    state = "/var/lib/zoetrope"
    machine = boot(f'inbox.path = "{state}/in"; outbox.path = "{state}/out";')
    found = machine.run("stat", "-c", "%U %G %a", state, f"{state}/in", f"{state}/out").stdout
    assert found.splitlines() == [
        "zoetrope zoetrope 711",
        "zoetrope users 3770",
        "zoetrope users 2770",
    ]
    draw(machine.srv / "cat.png")
    (machine.srv / "cat.png").chmod(0o644)
    dropped = machine.run("cp", "/srv/cat.png", f"{state}/in/cat.png", user="person")
    assert dropped.returncode == 0, dropped.stderr
    machine.until(lambda: [job["state"] for job in machine.jobs()] == ["done"], "the video")
    seen = machine.run("find", f"{state}/out", "-name", "cat.mp4", user="person").stdout.split()
    assert len(seen) == 1
    # Its own files are closed, whoever may walk through the folder.
    for user in ("person", "zoetrope-engine"):
        assert machine.run("ls", state, user=user).returncode != 0
        assert machine.run("cat", f"{state}/ledger.db", user=user).returncode != 0
        assert machine.run("ls", f"{state}/work", user=user).returncode != 0
    # Each start of the unit applies the mode again.
    machine.systemctl("restart", "zoetrope")
    assert machine.run("ls", f"{state}/in", user="person").returncode == 0


def test_killed_in_mid_stage_it_goes_on_with_the_same_prompt(boot):
    machine = boot(SLOW)
    drop(machine, ticket="steps = 20")
    machine.until(lambda: working(machine), "the stage")
    machine.systemctl("kill", "-s", "KILL", "zoetrope")
    machine.until(lambda: videos(machine), "the video")
    assert machine.show("zoetrope.service", "NRestarts") == "1"
    assert attempts(machine) == [1, 1]


def test_a_service_that_hangs_is_ended_by_the_watchdog_and_comes_back(boot):
    quick = "[Service]\nWatchdogSec=3\nTimeoutAbortSec=1\n"
    machine = boot(SLOW, **{"zoetrope.service.d/quick.conf": quick})
    drop(machine, ticket="steps = 20")
    machine.until(lambda: working(machine), "the stage")
    machine.systemctl("kill", "-s", "STOP", "zoetrope")
    machine.until(lambda: machine.show("zoetrope.service", "NRestarts") == "1", "a new start")
    assert "Watchdog timeout" in machine.journal("zoetrope")
    machine.until(lambda: videos(machine), "the video")
    assert attempts(machine) == [1, 1]


def test_a_reload_takes_new_settings_and_disturbs_no_job(boot):
    machine = boot(SLOW)
    drop(machine, ticket="steps = 20")
    machine.until(lambda: working(machine), "the stage")
    before = machine.show("zoetrope.service", "MainPID")
    machine.change_settings('"review" = false', '"review" = true')
    assert machine.systemctl("reload", "zoetrope") == ""
    assert machine.show("zoetrope.service", "MainPID") == before
    machine.until(lambda: videos(machine), "the first video")
    drop(machine, "dog.png", colour=60)
    machine.until(lambda: "1 to review" in machine.systemctl("status", "zoetrope"), "a review")


def test_a_switch_waits_for_no_engine_and_a_new_driver_takes_none_down(boot):
    hold = "[Service]\nExecStartPre=/bin/sh -c 'while [ -e /srv/hold ]; do sleep 0.1; done'\n"
    root = "[Service]\nEnvironment=ZOETROPE_ROOT=/srv/driver\n"
    machine = boot(
        **{
            "zoetrope-comfyui@.service.d/hold.conf": hold,
            "zoetrope-engines.service.d/root.conf": root,
        }
    )
    engine, engines = "zoetrope-comfyui@0", "zoetrope-engines.service"
    machine.until(lambda: "engine gpu-0 is up" in machine.systemctl("status", "zoetrope"), "it")
    first = machine.show(engine, "InvocationID")

    def switch(number):
        unit = machine.units / engines
        unit.write_text(re.sub(r" 0=\S+", f" 0={number}", unit.read_text()))
        machine.systemctl("daemon-reload")
        assert machine.systemctl("restart", engines) == "", machine.journal(engines)

    (machine.srv / "driver/sys/module/nvidia").mkdir(parents=True)
    (machine.srv / "driver/sys/module/nvidia/version").write_text("575.64.03\n")
    libraries = machine.srv / "driver/run/opengl-driver/lib"
    libraries.mkdir(parents=True)
    (libraries / "libcuda.so.580.95.05").touch()
    (libraries / "libcuda.so.1").symlink_to("libcuda.so.580.95.05")
    (machine.srv / "hold").touch()
    switch(1)
    assert machine.show(engine, "InvocationID") == first
    waits = "kernel has NVIDIA driver 575.64.03 loaded, but the libraries are 580.95.05."

    def said():
        told = machine.get("/readyz?format=text")[1]
        return waits in told and "Reboot the host when it suits" in told

    machine.until(said, "health to say it")
    # Were it restarted all the same, it would be held in its start by now.
    assert machine.show(engine, "ActiveState") == "active"
    assert machine.show(engine, "InvocationID") == first
    (machine.srv / "driver/sys/module/nvidia/version").write_text("580.95.05\n")
    switch(2)
    # It was over before the engine has started, however long the test of its kernels takes.
    machine.until(lambda: machine.show(engine, "ActiveState") == "activating", "the engine's test")
    (machine.srv / "hold").unlink()
    machine.until(lambda: machine.show(engine, "ActiveState") == "active", "the engine")
    assert machine.show(engine, "InvocationID") != first
    machine.until(lambda: waits not in machine.get("/readyz?format=text")[1], "health to forget it")


def test_switched_off_in_mid_stage_it_goes_on_at_the_next_boot(boot):
    machine = boot(SLOW)
    drop(machine, ticket="steps = 20")
    machine.until(lambda: working(machine), "the stage")
    machine.stop()
    assert videos(machine) == []
    machine.boot()
    machine.until(lambda: videos(machine), "the video")
    assert len(machine.jobs()) == 1


def test_the_token_reaches_the_service_and_nobody_else(boot, tmp_path):
    secret = tmp_path / "token"
    secret.write_text("a-token-of-some-length\n")
    secret.chmod(0o600)
    listen = f'listen = "0.0.0.0:8190"; tokenFile = "/srv/{secret.name}";'
    (tmp_path / "0/srv").mkdir(parents=True)
    shutil.copy(secret, tmp_path / "0/srv")
    machine = boot(listen)
    assert machine.get("/api/v1/jobs")[0] == 401
    assert machine.get("/api/v1/jobs", token="a-token-of-some-length!")[0] == 401
    assert machine.get("/api/v1/jobs", token="a-token-of-some-length")[0] == 200
    for user in ("zoetrope-engine", "person"):
        found = machine.run("cat", "/run/credentials/zoetrope.service/token", user=user)
        assert found.returncode != 0
        assert "a-token" not in found.stdout


def test_the_ladder_may_restart_its_engine_and_nothing_else(boot):
    machine = boot()
    machine.until(lambda: "engine gpu-0 is up" in machine.systemctl("status", "zoetrope"), "it")
    first = machine.show("zoetrope-comfyui@0", "InvocationID")
    order = (
        "import urllib.request as u; u.urlopen(u.Request('http://127.0.0.1:8188/simulated/faults',"
        ' data=b\'{"kind": "cuda", "node": "VAEDecode"}\'))'
    )
    assert machine.run("python3", "-c", order).returncode == 0
    drop(machine)
    machine.until(lambda: videos(machine), "the video")
    assert machine.show("zoetrope-comfyui@0", "InvocationID") != first
    assert attempts(machine)[0] == 2
    for verb, unit in (
        ("restart", "systemd-journald.service"),
        ("stop", "zoetrope-comfyui@0.service"),
        ("start", "systemd-tmpfiles-clean.service"),
    ):
        refused = machine.run("systemctl", "--no-ask-password", verb, unit, user="zoetrope")
        assert refused.returncode != 0, (verb, unit)
    assert machine.run("systemctl", "restart", "zoetrope-comfyui@0", user="person").returncode != 0


def test_a_gpu_whose_driver_never_comes_is_no_reason_to_use_the_cpu(boot):
    machine = boot('comfyui.environment.ZOETROPE_ROOT = "/srv/no-driver";', device="")
    waits = "not loaded yet: ComfyUI waits for it, 300 seconds at most"
    machine.until(lambda: waits in machine.get("/readyz?format=text")[1], "health to say it")
    assert machine.show("zoetrope-comfyui@0", "ActiveState") == "activating"


def test_a_start_without_its_models_says_which_are_missing(boot):
    model = f"""
      models.files."night.safetensors" = {{
        url = "https://example.org/night"; sha256 = "{"0" * 64}"; folder = "loras"; bytes = 12345;
      }};
      comfyui.environment.ZOETROPE_REQUIRE_MODELS = "1";
    """
    machine = boot(model)
    machine.until(
        lambda: "night.safetensors" in machine.journal("zoetrope-comfyui@0"), "the model's name"
    )
    said = machine.journal("zoetrope-comfyui@0")
    assert re.search(r"FAILED .*loras/night.safetensors", said), said
    assert "next: See the download" in said
    # The service serves all the same, and says what it waits for.
    assert machine.get("/healthz")[0] == 200
    machine.until(lambda: "gpu-0 is down" in machine.systemctl("status", "zoetrope"), "the status")
    drop(machine)
    machine.until(lambda: len(machine.jobs()) == 1, "the picture to be taken")


def test_models_in_a_closed_home_are_found_and_nothing_else_of_it_is_seen(boot, tmp_path):
    home = tmp_path / "home"
    for name in ("models/loras", "letters"):
        (home / name).mkdir(parents=True)
    (home / "models/loras/night.safetensors").write_bytes(b"x" * 12345)
    home.chmod(0o700)
    model = f"""
      models.extraDirectories = [ "/home/ada/models" "/home/ada/away" ];
      models.files."night.safetensors" = {{
        url = "https://example.org/night"; sha256 = "{"0" * 64}"; folder = "loras"; bytes = 12345;
      }};
    """
    machine = boot(model, binds={home: "/home/ada"})
    engine, report = "zoetrope-comfyui@0", "/run/zoetrope-engine/0.json"
    machine.until(lambda: machine.run("test", "-e", report).returncode == 0, "the report")

    def found():
        told = json.loads(machine.run("cat", report).stdout)
        warnings = [each["sentence"] for each in told["warnings"]]
        return [each["state"] for each in told["models"]], [w for w in warnings if "folder" in w]

    away = "The models' folder /home/ada/away is not there."
    assert found() == (["ok"], [away])
    for unit in (engine, "zoetrope"):
        # Before that its process is still systemd's own, and sees what systemd sees.
        machine.until(lambda unit=unit: machine.show(unit, "ActiveState") == "active", f"{unit}")
        process = machine.show(unit, "MainPID")
        inside = ("nsenter", "-t", process, "-m", "find", "/home", "-type", "d")
        assert set(machine.run(*inside).stdout.split()) == {
            *("/home", "/home/ada", "/home/ada/models", "/home/ada/models/loras")
        }
    # One that is closed to ComfyUI's user is no folder without models: it is said who may not read it.
    machine.run("chmod", "700", "/home/ada/models")
    machine.systemctl("restart", engine)
    closed = "The models' folder /home/ada/models cannot be read by zoetrope-engine."
    assert found() == (["missing"], [closed, away])


def test_models_are_fetched_beside_everything_and_health_tells(boot, tmp_path):
    content = os.urandom(5_000_000)
    (tmp_path / "0/srv/hub").mkdir(parents=True)
    (tmp_path / "0/srv/hub/night.safetensors").write_bytes(content)
    hub = """[Service]
Type=exec
ExecStart=/usr/bin/python3 -m http.server --bind 127.0.0.1 --directory /srv/hub 9000
"""
    model = f"""
      models.files."night.safetensors" = {{
        url = "http://127.0.0.1:9000/night.safetensors"; folder = "loras";
        sha256 = "{hashlib.sha256(content).hexdigest()}"; bytes = {len(content)};
      }};
    """
    machine = boot(model, **{"hub.service": hub})
    assert machine.show("zoetrope-models.service", "ActiveState") == "inactive"
    machine.systemctl("start", "hub")
    machine.systemctl("start", "zoetrope-models")
    result = machine.show("zoetrope-models.service", "Result")
    assert result == "success", machine.journal("zoetrope-models")
    fetched = machine.run("stat", "-c", "%U %s", "/var/lib/zoetrope-models/loras/night.safetensors")
    assert fetched.stdout == f"zoetrope {len(content)}\n"
    # ComfyUI's user reads what the service's user has fetched, and cannot change it.
    path = "/var/lib/zoetrope-models/loras/night.safetensors"
    assert machine.run("test", "-r", path, user="zoetrope-engine").returncode == 0
    assert machine.run("test", "-w", path, user="zoetrope-engine").returncode != 0
    assert re.search(r"ok +models", machine.get("/readyz?format=text")[1])


def test_state_that_belongs_to_somebody_else_is_taken_over(boot):
    machine = boot()
    machine.until(lambda: "engine gpu-0 is up" in machine.systemctl("status", "zoetrope"), "it")
    machine.systemctl("stop", "zoetrope")
    machine.run("chown", "-R", "person:users", "/var/lib/zoetrope")
    # And so is the folder of claims that a member made first, by systemd-tmpfiles, as at every boot.
    claimed = "/srv/zoetrope/inbox/.zoetrope"
    assert machine.run("rmdir", claimed).returncode == 0
    assert machine.run("mkdir", "-m", "700", claimed, user="person").returncode == 0
    assert machine.run("systemd-tmpfiles", "--create", "--prefix=/srv").returncode == 0
    assert machine.run("stat", "-c", "%U %a", claimed).stdout.split() == ["zoetrope", "2700"]
    machine.systemctl("start", "zoetrope")
    assert machine.show("zoetrope.service", "ActiveState") == "active"
    drop(machine)
    machine.until(lambda: videos(machine), "the video")


def test_a_page_whose_port_is_taken_is_a_failed_unit_that_says_so(boot):
    taker = """[Service]
Type=exec
ExecStart=/usr/bin/python3 -m http.server --bind 127.0.0.1 --directory /srv 8190
"""
    wait = "[Unit]\nRequires=taker.service\nAfter=taker.service\n"
    machine = boot(page=False, **{"taker.service": taker, "zoetrope.service.d/wait.conf": wait})
    machine.until(lambda: "8190" in machine.journal("zoetrope"), "the port to be named")
    assert machine.show("zoetrope.service", "ActiveState") != "active"
    machine.systemctl("stop", "taker")
    machine.systemctl("restart", "zoetrope")


def test_flags_that_a_job_has_taught_reach_comfyui_s_command_line_also_after_a_boot(boot):
    machine = boot()
    machine.until(lambda: "engine gpu-0 is up" in machine.systemctl("status", "zoetrope"), "it")
    order = (
        "import urllib.request as u; u.urlopen(u.Request('http://127.0.0.1:8188/simulated/faults',"
        ' data=b\'{"kind": "host_oom", "node": "VAEDecode", "times": 2}\'))'
    )
    assert machine.run("python3", "-c", order).returncode == 0
    drop(machine)
    machine.until(lambda: videos(machine), "the video")
    assert attempts(machine)[0] == 3

    def given():
        lines = re.findall("flags: (.*)", machine.journal("zoetrope-comfyui@0"))
        return ["--cache-none" in line for line in lines]

    machine.until(lambda: given() == [False, True], "the flag")
    # Its engine's user reads what is asked for, and writes nothing there.
    asked, engine = "/run/zoetrope-flags/0.json", "zoetrope-engine"
    assert machine.run("test", "-r", asked, user=engine).returncode == 0
    for path in (asked, "/run/zoetrope-flags"):
        assert machine.run("test", "-w", path, user=engine).returncode != 0
    told = machine.get("/readyz?format=text")[1]
    assert "--cache-none of the fallback is used: job" in told
    # /run is empty then: the service asks again before the engine is started.
    machine.cut()
    machine.boot()
    machine.until(lambda: "engine gpu-0 is up" in machine.systemctl("status", "zoetrope"), "it")
    machine.until(lambda: given()[-1:] == [True], "the flag")
    # What somebody else puts there is ignored, and named.
    assert machine.run("chown", "person", asked).returncode == 0
    machine.systemctl("restart", "zoetrope-comfyui@0")
    machine.until(lambda: "0.json is ignored" in machine.get("/readyz?format=text")[1], "health")
    machine.until(lambda: given()[-1:] == [False], "a start without the flag")
