"""The module: what a host says becomes settings, units and folders."""

import json
from pathlib import Path

import pytest

from tests.nix.render import NixError, build, host, rule, said

pytestmark = pytest.mark.system("nix-instantiate")


def test_without_enable_a_host_stays_as_it_is():
    found = host(extra="{ services.zoetrope.enable = false; }")
    assert not any("zoetrope" in name for name in found["units"])
    assert (found["etc"], found["polkit"], found["tmpfiles"]) == ({}, "", {})
    assert set(found["users"]["users"]) == {"root"}
    assert not any("zoetrope" in name for name in found["users"]["groups"])


def test_enable_alone_makes_a_sound_host():
    found = said("")
    assert (found["failed"], found["warnings"]) == ([], [])
    assert found["settings"] == {
        "inbox": {"path": "/srv/zoetrope/inbox"},
        "outbox": {"path": "/srv/zoetrope/outbox"},
        "state": {"path": "/var/lib/zoetrope"},
        "recipes": {"path": ["/etc/zoetrope/recipes"], "default": "wan22-i2v-hero"},
        "engines": [
            {
                "name": "gpu-0",
                "url": "http://127.0.0.1:8188",
                "restart": {"unit": "zoetrope-comfyui@0.service"},
                "report": "/run/zoetrope-engine/0.json",
                "pending": "/run/zoetrope-engines/0.json",
                "flag_request": "/run/zoetrope-flags/0.json",
            }
        ],
        "models": {
            "path": "/var/lib/zoetrope-models",
            "folders": [],
            "recipes": ["wan22-i2v-hero"],
            "extra": [],
        },
        "jobs": {"free_after_minutes": 10},
        "web": {"listen": "127.0.0.1:8190"},
    }
    assert found["firewall"] == []


def test_settings_of_the_operator_win():
    found = said('settings = { inbox.duplicates = "always"; state.path = "/data/state"; };')
    assert found["settings"]["inbox"] == {"path": "/srv/zoetrope/inbox", "duplicates": "always"}
    assert found["settings"]["state"] == {"path": "/data/state"}


def test_working_hours_and_idleness_are_settings_of_the_service():
    found = said('hours = "22:00-07:00"; freeAfterMinutes = null;')
    assert found["settings"]["jobs"] == {"hours": "22:00-07:00", "free_after_minutes": 0}


def test_how_long_things_are_kept_is_a_setting_like_any_other():
    found = said("settings.keep = { work_days = 30; outbox_days = 365; };")
    assert found["settings"]["keep"] == {"work_days": 30, "outbox_days": 365}


def test_the_inbox_is_for_the_group_and_the_engine_reads_neither():
    found = said('inbox.group = "family";')
    lines = found["tmpfiles"]["10-zoetrope"].splitlines()
    assert rule("d", "/srv/zoetrope/inbox", "3770", "zoetrope", "family") in lines
    assert rule("d", "/srv/zoetrope/inbox/.zoetrope", "2700", "zoetrope", "family") in lines
    assert rule("d", "/srv/zoetrope/outbox", "2770", "zoetrope", "family") in lines
    assert found["users"]["users"]["zoetrope"]["extraGroups"] == ["family"]
    assert "family" in found["users"]["groups"]
    assert found["users"]["users"]["zoetrope-engine"]["extraGroups"] == []
    assert found["users"]["groups"]["family"]["members"] == ["zoetrope"]


def test_the_share_has_a_group_of_its_own_and_keeps_the_members_of_an_older_host():
    users = """
      users.users = {
        ada.extraGroups = [ "zoetrope" "video" ];
        ben.extraGroups = [ "zoetrope" ];
        cleo.group = "zoetrope";
        dora = { name = "dorothy"; extraGroups = [ "zoetrope" ]; };
        ed = { name = "edgar"; group = "zoetrope"; };
        away = { enable = false; group = "zoetrope"; };
        gone = { enable = false; extraGroups = [ "zoetrope" ]; };
        other.group = "users";
      };
      users.groups.zoetrope.members = [ "ben" "finn" ];
      users.groups.zoetrope-share.members = [ "gus" ];
    """
    found = said("", users)
    lines = found["tmpfiles"]["10-zoetrope"].splitlines()
    assert rule("d", "/srv/zoetrope/inbox", "3770", "zoetrope", "zoetrope-share") in lines
    members = found["users"]["groups"]["zoetrope-share"]["members"]
    assert sorted(members) == [
        *("ada", "ben", "cleo", "dorothy", "edgar", "finn", "gus"),
        "zoetrope",  # by its own extraGroups
    ]
    assert found["users"]["users"]["zoetrope"]["extraGroups"] == ["zoetrope-share"]
    unit = found["units"]["zoetrope.service"].splitlines()
    assert {"UMask=0007", "StateDirectoryMode=0700"} <= set(unit)


