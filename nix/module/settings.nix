# The settings file of the service: from the other options and from `settings`, checked by the service itself
# when the host is built.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkDefault mkOption types;
  cfg = config.services.zoetrope;
  format = pkgs.formats.toml { };
  raw = format.generate "zoetrope.toml" cfg.settings;
in
{
  options.services.zoetrope = {
    settings = mkOption {
      type = types.submodule { freeformType = format.type; };
      default = { };
      example = {
        jobs.review = false;
        inbox.duplicates = "new-seed";
        keep.work_days = 30;
      };
      description = ''
        Every setting of examples/zoetrope.toml. Folders and the address of the page come from the other options,
        recipes and engines as well unless they are set here.
      '';
    };

    settingsFile = mkOption {
      type = types.package;
      internal = true;
      readOnly = true;
      default = pkgs.runCommand "zoetrope.toml" { preferLocalBuild = true; } ''
        # A mistake is one line with the key and what is allowed.
        ${lib.getExe cfg.package} serve --check ${raw}
        cp ${raw} $out
      '';
      description = "The settings as a file that `zoetrope serve --check` accepts.";
    };
  };

  config = lib.mkIf cfg.enable {
    services.zoetrope.settings = {
      inbox.path = mkDefault (toString cfg.inbox.path);
      outbox.path = mkDefault (toString cfg.outbox.path);
      state.path = mkDefault "/var/lib/zoetrope";
      recipes.path = mkDefault [ "/etc/zoetrope/recipes" ];
      recipes.default = lib.mkIf (cfg.recipes != [ ]) (mkDefault (lib.head cfg.recipes));
      engines = mkDefault (
        lib.mapAttrsToList (
          name: gpu:
          {
            name = "gpu-${name}";
            url = "http://127.0.0.1:${toString gpu.port}";
            restart.unit = "zoetrope-comfyui@${name}.service";
            # What pre-start found: driver, kernels, models.
            report = "/run/zoetrope-engine/${name}.json";
            # What waits for a reboot.
            pending = "/run/zoetrope-engines/${name}.json";
            # What the service asks of its next start.
            flag_request = "/run/zoetrope-flags/${name}.json";
          }
          // lib.optionalAttrs (gpu.uuid != null) { gpu = gpu.uuid; }
        ) cfg.gpus
        # Where systemd puts them for this unit.
        ++ map (name: {
          inherit name;
          url_file = "/run/credentials/zoetrope.service/engine-${name}";
        }) (lib.attrNames cfg.engineUrlFiles)
      );
      jobs = {
        hours = lib.mkIf (cfg.hours != null) (mkDefault cfg.hours);
        free_after_minutes = mkDefault (if cfg.freeAfterMinutes == null then 0 else cfg.freeAfterMinutes);
      };
      web.listen = mkDefault cfg.listen;
      # Where systemd puts it for this unit; no other unit can read it.
      web.token_file = lib.mkIf (cfg.tokenFile != null) (mkDefault "/run/credentials/zoetrope.service/token");
    };

    environment.etc = {
      "zoetrope/zoetrope.toml".source = cfg.settingsFile;
    }
    // lib.mapAttrs' (name: path: lib.nameValuePair "zoetrope/recipes/${name}" { source = path; }) cfg.extraRecipes;
  };
}
