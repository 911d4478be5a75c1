"""Contradictions in a host's options become sentences before it is built; what is doubtful, a warning."""

import pytest

from tests.nix.render import host, said

pytestmark = pytest.mark.system("nix-instantiate")

SENTENCES = [
    (
        'outbox.path = "/srv/in/out"; inbox.path = "/srv/in";',
        "is inside services.zoetrope.inbox.path (/srv/in), so finished videos would be taken",
    ),
    ('outbox.path = "/srv/in"; inbox.path = "/srv/in";', "finished videos would be taken"),
    (
        'inbox.path = "/srv/out/in"; outbox.path = "/srv/out";',
        "is inside services.zoetrope.outbox.path (/srv/out), so new pictures would be mixed",
    ),
    ('listen = "0.0.0.0:8190";', "there is no token. Set services.zoetrope.tokenFile"),
    ('listen = "[::]:8190";', "there is no token. Set services.zoetrope.tokenFile"),
    (
        'recipes = [ "wan22-i2v-heroo" ];',
        "names wan22-i2v-heroo, which do not exist. Known recipes: ",
    ),
    ('models.recipes = [ "night" ];', "services.zoetrope.extraRecipes.<name> = ./folder"),
    ("gpus = { };", "services.zoetrope.gpus is empty"),
    ('inbox.path = "/srv/ada\'s/in";', "/srv/ada's/in contains a blank, a colon, a quote"),
    ('inbox.path = "/home/ada/in:box";', "/home/ada/in:box contains a blank, a colon"),
    ('models.extraDirectories = [ "/home/ada/m:1" ];', "/home/ada/m:1 contains a blank, a colon"),
    ('inbox.path = "/srv/../home/ada/in";', "or `..`, which systemd's lists of paths"),
    ('inbox.path = "/home";', "inbox.path is a folder at the top of the file system"),
    ('outbox.path = "/srv/";', "outbox.path is a folder at the top of the file system"),
    ('inbox.group = "domain users";', "inbox.group is `domain users`. Name a group of the people"),
    ('inbox.group = "zoetrope-engine";', "not the group of ComfyUI's user"),
    (
        'outbox.path = "/srv/zoe"; models.directory = "/srv/zoe/models";',
        "models.directory (/srv/zoe/models) is inside services.zoetrope.outbox.path, which is closed",
    ),
    (
        'comfyui.dataDir = "/var/lib/zoetrope/comfyui";',
        "is inside the service's own /var/lib/zoetrope, which is closed to ComfyUI's user",
    ),
    (
        'settings.inbox.path = "/srv/x";',
        "the units are made for /srv/zoetrope/inbox. Set services.zoetrope.inbox.path instead",
    ),
    ('settings.outbox.path = "/srv/x/y";', "Set services.zoetrope.outbox.path instead"),
    ('settings.models.path = "/data/m";', "Set services.zoetrope.models.directory instead"),
    ('settings.web.listen = "0.0.0.0:8190";', "Set services.zoetrope.listen instead"),
    (
        'settings.state.path = "/persist/z";',
        'bind-mount that folder: fileSystems."/var/lib/zoetrope"',
    ),
    ("gpus.main = { };", "its name is no index of a GPU"),
    (
        'gpus = { "0".uuid = "GPU-1"; "1" = { uuid = "GPU-1"; port = 8189; }; };',
        "two of them have the same uuid",
    ),
    (
        (
            'gpu.profiles = { fast = { card = "RTX 5090"; powerLimitW = 500; }; cool = { card = "RTX 5090"; powerLimitW = 400; }; };'
            ' gpus = { "0" = { card = "RTX 5090"; profile = "fast"; }; "1" = { card = "RTX 5090"; profile = "cool"; port = 8189; }; };'
        ),
        "the GPUs have different profiles but cannot be distinguished",
    ),
    (
        'gpu.profiles.a = { card = "RTX 5090"; powerLimitW = 400; }; gpus."0" = { card = "RTX 4090"; idleProfile = "a"; };',
        "is an RTX 4090 and its profile `a` is for an RTX 5090",
    ),
    (
        'comfyui = { listen = "0.0.0.0"; reachableFrom = [ "192.168.1.*" "10.0.0.0/8" "laptop.lan" ]; };',
        "reachableFrom has 192.168.1.*, laptop.lan, which systemd takes for no address",
    ),
    ('extraNodePacks."../evil" = ./nix;', "../evil cannot be the name of a folder"),
    (
        'extraNodePacks.mine = "/home/ada/nodes";',
        "/home/ada/nodes is in a home directory, which ComfyUI",
    ),
    (
        'inbox.path = "/srv/My Pictures/in";',
        "/srv/My Pictures/in contains a blank",
    ),
    ('outbox.path = "/srv/100%";', "/srv/100% contains a blank"),
    ('models.directory = "/mnt/Big Disk";', "/mnt/Big Disk contains a blank"),
    (
        'models.directory = "/home/ada/models";',
        "(/home/ada/models) is in a home directory, where the units may write nothing",
    ),
    (
        'comfyui.dataDir = "/home/ada/comfy";',
        "(/home/ada/comfy) is in a home directory, where ComfyUI",
    ),
    ('comfyui.dataDir = "/srv/my comfy";', "/srv/my comfy contains a blank"),
    (
        "comfyui.extraPythonPackages = ps: [ ];",
        "extraPythonPackages cannot be added to the package in services.zoetrope.comfyui.package",
    ),
    ('comfyui.listen = "192.168.1.10";', "the service reaches ComfyUI at 127.0.0.1"),
    ('comfyui.listen = "::1";', "the service reaches ComfyUI at 127.0.0.1"),
    ('gpus = { "0" = { }; "1".port = 8188; };', "two services use the same port"),
    ('gpus."0".port = 8190;', "two services use the same port"),
    ('gpus."a b" = { };', "the name becomes part of a unit's name"),
    (
        'gpu.profiles.low = { card = "RTX 5090"; powerLimitW = 350; }; gpus."0".profile = "low";',
        "accepts nothing below 400 W. Set 400 or more; to save more power, lower maxCoreMhz",
    ),
    (
        'gpu.profiles.a.card = "RTX 5090"; gpus."0".profile = "a";',
        "gpu.profiles.a sets nothing. Set maxCoreMhz, powerLimitW or both",
    ),
    (
        'gpu.profiles.a.coreOffsetMhz = 200; gpus."0".profile = "a";',
        "coreOffsetMhz is 200 without maxCoreMhz, which also raises the highest clock: an overclock",
    ),
    ('gpus."0".idleProfile = "lost";', "idleProfile names `lost`"),
    (
        'gpu.profiles.a.maxCoreMhz = 2000; gpus = { "0".profile = "a"; "1" = { }; };',
        "the GPUs have different profiles but cannot be distinguished. Set the uuid of each",
    ),
    (
        'gpus."0".profile = "lost";',
        "names `lost`, which services.zoetrope.gpu.profiles does not have",
    ),
    (
        'gpu.profiles.a.card = "RTX 4090"; gpus."0" = { card = "RTX 5090"; profile = "a"; };',
        "Clocks and limits differ between GPU models",
    ),
    ("extraNodePacks.comfyui-GGUF = ./tests;", "which is also the name of a shipped node pack"),
    ('comfyui.listen = "0.0.0.0";', "ComfyUI has no login"),
    ('comfyui.extraArgs = [ "--reserve-vram 2" ];', "an argument cannot contain blanks"),
]