def test_a_host_that_names_the_service_s_own_group_for_the_share_goes_on():
    found = said('inbox.group = "zoetrope";')
    lines = found["tmpfiles"]["10-zoetrope"].splitlines()
    assert rule("d", "/srv/zoetrope/inbox", "3770", "zoetrope", "zoetrope") in lines
    assert "zoetrope-share" not in found["users"]["groups"]


def test_the_state_folder_is_walked_through_where_a_folder_that_others_use_lies_in_it():
    below = "/var/lib/zoetrope"
    for text in (
        f'inbox.path = "{below}/in";',
        f'outbox.path = "{below}/out";',
        f'models.directory = "{below}/models";',
        f'models.extraDirectories = [ "{below}/more" ];',
        f'settings.outbox.path = "{below}/out";',
    ):
        found = said(text)
        assert "StateDirectoryMode=0711" in found["units"]["zoetrope.service"].splitlines(), text
        # Were the folder root's, systemd would give all that lies in it to the service's own group.
        line = rule("d", f"{below}", "0711", "zoetrope", "zoetrope")
        assert line in found["tmpfiles"]["10-zoetrope"].splitlines(), text
    for text in ("", f'outbox.path = "{below}-videos";'):
        found = said(text)
        assert "StateDirectoryMode=0700" in found["units"]["zoetrope.service"].splitlines(), text
        assert f"'d' '{below}' " not in found["tmpfiles"]["10-zoetrope"]


def test_pictures_that_are_copied_need_no_folder_of_claims():
    found = said('settings.inbox.claim = "copy";')
    assert ".zoetrope" not in found["tmpfiles"]["10-zoetrope"]


def test_an_inbox_in_a_home_is_the_only_thing_seen_of_it():
    found = said('inbox.path = "/home/ada/in";')
    unit = found["units"]["zoetrope.service"].splitlines()
    assert "ProtectHome=tmpfs" in unit
    assert "BindPaths=-/home/ada/in" in unit
    assert not any("ReadWritePaths=" in line and "ada" in line for line in unit)
    assert "ReadWritePaths=-/srv/zoetrope/outbox" in unit
    # systemd-tmpfiles refuses folders below one that is not root's.
    assert "/home/ada" not in found["tmpfiles"]["10-zoetrope"]


def test_a_token_goes_through_systemd():
    found = said('listen = "0.0.0.0:8190"; openFirewall = true; tokenFile = "/run/secrets/token";')
    assert found["failed"] == []
    assert found["settings"]["web"]["token_file"] == "/run/credentials/zoetrope.service/token"
    unit = found["units"]["zoetrope.service"].splitlines()
    assert "LoadCredential=token:/run/secrets/token" in unit
    assert "IPAddressDeny=any" not in unit
    assert found["firewall"] == [8190]


def test_an_engine_s_address_with_a_password_stays_out_of_the_store():
    found = said('tokenFile = "/run/secrets/token"; engineUrlFiles.far = "/run/secrets/far";')
    assert found["failed"] == []
    local, far = found["settings"]["engines"]
    assert local["url"] == "http://127.0.0.1:8188"
    assert far == {"name": "far", "url_file": "/run/credentials/zoetrope.service/engine-far"}
    unit = found["units"]["zoetrope.service"].splitlines()
    assert [line for line in unit if line.startswith("LoadCredential=")] == [
        "LoadCredential=token:/run/secrets/token",
        "LoadCredential=engine-far:/run/secrets/far",
    ]
    # It may be on another host.
    assert "IPAddressDeny=any" not in unit


def test_on_loopback_the_service_talks_to_this_host_alone():
    unit = said("")["units"]["zoetrope.service"].splitlines()
    assert "IPAddressDeny=any" in unit
    assert "IPAddressAllow=localhost" in unit


