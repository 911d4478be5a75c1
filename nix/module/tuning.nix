# The root helper: the only one that sets clocks, by the names of profiles in root's own settings.
{
  config,
  lib,
  ...
}:
let
  cfg = config.services.zoetrope;
  helper = "${lib.getExe cfg.package} gpu-helper --config /etc/zoetrope/zoetrope.toml --group zoetrope-gpu";
in
{
  # Without a profile there is nothing to set, and nobody who could.
  config = lib.mkIf (cfg.enable && cfg.gpu.profiles != { }) {
    # A group of its own: whoever shares the inbox has no say in clocks.
    users.groups.zoetrope-gpu = { };
    systemd.services.zoetrope.serviceConfig.SupplementaryGroups = [ "zoetrope-gpu" ];

    systemd.sockets.zoetrope-gpu = {
      description = "zoetrope: who may have clocks set";
      wantedBy = [ "sockets.target" ];
      listenStreams = [ "/run/zoetrope-gpu.sock" ];
      socketConfig = {
        SocketMode = "0660";
        SocketGroup = "zoetrope-gpu";
        RemoveOnStop = true;
      };
    };

    systemd.services.zoetrope-gpu = {
      description = "zoetrope: sets the clocks of this host's cards";
      requires = [ "zoetrope-gpu.socket" ];
      after = [ "zoetrope-gpu.socket" ];
      # Other figures begin anew, and the cards are put back in between.
      restartTriggers = [ cfg.settingsFile ];
      environment = {
        PYTHONUNBUFFERED = "1";
        LD_LIBRARY_PATH = "/run/opengl-driver/lib";
      };

      serviceConfig = import ./hardening.nix // {
        Type = "notify";
        NotifyAccess = "main";
        ExecStart = helper;
        # However it ended: a card that it left tuned goes back to stock.
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

        # Root, because the driver lets nobody else set anything; of root's powers only the one it asks for.
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
