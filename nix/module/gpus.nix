# The GPUs: one ComfyUI for each, and their clock profiles.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.services.zoetrope;
  cards = import ./cards.nix;
  card = types.nullOr (types.enum (lib.attrNames cards));
  positive = types.nullOr types.ints.positive;

  # The GPUs of a profile: those that name it, where they can be distinguished; else all of its model.
  users = name: lib.filter (gpu: gpu.profile == name || gpu.idleProfile == name) (lib.attrValues cfg.gpus);
  meant =
    name: profile:
    let
      uuids = map (gpu: gpu.uuid) (users name);
    in
    if uuids != [ ] && !(lib.elem null uuids) then
      uuids
    else if profile.card != null then
      [ "*${profile.card}*" ]
    else
      [ "*" ];
  table = name: profile: lib.filterAttrs (_: value: value != null) {
    cards = meant name profile;
    max_core_mhz = profile.maxCoreMhz;
    core_offset_mhz = profile.coreOffsetMhz;
    power_limit_w = profile.powerLimitW;
  };
  named = role: lib.unique (lib.filter (name: name != null) (map (gpu: gpu.${role}) (lib.attrValues cfg.gpus)));
in
{
  options.services.zoetrope = {
    gpus = mkOption {
      type = types.attrsOf (
        types.submodule (
          { name, ... }:
          {
            options = {
              uuid = mkOption {
                type = types.nullOr (types.strMatching "GPU-[0-9a-f-]+");
                default = null;
                example = "GPU-5c8e0f0c-7d3b-4f0e-9a51-3f1d3c1f2a44";
                description = "The UUID of the GPU (`nvidia-smi -L`). Without it the attribute name is the index, which changes when GPUs are moved.";
              };
              card = mkOption {
                type = card;
                default = null;
                description = "The model of the GPU; its known limits are checked when the host is evaluated.";
              };
              cpu = mkOption {
                type = types.bool;
                default = false;
                description = ''
                  Whether this ComfyUI runs on the CPU, very slowly: for trials on a host without a GPU. Otherwise it waits
                  for the GPU's driver, also one that is loaded late, and does not start without it.
                '';
              };
              port = mkOption {
                type = types.port;
                default = 8188 + (if builtins.match "[0-9]" name != null then lib.toInt name else 0);
                defaultText = lib.literalExpression "8188 + <the attribute's name, when it is a digit>";
                description = "The port of this ComfyUI.";
              };
              profile = mkOption {
                type = types.nullOr types.str;
                default = null;
                example = "baseline";
                description = "The profile in `gpu.profiles` for this GPU while it works; null is stock.";
              };
              idleProfile = mkOption {
                type = types.nullOr types.str;
                default = null;
                example = "quiet";
                description = "The profile in `gpu.profiles` for this GPU while it is idle; null is stock.";
              };
              attention = mkOption {
                type = types.nullOr (types.enum [
                  "auto"
                  "sage"
                  "flash"
                  "ck"
                  "sdpa"
                ]);
                default = null;
                description = "The attention kernel on this GPU; null uses `services.zoetrope.attention`.";
              };
              memory = mkOption {
                type = types.nullOr (types.enum [
                  "auto"
                  16
                  24
                  32
                  80
                ]);
                default = null;
                description = "The memory profile of this GPU; null uses `services.zoetrope.memory`.";
              };
            };
          }
        )
      );
      default = {
        "0" = { };
      };
      description = "The GPUs by name, which is the instance of the unit: `zoetrope-comfyui@0` for \"0\".";
    };

    gpu.profiles = mkOption {
      type = types.attrsOf (
        types.submodule {
          options = {
            card = mkOption {
              type = card;
              default = null;
              description = "The GPU model that the values are for.";
            };
            maxCoreMhz = mkOption {
              type = positive;
              default = null;
              example = 2700;
              description = "The highest core clock.";
            };
            coreOffsetMhz = mkOption {
              type = types.nullOr types.int;
              default = null;
              example = 300;
              description = "The core clock offset: together with maxCoreMhz, an undervolt. GPUs differ in what they tolerate.";
            };
            powerLimitW = mkOption {
              type = positive;
              default = null;
              example = 450;
              description = "The power limit in watts, within the range of the GPU.";
            };
          };
        }
      );
      default = { };
      description = "Clock profiles by name. There is no key for memory clocks: any limit on them slows the internal fabric too (NVIDIA/open-gpu-kernel-modules #1265).";
    };
  };

  config = lib.mkIf (cfg.enable && cfg.gpu.profiles != { }) {
    services.zoetrope.settings.gpu = {
      profiles = lib.mapAttrs table cfg.gpu.profiles;
      working = lib.mkDefault (named "profile");
      idle = lib.mkDefault (named "idleProfile");
    };
  };
}
