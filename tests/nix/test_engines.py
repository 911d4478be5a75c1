"""The engines of a host: one for each GPU, which a switch starts and restarts without waiting for them."""

import re

import pytest

from tests.nix.render import host, rule, said
from zoetrope.reload import FIXED

pytestmark = pytest.mark.system("nix-instantiate")


def test_each_gpu_has_a_comfyui_of_its_own():
    found = said(
        'gpus = { "0".memory = 24; "1" = { uuid = "GPU-0a"; port = 9000; attention = "flash"; }; };'
        ' memory = 32; attention = "sdpa";'
    )
    first, second = (
        found["units"][f"zoetrope-comfyui@{n}.service.d/overrides.conf"] for n in (0, 1)
    )
    assert 'Environment="ZOETROPE_MEMORY=24"' in first
    assert 'Environment="ZOETROPE_MEMORY=32"' in second
    assert 'Environment="ZOETROPE_ATTENTION=sdpa"' in first
    assert 'Environment="ZOETROPE_ATTENTION=flash"' in second
    assert 'Environment="ZOETROPE_GPU=GPU-0a"' in second
    assert 'Environment="CUDA_VISIBLE_DEVICES=GPU-0a"' in second
    assert 'Environment="ZOETROPE_PORT=9000"' in second
    assert [engine["url"] for engine in found["settings"]["engines"]] == [
        "http://127.0.0.1:8188",
        "http://127.0.0.1:9000",
    ]


def test_comfyui_may_be_reached_by_those_who_are_named():
    found = said(
        'comfyui = { listen = "0.0.0.0"; reachableFrom = [ "192.168.1.0/24" ]; openFirewall = true; };'
    )
    unit = found["units"]["zoetrope-comfyui@.service"].splitlines()
    assert [line for line in unit if line.startswith("IPAddress")] == [
        "IPAddressAllow=localhost",
        "IPAddressAllow=192.168.1.0/24",
        "IPAddressDeny=any",
    ]
    assert found["firewall"] == [8188]


def started(found: dict) -> dict[str, str]:
    """Give the configuration of each engine, as zoetrope-engines gets it."""
    lines = found["units"]["zoetrope-engines.service"].splitlines()
    (start,) = [line for line in lines if line.startswith("ExecStart=")]
    return dict(word.split("=") for word in start.split()[1:])


def test_no_switch_waits_for_an_engine_and_one_that_changed_is_restarted_all_the_same():
    text = 'gpus = { "0" = { }; "1" = { port = %s; }; }; comfyui.extraArgs = [ "%s" ];'
    found = said(text % (9000, "--a"))
    before = started(found)
    assert set(before) == {"0", "1"}
    assert "X-RestartIfChanged=false" in found["units"]["zoetrope-comfyui@.service"]
    assert not any("zoetrope-comfyui@" in unit for unit in wants(found))
    other_port, other_flag = (
        started(said(text % (9001, "--a"))),
        started(said(text % (9000, "--b"))),
    )
    assert (other_port["0"], other_flag["0"] != before["0"]) == (before["0"], True)
    assert other_port["1"] != before["1"] != other_flag["1"]


def wants(found: dict) -> list[str]:
    """Name what any unit or target pulls in."""
    lines = [line for text in found["units"].values() for line in text.splitlines()]
    return [line for line in lines if line.startswith(("Wants=", "Requires=", "WantedBy="))]


def test_a_driver_that_changes_has_the_engines_looked_at_again():
    driver = (
        'systemd.tmpfiles.settings.graphics-driver."/run/opengl-driver"."L+".argument = "/x%s";'
    )
    units = [said("", driver % n)["units"]["zoetrope-engines.service"] for n in (1, 2)]
    assert [re.findall(r'DRIVER_LIBRARIES=([^"]*)"', text) for text in units] == [["/x1"], ["/x2"]]


def test_settings_are_read_again_and_those_that_cannot_change_restart_the_service():
    def triggers(text, unit="zoetrope.service"):
        lines = said(f'listen = "127.0.0.1:1"; {text}')["units"][unit].splitlines()
        return {
            kind: [line for line in lines if line.startswith(f"X-{kind}-Triggers=")]
            for kind in ("Reload", "Restart")
        }

    before = triggers("")
    assert all(len(lines) == 1 for lines in before.values())
    later = triggers('settings.inbox.duplicates = "always";')
    assert later["Reload"] != before["Reload"]
    assert later["Restart"] == before["Restart"]
    for key in FIXED:
        value = '[ "a.example" ]' if key == "web.allowed_hosts" else '"/elsewhere:8"'
        later = triggers(f"settings.{key} = lib.mkForce {value};")
        assert later["Restart"] != before["Restart"], key
    # The GPU's helper resets the GPUs when it is restarted: for its own settings alone.
    gpu = 'gpu.profiles.a.powerLimitW = %s; gpus."0".profile = "a";'
    helper = "zoetrope-gpu.service"
    before = triggers(gpu % 300, helper)
    assert triggers(gpu % 300 + 'settings.inbox.duplicates = "always";', helper) == before
    assert triggers(gpu % 301, helper) != before


def test_comfyui_s_data_may_lie_on_another_disk():
    found = said('comfyui.dataDir = "/srv/comfyui"; gpus = { "0" = { }; "1" = { }; };')
    assert found["failed"] == []
    unit = found["units"]["zoetrope-comfyui@.service"].splitlines()
    assert {
        'Environment="ZOETROPE_BASE=/srv/comfyui/%i"',
        "WorkingDirectory=/srv/comfyui/%i",
        "ReadWritePaths=/srv/comfyui",
        "RequiresMountsFor=/srv/comfyui",
    } <= set(unit)
    assert not any(line.startswith("StateDirectory") for line in unit)
    lines = found["tmpfiles"]["10-zoetrope"].splitlines()
    for folder in ("", "/0", "/1"):
        assert (
            rule("d", f"/srv/comfyui{folder}", "0750", "zoetrope-engine", "zoetrope-engine")
            in lines
        )
    assert any(line.startswith("'e' '/srv/comfyui/*/input/zoetrope' ") for line in lines)


def test_python_packages_for_node_packs_of_ones_own_are_another_comfyui():
    plain, more = (
        host(fakes=False, extra=f"{{ services.zoetrope = {{ enable = true; {text} }}; }}")
        for text in ("", "comfyui.extraPythonPackages = ps: [ ps.aiohttp ];")
    )
    starts = [
        re.findall("ExecStart=(\\S+)", found["units"]["zoetrope-comfyui@.service"])
        for found in (plain, more)
    ]
    assert plain["failed"] == more["failed"] == []
    assert starts[0] != starts[1]


def test_a_gpu_is_expected_unless_the_host_says_that_there_is_none():
    found = said('gpus = { "0" = { }; "1".cpu = true; };')["units"]
    devices = [
        re.findall(
            r"ZOETROPE_DEVICE=(\w+)", found[f"zoetrope-comfyui@{n}.service.d/overrides.conf"]
        )
        for n in (0, 1)
    ]
    assert devices == [["gpu"], ["cpu"]]