def test_an_engine_on_another_host_can_be_reached():
    def unit(url):
        return said(f'settings.engines = [ {{ name = "far"; url = "{url}"; }} ];')["units"][
            "zoetrope.service"
        ]

    assert "IPAddressDeny=any" not in unit("http://192.168.1.5:8188")
    assert "IPAddressDeny=any" not in unit("http://127.0.0.1.example:8188")
    for near in ("http://127.0.0.1:8188", "http://localhost:8188", "http://[::1]:8188/"):
        assert "IPAddressDeny=any" in unit(near)


def test_a_recipe_of_ones_own_lies_in_etc():
    found = said('extraRecipes.tiny = ./tests/recipes/tiny; recipes = [ "tiny" ];')
    assert found["failed"] == []
    assert found["etc"]["zoetrope/recipes/tiny"].endswith("tiny")
    assert found["settings"]["recipes"]["default"] == "tiny"


def test_models_never_stand_in_the_way_of_a_switch():
    units = said("")["units"]
    assert "[Install]" not in units["zoetrope-models.service"]
    assert "X-RestartIfChanged=false" in units["zoetrope-models.service"]
    assert "WantedBy=timers.target" in units["zoetrope-models.timer"]
    for name, text in units.items():
        needs = [line for line in text.splitlines() if line.startswith(("Wants=", "Requires="))]
        assert not any("zoetrope-models" in line for line in needs), name
    assert "zoetrope-models.timer" not in said("models.fetch = false;")["units"]


def test_models_that_somebody_has_already_are_found():
    found = said('models.extraDirectories = [ "/data/models" "/srv/more" ];')
    unit = found["units"]["zoetrope-comfyui@.service"]
    assert 'Environment="ZOETROPE_MODELS=/var/lib/zoetrope-models:/data/models:/srv/more"' in unit
    assert "--extra-model-paths-config /nix/store/" in unit
    assert found["settings"]["models"]["folders"] == ["/data/models", "/srv/more"]


def test_no_folder_of_comfyui_s_own_is_made_of_links():
    """From 0.33 on it rejects pictures and prefixes whose path leads out of its folders."""
    for text in ("", 'comfyui.dataDir = "/srv/comfy"; gpus = { a.port = 1; b.port = 2; };'):
        rules = [
            line.split("'")[1:4:2]
            for line in said(text)["tmpfiles"]["10-zoetrope"].splitlines()
            if "/comfy/" in line or "/zoetrope-engine/" in line
        ]
        assert rules, text
        assert not [path for kind, path in rules if kind.startswith("L")], text


def test_models_in_a_home_are_the_only_thing_that_is_seen_of_it():
    found = said('models.extraDirectories = [ "/home/ada/models" "/srv/more" ];')
    assert found["failed"] == []
    for name in ("zoetrope.service", "zoetrope-models.service", "zoetrope-comfyui@.service"):
        unit = found["units"][name].splitlines()
        assert [line for line in unit if line.startswith(("ProtectHome=", "Bind"))] == [
            # One that is not there, as in a home that is not unlocked yet, keeps no unit from its start.
            "BindReadOnlyPaths=-/home/ada/models",
            "ProtectHome=tmpfs",
        ], name


def test_comfyui_can_tell_which_of_rifes_files_are_there():
    (file,) = build("examples/minimal.nix", part="searchPaths")
    own = json.loads(Path(file).read_text())["own"]
    assert own == {"base_path": "${ZOETROPE_BASE}/models", "rife": "rife"}


def test_own_models_are_fetched_by_the_settings():
    entry = f'url = "https://m.example.org/g"; sha256 = "{"0" * 64}"; folder = "loras"'
    found = said(f'models.files."grain.safetensors" = {{ {entry}; bytes = 12; }};')
    assert found["settings"]["models"]["extra"] == [
        {
            "file": "grain.safetensors",
            "folder": "loras",
            "url": "https://m.example.org/g",
            "sha256": "0" * 64,
            "bytes": 12,
        }
    ]


def test_a_small_model_may_live_in_the_store():
    found = said(
        'models.files."grain.safetensors" = {'
        f' url = "https://models.example.org/g"; sha256 = "{"0" * 64}"; folder = "loras"; store = true; }};'
    )
    (line,) = [each for each in found["tmpfiles"]["10-zoetrope"].splitlines() if "L+" in each]
    assert line.startswith("'L+' '/var/lib/zoetrope-models/loras/grain.safetensors' ")
    assert "/nix/store/" in line


