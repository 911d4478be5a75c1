# The root helper: only it sets clocks, by the names of profiles in settings that only root can write.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.zoetrope;
  helper = "${lib.getExe cfg.package} gpu-helper --config /etc/zoetrope/zoetrope.toml --group zoetrope-gpu";
in
{
  # Without a profile there is nothing to set, and no helper.
  config = lib.mkIf (cfg.enable && cfg.gpu.profiles != { }) {
    # A separate group: members of the inbox group cannot set clocks.
    users.groups.zoetrope-gpu = { };
    systemd.services.zoetrope.serviceConfig.SupplementaryGroups = [ "zoetrope-gpu" ];

    systemd.sockets.zoetrope-gpu = {
      description = "zoetrope: socket of the GPU helper";
      wantedBy = [ "sockets.target" ];
      listenStreams = [ "/run/zoetrope-gpu.sock" ];
      socketConfig = {
        SocketMode = "0660";
        SocketGroup = "zoetrope-gpu";
        RemoveOnStop = true;
      };
    };

    systemd.services.zoetrope-gpu = {
      description = "zoetrope: sets GPU clocks";
      requires = [ "zoetrope-gpu.socket" ];
      after = [ "zoetrope-gpu.socket" ];
      # Changed profiles are unproven again; the GPUs are reset in between. Other settings are none of its business.
      restartTriggers = [ (pkgs.writeText "zoetrope-gpu-settings" (builtins.toJSON cfg.settings.gpu)) ];
      environment = {
        PYTHONUNBUFFERED = "1";
        LD_LIBRARY_PATH = "/run/opengl-driver/lib";
      };

      serviceConfig = import ./hardening.nix // {
        Type = "notify";
        NotifyAccess = "main";
        ExecStart = helper;
        # However it ended: a GPU that it left tuned is reset to stock.
        ExecStopPost = "${helper} --restore";
        WatchdogSec = 60;
        Restart = "on-failure";
        RestartSec = 1;
        TimeoutStopSec = 20;
        Slice = "system-zoetrope.slice";

        UMask = "0077";
        StateDirectory = "zoetrope-gpu";
        StateDirectoryMode = "0700";
        # Which profile is in force, for pre-start.sh.
        RuntimeDirectory = "zoetrope-gpu";
        RuntimeDirectoryMode = "0755";

        # Root, because the driver requires it; of root's capabilities only the one that it checks.
        CapabilityBoundingSet = "CAP_SYS_ADMIN";
        DevicePolicy = "closed";
        DeviceAllow = import ./devices.nix;
        ProtectHome = true;
        PrivateNetwork = true;
        MemoryDenyWriteExecute = true;
        RestrictAddressFamilies = [ "AF_UNIX" ];
        IPAddressDeny = "any";
        SystemCallFilter = [
          "@system-service"
          "~@privileged"
          "~@resources"
        ];
      };
    };
  };
}
