# A whole job on a real NixOS, with the simulated engine instead of ComfyUI: inbox to outbox, as another
# user of the share's group, with the units that a host gets. Needs nixpkgs; see docs/nixos.md.
{
  self,
  pkgs,
  packages,
}:
let
  inherit (pkgs) lib;
  # Speaks ComfyUI's protocol, needs no GPU, and takes the place of the runtime under the real unit.
  simulated =
    pkgs.writeShellScriptBin "comfyui" ''
      exec ${packages.zoetrope}/bin/zoetrope simulate --port "$ZOETROPE_PORT" --home "$ZOETROPE_BASE"
    ''
    // {
      python = lib.getExe pkgs.python3;
      source = "bin";
      environment = { };
    };
  unready = pkgs.writeShellScriptBin "zoetrope-pre-start" ''
    if [ -e /etc/zoetrope-fails ]; then
      echo "Not in $ZOETROPE_MODELS, or not whole: diffusion_models/imitation.safetensors." >&2
      exit 5
    fi
  '';
in
pkgs.testers.runNixOSTest {
  name = "zoetrope";

  nodes.machine = {
    imports = [ self.nixosModules.default ];
    virtualisation.memorySize = 3072;
    users.users.ada = {
      isNormalUser = true;
      extraGroups = [ "pictures" ];
    };
    services.zoetrope = {
      enable = true;
      package = packages.zoetrope;
      preStart = unready;
      comfyui.package = simulated;
      nodePacks = { };
      gpus."0".cpu = true;
      inbox.group = "pictures";
      models.fetch = false;
      settings.jobs.review = false;
    };
  };

  testScript = ''
    import json

    machine.wait_for_unit("zoetrope.service")
    machine.wait_for_unit("zoetrope-engines.service")
    machine.wait_for_unit("zoetrope-comfyui@0.service")
    machine.wait_until_succeeds("curl --fail http://127.0.0.1:8190/readyz")
    machine.succeed("stat --format=%a:%G /srv/zoetrope/inbox | grep 3770:pictures")
    machine.succeed("stat --format=%a:%U /srv/zoetrope/inbox/.zoetrope | grep 2700:zoetrope")
    machine.fail("su ada --command 'rmdir /srv/zoetrope/inbox/.zoetrope'")

    with subtest("a picture of another user of the group becomes a video"):
        machine.succeed("${pkgs.imagemagick}/bin/magick -size 320x240 gradient:red-blue /tmp/cat.png")
        machine.succeed("echo frames = 9 > /tmp/cat.toml")
        machine.succeed("install -o ada -g pictures -m 660 /tmp/cat.toml /tmp/cat.png /srv/zoetrope/inbox/")
        machine.wait_until_succeeds("ls /srv/zoetrope/outbox/cat-*/cat.mp4", timeout=600)
        receipt = json.loads(machine.succeed("cat /srv/zoetrope/outbox/cat-*/receipt.json"))
        assert receipt["plan"]["frames"] == 9, receipt["plan"]

    with subtest("the status is a sentence"):
        machine.succeed("systemctl show --property=StatusText zoetrope.service | grep -E 'StatusText=.+'")

    with subtest("a reload keeps the process"):
        before = machine.succeed("systemctl show --property=MainPID --value zoetrope.service")
        machine.succeed("systemctl reload zoetrope.service")
        assert before == machine.succeed("systemctl show --property=MainPID --value zoetrope.service")

    with subtest("the service may restart its engine, and nothing else"):
        machine.succeed("runuser -u zoetrope -- systemctl restart zoetrope-comfyui@0.service")
        machine.fail("runuser -u zoetrope -- systemctl stop zoetrope-comfyui@0.service")
        machine.fail("runuser -u zoetrope -- systemctl restart sshd.service systemd-journald.service")

    with subtest("the engine's user reads neither ledger nor inbox"):
        machine.fail("runuser -u zoetrope-engine -- ls /var/lib/zoetrope")
        machine.fail("runuser -u zoetrope-engine -- ls /srv/zoetrope/inbox")

    with subtest("killed in the middle, it goes on"):
        machine.succeed("install -o ada -g pictures -m 660 /tmp/cat.png /srv/zoetrope/inbox/dog.png")
        machine.wait_until_succeeds("zoetrope jobs --json | grep dog.png")
        machine.succeed("systemctl kill --signal=KILL zoetrope.service")
        machine.wait_until_succeeds("ls /srv/zoetrope/outbox/dog-*/dog.mp4", timeout=600)

    with subtest("a failing pre-start names the model, and the page stays"):
        machine.succeed("touch /etc/zoetrope-fails; systemctl restart --no-block zoetrope-comfyui@0.service")
        machine.wait_until_succeeds("journalctl -u zoetrope-comfyui@0 | grep imitation.safetensors")
        machine.succeed("curl --fail http://127.0.0.1:8190/healthz")
  '';
}
