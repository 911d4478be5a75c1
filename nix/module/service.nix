# The service: its users, folders, unit, and the one thing that it may do to another unit.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.zoetrope;
  inherit (cfg) inbox outbox;
  folders = [
    (toString inbox.path)
    (toString outbox.path)
  ];
  # What others use: it may lie in the state folder, which is then walked through.
  state = "/var/lib/zoetrope";
  inherit (cfg) settings;
  shared = map toString (
    [
      settings.inbox.path
      settings.outbox.path
      settings.models.path
    ]
    ++ settings.models.folders
  );
  walked = lib.any (lib.hasPrefix "${state}/") shared;
  stateMode = if walked then "0711" else "0700";
  # NixOS lists a group's members without those whose first group it is.
  firstOf = lib.filterAttrs (
    _: user: user.group == "zoetrope" && user.enable or true
  ) config.users.users;
  moves = (cfg.settings.inbox.claim or "move") == "move";
  homes = import ./homes.nix { inherit lib; };
  home = homes.hides;
  address = builtins.match "\\[?(.*[^]])]?:([0-9]+)" cfg.listen;
  host = lib.elemAt address 0;
  port = lib.toInt (lib.elemAt address 1);
  loopback = lib.hasPrefix "127." host || host == "::1" || host == "localhost";
  # An engine whose address is not known here may be on any host.
  near = engine: builtins.match "https?://(127[.][0-9.]+|localhost|\\[::1])([:/].*)?" (engine.url or "") != null;
  alone = loopback && lib.all near settings.engines;
  # What service/zoetrope/reload.py calls FIXED.
  fixed = pkgs.writeText "zoetrope-fixed-settings" (
    builtins.toJSON {
      web = lib.filterAttrs (key: _: lib.elem key [ "listen" "token_file" "allowed_hosts" ]) settings.web;
      state = settings.state.path;
      outbox = settings.outbox.path;
    }
  );
  units = map (name: "zoetrope-comfyui@${name}.service") (lib.attrNames cfg.gpus);
