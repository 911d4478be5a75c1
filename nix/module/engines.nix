# One ComfyUI for each GPU: a template unit with all that they share, and a drop-in with the settings of each GPU.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.zoetrope;
  inherit (cfg) comfyui;
  package = comfyui.finalPackage;
  # Where systemd makes and keeps it, unless it is elsewhere.
  state = "/var/lib/zoetrope-engine";
  data = toString comfyui.dataDir;
  moved = data != state;
  base = if moved then "${data}/%i" else "%S/zoetrope-engine/%i";
  # What an engine's process is made of, in short; it changes with everything that a restart would bring.
  configuration =
    name:
    builtins.substring 0 16 (
      builtins.hashString "sha256" (
        builtins.unsafeDiscardStringContext (
          builtins.toJSON (
            map (unit: { inherit (unit) environment serviceConfig; }) [
              config.systemd.services."zoetrope-comfyui@"
              config.systemd.services."zoetrope-comfyui@${name}"
            ]
          )
        )
      )
    );
  homes = import ./homes.nix { inherit lib; };
  ports = lib.mapAttrsToList (_: gpu: gpu.port) cfg.gpus;

  packs =
    lib.mapAttrs' (name: pack: lib.nameValuePair (pack.folder or name) "${pack}") cfg.nodePacks
    // lib.mapAttrs (_: pack: "${pack}") cfg.extraNodePacks;
  packList = pkgs.writeText "zoetrope-node-packs" (
    lib.concatStrings (lib.mapAttrsToList (name: path: "${name}=${path}\n") packs)
  );