@pytest.mark.parametrize(("text", "sentence"), SENTENCES)
def test_a_contradiction_is_a_sentence_that_says_what_to_do(text, sentence):
    failed = said(text)["failed"]
    assert any(sentence in message for message in failed), failed


def test_a_port_that_services_comfyui_has_is_named():
    taken = "services.comfyui = { enable = true; port = 8188; };"
    (message,) = said("", taken)["failed"]
    assert "services.comfyui and services.zoetrope both use port 8188" in message
    assert said('gpus."0".port = 8288;', taken)["failed"] == []
    assert said("", "services.comfyui.enable = false;")["failed"] == []


def test_a_blackwell_gpu_without_a_profile_is_warned_of():
    (warning,) = said('gpus."0".card = "RTX 5090";')["warnings"]
    assert "is an RTX 5090 without a profile" in warning
    assert said('gpus."0".card = "RTX 4090";')["warnings"] == []
    tuned = 'gpus."0" = { card = "RTX 5090"; profile = "a"; }; gpu.profiles.a.powerLimitW = 400;'
    assert said(tuned)["warnings"] == []


def test_a_host_on_the_cpu_is_warned_of_the_recipes_that_it_cannot_run():
    def warned(text):
        ours = f"services.zoetrope = {{ enable = true; {text} }};"
        # The packages that a host gets which names none: stand-ins need no GPU.
        return host(extra=f"{{ ... }}: {{ {ours} }}", fakes=False)["warnings"]

    (warning,) = warned(
        'gpus."0".cpu = true; recipes = [ "wan22-i2v-lightning" "wan22-i2v-hero" ];'
    )
    assert "the node pack ComfyUI-SeedVR2_VideoUpscaler does not load" in warning
    assert "jobs with wan22-i2v-hero are rejected" in warning
    for text in (
        'gpus."0".cpu = true; recipes = [ "wan22-i2v-lightning" ];',
        'gpus = { "0" = { uuid = "GPU-00000000"; }; "1" = { uuid = "GPU-11111111"; cpu = true; }; };',
        "",
    ):
        assert warned(text) == [], text


def test_two_cards_without_uuids_are_warned_of():
    (warning,) = said('gpus = { "0" = { }; "1" = { }; };')["warnings"]
    assert "0, 1 have no uuid" in warning


def test_an_unlimited_or_lowest_power_limit_is_fine():
    for limit in ("null", "400", "575"):
        text = f'gpu.profiles.a = {{ card = "RTX 5090"; powerLimitW = {limit}; maxCoreMhz = 2600; }}; gpus."0".profile = "a";'
        assert said(text)["failed"] == []