in
{
  config = lib.mkIf cfg.enable {
    # Two users: no node pack can read the ledger or the token. They share HTTP, and the models read-only.
    users.users = {
      zoetrope = {
        isSystemUser = true;
        group = "zoetrope";
        extraGroups = [ inbox.group ];
        home = state;
      };
      zoetrope-engine = {
        isSystemUser = true;
        group = "zoetrope-engine";
        home = "/var/lib/zoetrope-engine";
      };
    };
    users.groups = {
      zoetrope = { };
      zoetrope-engine = { };
    }
    // lib.optionalAttrs (inbox.group != "zoetrope") {
      ${inbox.group} = lib.optionalAttrs (inbox.group == "zoetrope-share") {
        # The default was the service's own group, until members were kept out of its state.
        members = lib.filter (name: name != "zoetrope" && name != "zoetrope-engine") (
          lib.unique (config.users.groups.zoetrope.members ++ lib.mapAttrsToList (_: user: user.name) firstOf)
        );
      };
    };

    systemd.tmpfiles.settings."10-zoetrope" = lib.mkMerge (
      map
        (folder: {
          ${toString folder.path}.d = {
            user = "zoetrope";
            inherit (inbox) group;
            inherit (folder) mode;
          };
        })
        # The owner creates a folder in a home: systemd-tmpfiles rightly does not.
        (
          lib.filter (folder: !(home (toString folder.path))) (
            [ inbox ]
            ++ lib.optional (outbox.path != inbox.path) outbox
            # Claimed pictures, made before any member can make it. The service itself could not keep the setgid bit.
            ++ lib.optional moves {
              path = "${toString inbox.path}/.zoetrope";
              mode = "2700";
            }
          )
        )
      # Made as root's on the way to such a folder, it would get the service's own group at the unit's start, with all in it.
      ++ lib.optional walked {
        ${state}.d = {
          user = "zoetrope";
          group = "zoetrope";
          mode = stateMode;
        };
      }
    );

    environment.systemPackages = [ cfg.package ];
    networking.firewall.allowedTCPPorts = lib.mkIf cfg.openFirewall [ port ];

    systemd.slices.system-zoetrope = {
      description = "zoetrope: pictures in, checked videos out";
    };

    systemd.services.zoetrope = {
      description = "zoetrope: pictures in, checked videos out";
      wantedBy = [ "multi-user.target" ];
      # Not after ComfyUI: the page is up at once and shows the state of the engines.
      after = [ "network.target" ];
      # A share must be mounted before its folder is used; an empty mount point is not an inbox.
      unitConfig.RequiresMountsFor = folders;
      # Settings take effect at once: the service reads them again, and is restarted for what it cannot change.
      reloadTriggers = [ cfg.settingsFile ];
      restartTriggers = [ fixed ];
      environment = {
        PYTHONUNBUFFERED = "1";
        # The driver's libraries: the GPUs are read through NVML.
        LD_LIBRARY_PATH = "/run/opengl-driver/lib";
      };

      serviceConfig = import ./hardening.nix // {
        Type = "notify";
        NotifyAccess = "main";
        ExecStart = "${lib.getExe cfg.package} serve --config /etc/zoetrope/zoetrope.toml";
        ExecReload = "${pkgs.coreutils}/bin/kill -HUP $MAINPID";
        WatchdogSec = 30;
        Restart = "always";
        RestartSec = 2;
        TimeoutStopSec = 20;
        LimitNOFILE = 65536;
        OOMScoreAdjust = -100;
        Slice = "system-zoetrope.slice";

        User = "zoetrope";
        Group = "zoetrope";
        SupplementaryGroups = [ inbox.group ];
        UMask = "0007";
        StateDirectory = "zoetrope";
        # What it asks of the engines' start: their user reads it, and writes nothing there. An engine may be
        # restarted while the service is not there.
        RuntimeDirectory = "zoetrope-flags";
        RuntimeDirectoryMode = "0755";
        RuntimeDirectoryPreserve = true;
        # The umask is that of the share, so the folder is what keeps its members out; where they walk through it, each
        # start of the service closes what else is in it.
        StateDirectoryMode = stateMode;
        LoadCredential = lib.mkIf (cfg.tokenFile != null || cfg.engineUrlFiles != { }) (
          lib.optional (cfg.tokenFile != null) "token:${cfg.tokenFile}"
          ++ lib.mapAttrsToList (name: file: "engine-${name}:${file}") cfg.engineUrlFiles
        );

        # A missing folder is reported on the page and in health; the unit does not fail.
        ReadWritePaths = map (path: "-${path}") (lib.filter (path: !(home path)) folders);
        # Only an inbox, an outbox or models in a home are visible; the rest of all homes is not.
        ProtectHome = if lib.any home (folders ++ cfg.models.extraDirectories) then "tmpfs" else true;
        BindPaths = map (path: "-${path}") (lib.filter home folders);
        inherit (homes.readable cfg.models.extraDirectories) BindReadOnlyPaths;

        # It reads the GPUs; only the helper sets anything.
        DevicePolicy = "closed";
        DeviceAllow = import ./devices.nix;
        MemoryDenyWriteExecute = true;
        RestrictAddressFamilies = [
          "AF_UNIX"
          "AF_INET"
          "AF_INET6"
          # The kernel says which user of this host is at the other end of a connection.
          "AF_NETLINK"
        ];
        # The page may serve a network; the service itself only connects to ComfyUI on this host.
        IPAddressDeny = lib.mkIf alone "any";
        IPAddressAllow = lib.mkIf alone "localhost";
        # Its workers limit their own memory and lower their priority (@resources).
        SystemCallFilter = [
          "@system-service"
          "~@privileged"
        ];
      };
    };

    # The last fallback restarts the engine: that verb, for those units, and nothing else.
    security.polkit.enable = true;
    security.polkit.extraConfig = ''
      polkit.addRule(function (action, subject) {
        var units = ${builtins.toJSON units};
        if (
          action.id === "org.freedesktop.systemd1.manage-units" &&
          subject.user === "zoetrope" &&
          action.lookup("verb") === "restart" &&
          units.indexOf(action.lookup("unit")) >= 0
        ) {
          return polkit.Result.YES;
        }
      });
    '';
  };
}