def test_the_rule_for_polkit_names_units_and_verb():
    rule = said('gpus = { "0" = { }; "1" = { }; };')["polkit"]
    assert '["zoetrope-comfyui@0.service","zoetrope-comfyui@1.service"]' in rule
    assert 'action.lookup("verb") === "restart"' in rule
    assert 'subject.user === "zoetrope"' in rule


@pytest.mark.parametrize(
    ("text", "option"),
    [
        ("inbx = 1;", "services.zoetrope.inbx"),
        ('gpus."0".memmory = 24;', "services.zoetrope.gpus.0.memmory"),
        (
            'gpu.profiles.baseline.memoryClockMhz = 1; gpus."0".profile = "baseline";',
            "memoryClockMhz",
        ),
    ],
)
def test_an_unknown_option_is_named(text, option):
    with pytest.raises(NixError, match="does not exist") as caught:
        said(text)
    assert option in str(caught.value)


@pytest.mark.parametrize(
    ("text", "option"),
    [
        ("inbox.path = 1;", "inbox.path"),
        ('inbox.mode = "777x";', "inbox.mode"),
        ('listen = "8190";', "listen"),
        ("gpus = [ ];", "gpus"),
        ('gpus."0".port = 70000;', "gpus.0.port"),
        ('gpus."0".uuid = "0";', "gpus.0.uuid"),
        ('attention = "fast";', "attention"),
        ("memory = 12;", "memory"),
        ('tokenFile = "/nix/store/0123456789abcdfghijklmnpqrsvwxyz-secret";', "tokenFile"),
        (
            'engineUrlFiles.far = "/nix/store/0123456789abcdfghijklmnpqrsvwxyz-far";',
            "engineUrlFiles",
        ),
        ('models.files.a = { url = "u"; sha256 = "short"; folder = "loras"; };', "sha256"),
        ("comfyui.environment.X = 1;", "comfyui.environment.X"),
        ('gpu.profiles.a.powerLimitW = "450"; gpus."0".profile = "a";', "powerLimitW"),
    ],
)
def test_a_wrong_type_is_named(text, option):
    with pytest.raises(NixError, match="is not of type") as caught:
        said(text)
    assert option in str(caught.value)


def test_profiles_are_for_the_gpus_that_name_them():
    text = """
      gpu.profiles = {
        a.maxCoreMhz = 2000;
        b = { card = "RTX 5090"; powerLimitW = 450; };
        c.maxCoreMhz = 1000;
      };
      gpus."0" = { uuid = "GPU-00000000"; profile = "a"; idleProfile = "c"; };
      gpus."1" = { uuid = "GPU-11111111"; idleProfile = "c"; };
    """
    found = said(text)["settings"]
    assert found["gpu"]["profiles"] == {
        "a": {"cards": ["GPU-00000000"], "max_core_mhz": 2000},
        # Nobody's by default, to be applied by hand.
        "b": {"cards": ["*RTX 5090*"], "power_limit_w": 450},
        "c": {"cards": ["GPU-00000000", "GPU-11111111"], "max_core_mhz": 1000},
    }
    assert (found["gpu"]["working"], found["gpu"]["idle"]) == (["a"], ["c"])
    assert [engine["gpu"] for engine in found["engines"]] == ["GPU-00000000", "GPU-11111111"]


def test_a_profile_of_a_card_without_uuid_is_for_its_kind():
    found = said('gpu.profiles.a.maxCoreMhz = 2000; gpus."0".profile = "a";')["settings"]
    assert found["gpu"]["profiles"]["a"]["cards"] == ["*"]
    assert "gpu" not in found["engines"][0]


def test_without_a_profile_nobody_can_set_clocks():
    units = said("")["units"]
    assert not {name for name in units if name.startswith("zoetrope-gpu.")}
    tuned = said('gpu.profiles.a.maxCoreMhz = 2000; gpus."0".profile = "a";')["units"]
    for line in (
        "ListenStream=/run/zoetrope-gpu.sock",
        "SocketMode=0660",
        "SocketGroup=zoetrope-gpu",
    ):
        assert line in tuned["zoetrope-gpu.socket"]
    assert "ExecStopPost=" in tuned["zoetrope-gpu.service"]
    assert "--restore" in tuned["zoetrope-gpu.service"]