in
{
  config = lib.mkIf cfg.enable {
    networking.firewall.allowedTCPPorts = lib.mkIf comfyui.openFirewall ports;

    # ComfyUI deletes nothing. Files of our jobs were fetched long ago, or are uploaded again; users' own files
    # are elsewhere in these folders.
    systemd.tmpfiles.settings."10-zoetrope" =
      lib.genAttrs (map (folder: "${data}/*/${folder}/zoetrope") [
        "input"
        "output"
        "temp"
      ]) (_: { e.age = "7d"; })
      // {
        "/run/zoetrope-args".d = {
          user = "root";
          group = "root";
          mode = "0755";
        };
      }
      // lib.mapAttrs' (
        name: _:
        lib.nameValuePair "/run/zoetrope-args/${name}.env" {
          f = {
            user = "zoetrope-engine";
            group = "zoetrope-engine";
            mode = "0644";
          };
        }
      ) cfg.gpus
      // lib.optionalAttrs moved (
        lib.genAttrs ([ data ] ++ map (name: "${data}/${name}") (lib.attrNames cfg.gpus)) (_: {
          d = {
            user = "zoetrope-engine";
            group = "zoetrope-engine";
            mode = "0750";
          };
        })
      );

    systemd.services = {
      # Starts and restarts the engines, at boot and after a switch, and waits for none: the test of the kernels takes
      # minutes, and a driver may be newer than the kernel's until the next boot.
      zoetrope-engines = {
        description = "zoetrope: starts ComfyUI as it is configured";
        wantedBy = [ "multi-user.target" ];
        # Where a switch puts the new driver's libraries.
        after = [
          "systemd-tmpfiles-resetup.service"
          # It first says again which flags it asked for: /run is empty after a boot.
          "zoetrope.service"
        ];
        environment = {
          ZOETROPE_PRE_START = lib.getExe cfg.preStart;
          # Not read: a driver that changed runs this again.
          ZOETROPE_DRIVER_LIBRARIES = "${
            ((config.systemd.tmpfiles.settings.graphics-driver or { })."/run/opengl-driver" or { })."L+".argument or ""
          }";
        };
        serviceConfig = import ./hardening.nix // {
          Type = "oneshot";
          RemainAfterExit = true;
          ExecStart = lib.concatStringsSep " " (
            [ (lib.getExe (pkgs.writeShellScriptBin "zoetrope-engines" (builtins.readFile ./engines.sh))) ]
            ++ lib.mapAttrsToList (name: _: "${name}=${configuration name}") cfg.gpus
          );
          # What each engine was started with, and what waits for a reboot; it outlasts the restart of this unit.
          RuntimeDirectory = "zoetrope-engines";
          RuntimeDirectoryMode = "0755";
          RuntimeDirectoryPreserve = true;
          UMask = "0022";
          Slice = "system-zoetrope.slice";
          ProtectHome = true;
          PrivateDevices = true;
          DevicePolicy = "closed";
          PrivateNetwork = true;
          MemoryDenyWriteExecute = true;
          RestrictAddressFamilies = [ "AF_UNIX" ];
          IPAddressDeny = "any";
          SystemCallFilter = [
            "@system-service"
            "~@privileged @resources"
          ];
        };
      };

      "zoetrope-comfyui@" = {
        description = "ComfyUI on GPU %i for zoetrope";
        documentation = [ "https://github.com/Comfy-Org/ComfyUI" ];
        after = [ "network.target" ];
        # zoetrope-engines does that.
        restartIfChanged = false;
        # Room for the fallbacks, which restart it on purpose; a crash loop still ends in a failed unit.
        unitConfig = lib.optionalAttrs moved { RequiresMountsFor = data; } // {
          StartLimitIntervalSec = 1800;
          StartLimitBurst = 10;
        };

        environment = package.environment // {
          PYTHONUNBUFFERED = "1";
          HOME = base;
          XDG_CACHE_HOME = "%C/zoetrope-engine/%i";
          # Kernels are compiled at run time and loaded from here, so it must not be mounted noexec.
          TRITON_CACHE_DIR = "%C/zoetrope-engine/%i/triton";
          TORCHINDUCTOR_CACHE_DIR = "%C/zoetrope-engine/%i/inductor";
          TORCH_HOME = "%C/zoetrope-engine/%i/torch";
          CUDA_CACHE_PATH = "%C/zoetrope-engine/%i/cuda";
          MPLCONFIGDIR = "%C/zoetrope-engine/%i/matplotlib";
          NUMBA_CACHE_DIR = "%C/zoetrope-engine/%i/numba";
          # Nothing is downloaded while jobs run: a missing model is reported before the start.
          HF_HUB_OFFLINE = "1";
          TRANSFORMERS_OFFLINE = "1";
          DIFFUSERS_OFFLINE = "1";
          HF_DATASETS_OFFLINE = "1";
          HF_HUB_DISABLE_TELEMETRY = "1";
          DO_NOT_TRACK = "1";

          ZOETROPE_INSTANCE = "%i";
          ZOETROPE_COMFYUI = "${package}/${package.source}";
          ZOETROPE_PYTHON = "${package.python}";
          ZOETROPE_BASE = base;
          ZOETROPE_CACHE = "%C/zoetrope-engine/%i";
          ZOETROPE_RUN = "%t/zoetrope-engine";
          ZOETROPE_ARGS_FILE = "/run/zoetrope-args/%i.env";
          # Nothing that a node left in the user's own folders is imported.
          PYTHONNOUSERSITE = "1";
          # The service's, which asks there for flags; pre-start gives only those that it knows.
          ZOETROPE_FLAG_REQUEST = "%t/zoetrope-flags/%i.json";
          ZOETROPE_FLAG_OWNER = "zoetrope";
          ZOETROPE_NODE_PACKS = "${packList}";
          ZOETROPE_MODELS = lib.concatMapStringsSep ":" toString (
            [ cfg.models.directory ] ++ cfg.models.extraDirectories
          );
          ZOETROPE_MODEL_LIST = "${cfg.models.list}";
          ZOETROPE_PREVIEWS = cfg.previews;
          ZOETROPE_EXTRA_ARGS = lib.concatStringsSep " " comfyui.extraArgs;
        }
        // comfyui.environment;

        serviceConfig = import ./hardening.nix // homes.readable cfg.models.extraDirectories // {
          Type = "exec";
          ExecStartPre = lib.getExe cfg.preStart;
          # It notes an end by the kernel for lack of memory, which the service then answers with other flags.
          ExecStopPost = "-${lib.getExe cfg.preStart} --ended";
          # Written by pre-start; empty only until it has run for the first time. systemd reads it as root, so it lies where
          # ComfyUI's user can put nothing else in its place: a link would show a file of root's, a pipe would hold systemd.
          EnvironmentFile = "-/run/zoetrope-args/%i.env";
          ExecStart = lib.concatStringsSep " " (
            [
              (lib.getExe package)
              "--base-directory \${ZOETROPE_BASE}"
              "--database-url sqlite:///\${ZOETROPE_BASE}/user/comfyui.db"
              "--listen ${comfyui.listen}"
              "--port \${ZOETROPE_PORT}"
              "--disable-auto-launch"
              # Lossless frames from one stage to the next; the default limit is 100 MB.
              "--max-upload-size 2048"
            ]
            ++ [
              "--extra-model-paths-config ${cfg.models.searchPaths}"
              "$ZOETROPE_COMFYUI_ARGS"
            ]
          );
          WorkingDirectory = base;
          # Kernels are tested and models are checked before ComfyUI starts.
          TimeoutStartSec = "15min";
          TimeoutStopSec = 30;
          Restart = "always";
          RestartSec = 5;
          # One process holds the GPU: when the kernel kills a part of it, the rest is useless.
          OOMPolicy = "kill";
          # Where the host's memory runs out this is what goes, and neither the service, sshd nor a desktop: it
          # comes back by itself, and its jobs with it.
          OOMScoreAdjust = 900;
          MemoryMax = lib.mkDefault "90%";
          Slice = "system-zoetrope.slice";

          User = "zoetrope-engine";
          Group = "zoetrope-engine";
          UMask = "0027";
          CacheDirectory = "zoetrope-engine/%i";
          CacheDirectoryMode = "0750";
          # Shared by all instances and read by the health checks of the service, also after one has stopped.
          RuntimeDirectory = "zoetrope-engine";
          RuntimeDirectoryMode = "0755";
          RuntimeDirectoryPreserve = "yes";
          LimitNOFILE = 65536;
          LimitMEMLOCK = "infinity"; # pinned host memory

          DevicePolicy = "closed";
          DeviceAllow = import ./devices.nix;
          # No MemoryDenyWriteExecute: torch and Triton generate code and run it.
          RestrictAddressFamilies = [
            "AF_UNIX"
            "AF_INET"
            "AF_INET6"
          ];
          IPAddressDeny = "any";
          IPAddressAllow = [ "localhost" ] ++ comfyui.reachableFrom;
          SystemCallFilter = [
            "@system-service"
            "~@privileged"
          ];
        }
        // (
          if moved then
            {
              ReadWritePaths = [
                data
                "-/run/zoetrope-args/%i.env"
              ];
            }
          else
            {
              ReadWritePaths = [ "-/run/zoetrope-args/%i.env" ];
              StateDirectory = "zoetrope-engine/%i";
              StateDirectoryMode = "0750";
            }
        );
      };
    }
    // lib.mapAttrs' (
      name: gpu:
      lib.nameValuePair "zoetrope-comfyui@${name}" {
        overrideStrategy = "asDropin";
        environment = {
          CUDA_DEVICE_ORDER = "PCI_BUS_ID";
          CUDA_VISIBLE_DEVICES = if gpu.uuid == null then name else gpu.uuid;
          ZOETROPE_GPU = if gpu.uuid == null then "" else gpu.uuid;
          # Without a GPU that was expected it does not start: on the CPU a video takes days.
          ZOETROPE_DEVICE = if gpu.cpu then "cpu" else "gpu";
          ZOETROPE_PORT = toString gpu.port;
          ZOETROPE_ATTENTION = if gpu.attention == null then cfg.attention else gpu.attention;
          ZOETROPE_MEMORY = toString (if gpu.memory == null then cfg.memory else gpu.memory);
        };
      }
    ) cfg.gpus;
  };
}
