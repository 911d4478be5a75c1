# The models: tens of gigabytes that must never block a switch.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.services.zoetrope;
  inherit (cfg) models;
  state = "/var/lib/zoetrope-models";
  homes = import ./homes.nix { inherit lib; };
  shipped = lib.filter (name: lib.elem name cfg.shippedRecipes) models.recipes;
  own = lib.filter (name: cfg.extraRecipes ? ${name}) models.recipes;

  kept = lib.filterAttrs (_: model: model.store) models.files;
  fetched = lib.filterAttrs (_: model: !model.store) models.files;

  row = file: model: "${model.folder}\t${file}\t${if model.bytes == null then "-" else toString model.bytes}\tthis host\n";
  ownRows = pkgs.writeText "zoetrope-own-models.tsv" (
    lib.concatStrings (lib.mapAttrsToList row models.files)
  );
  # ComfyUI's model types, each a folder.
  kinds = [
    "checkpoints"
    "clip_vision"
    "controlnet"
    "diffusion_models"
    "embeddings"
    "frame_interpolation"
    "loras"
    "text_encoders"
    "unet"
    "upscale_models"
    "vae"
  ];
  section = number: path: {
    "models${toString number}" = {
      base_path = toString path;
    }
    // lib.genAttrs kinds (kind: kind)
    // {
      seedvr2 = "SEEDVR2";
      rife = "rife";
    };
  };
in
{
  options.services.zoetrope.models = {
    directory = mkOption {
      type = types.path;
      default = state;
      description = "The folder of fetched models: a state directory, which the garbage collection does not touch.";
    };
    recipes = mkOption {
      type = types.listOf types.str;
      default = cfg.recipes;
      defaultText = lib.literalExpression "config.services.zoetrope.recipes";
      description = "The recipes whose models are fetched.";
    };
    files = mkOption {
      type = types.attrsOf (
        types.submodule {
          options = {
            url = mkOption {
              type = types.str;
              description = "The address of the file; one with a fixed revision keeps its hash.";
            };
            sha256 = mkOption {
              type = types.strMatching "[0-9a-f]{64}";
              description = "The file's SHA-256, as model hubs show it.";
            };
            bytes = mkOption {
              type = types.nullOr types.ints.positive;
              default = null;
              description = "The file's size, as model hubs show it; with it an incomplete file is noticed before each start.";
            };
            folder = mkOption {
              type = types.strMatching "[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*";
              example = "loras";
              description = "The folder below the models directory.";
            };
            store = mkOption {
              type = types.bool;
              default = false;
              description = "Whether the file is fetched into the store when the host is built: for small files.";
            };
          };
        }
      );
      default = { };
      description = "Models of your own, by file name.";
    };
    extraDirectories = mkOption {
      type = types.listOf types.path;
      default = [ ];
      example = [ "/srv/models" ];
      description = ''
        Folders with models that you have already, laid out like ComfyUI's own `models`. They are read-only. One in a home
        directory is all that the units see of that home; the folder itself must be readable for everybody
        (`chmod -R o+rX`), those above it need not.
      '';
    };
    fetch = mkOption {
      type = types.bool;
      default = true;
      description = "Whether missing models are fetched in the background. If false, they are only checked.";
    };

    list = mkOption {
      type = types.package;
      internal = true;
      readOnly = true;
      default = pkgs.runCommand "zoetrope-models.tsv" { preferLocalBuild = true; } ''
        ${lib.getExe cfg.package} models manifest --tsv ${
          lib.concatMapStringsSep " " (name: "--recipes ${lib.escapeShellArg name}") shipped
        } ${
          lib.concatMapStringsSep " " (name: "--recipes ${lib.escapeShellArg "${cfg.extraRecipes.${name}}"}") own
        } > $out
        cat ${ownRows} >> $out
      '';
      description = "Folder, file, size and recipes of each model that this host needs.";
    };
    searchPaths = mkOption {
      type = types.package;
      internal = true;
      readOnly = true;
      default = pkgs.writeText "zoetrope-model-paths.yaml" (
        # JSON is YAML. ComfyUI expands the variable, and reports to the service which files of RIFE are present.
        builtins.toJSON (
          {
            own = {
              base_path = "\${ZOETROPE_BASE}/models";
              rife = "rife";
            };
          }
          // lib.foldl' (all: one: all // one) { } (lib.imap0 section models.extraDirectories)
        )
      );
      description = "ComfyUI's list of further model folders.";
    };
  };

  config = lib.mkIf cfg.enable {
    services.zoetrope.settings.models = {
      path = lib.mkDefault (toString models.directory);
      folders = lib.mkDefault (map toString models.extraDirectories);
      inherit (models) recipes;
      extra = lib.mapAttrsToList (
        file: model:
        { inherit file; inherit (model) folder url sha256; }
        // lib.optionalAttrs (model.bytes != null) { inherit (model) bytes; }
      ) fetched;
    };

    systemd.tmpfiles.settings."10-zoetrope" =
      lib.genAttrs ([ (toString models.directory) ] ++ map (model: "${toString models.directory}/${model.folder}") (lib.attrValues kept)) (_: {
        d = {
          user = "zoetrope";
          group = "zoetrope";
          mode = "0755";
        };
      })
      // lib.mapAttrs' (
        file: model:
        lib.nameValuePair "${toString models.directory}/${model.folder}/${file}" {
          "L+".argument = "${pkgs.fetchurl {
            name = lib.replaceStrings [ " " ] [ "-" ] file;
            inherit (model) url sha256;
          }}";
        }
      ) kept;

    systemd.services.zoetrope-models = {
      description = "Models for zoetrope's recipes";
      wants = [ "network-online.target" ];
      after = [ "network-online.target" ];
      unitConfig.RequiresMountsFor = [ (toString models.directory) ];
      # A switch neither waits for it nor interrupts a download; the timer starts it again.
      restartIfChanged = false;
      environment.PYTHONUNBUFFERED = "1";
      serviceConfig = import ./hardening.nix // homes.readable models.extraDirectories // {
        Type = "oneshot";
        NotifyAccess = "main";
        ExecStart = "${lib.getExe cfg.package} models fetch --notify --config /etc/zoetrope/zoetrope.toml";
        TimeoutStartSec = "infinity";
        Slice = "system-zoetrope.slice";
        Nice = 10;
        IOSchedulingClass = "idle";

        User = "zoetrope";
        Group = "zoetrope";
        UMask = "0022";
        StateDirectory = "zoetrope-models";
        StateDirectoryMode = "0755";
        ReadWritePaths = [ (toString models.directory) ];
        PrivateDevices = true;
        DevicePolicy = "closed";
        PrivateUsers = true;
        MemoryDenyWriteExecute = true;
        RestrictAddressFamilies = [
          "AF_UNIX"
          "AF_INET"
          "AF_INET6"
        ];
        SystemCallFilter = [
          "@system-service"
          "~@privileged @resources"
        ];
      };
    };

    # Nothing requires the service: only the timer starts it, after the switch, and again each hour, which also
    # resumes a download after a lost connection.
    systemd.timers.zoetrope-models = lib.mkIf models.fetch {
      description = "Checks for missing models";
      wantedBy = [ "timers.target" ];
      restartTriggers = [
        cfg.settingsFile
        models.list
      ];
      timerConfig = {
        OnActiveSec = "20s";
        OnUnitInactiveSec = "1h";
      };
    };
  };
}
