# The cards: one ComfyUI for each, and the clocks at which they may run.
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

  # Which cards a profile is for: those that name it, where they can be told apart; else all of its kind.
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
                description = "The card's own name (`nvidia-smi -L`). Without it the attribute's name is the index, which changes when cards are moved.";
              };
              card = mkOption {
                type = card;
                default = null;
                description = "Which card it is; what is known of it is checked while the host is evaluated.";
              };
              port = mkOption {
                type = types.port;
                default = 8188 + (if builtins.match "[0-9]" name != null then lib.toInt name else 0);
                defaultText = lib.literalExpression "8188 + <the attribute's name, when it is a digit>";
                description = "Where this ComfyUI listens.";
              };
              profile = mkOption {
                type = types.nullOr types.str;
                default = null;
                example = "baseline";
                description = "The name of the profile in `gpu.profiles` at which this card works; null is stock.";
              };
              idleProfile = mkOption {
                type = types.nullOr types.str;
                default = null;
                example = "quiet";
                description = "The name of the profile at which this card waits for work; null is stock.";
              };
              attention = mkOption {
                type = types.nullOr (types.enum [
                  "auto"
                  "sage"
                  "flash"
                  "sdpa"
                ]);
                default = null;
                description = "The attention kernels on this card; null takes `services.zoetrope.attention`.";
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
                description = "The memory profile of this card; null takes `services.zoetrope.memory`.";
              };
            };
          }
        )
      );
      default = {
        "0" = { };
      };
      description = "The cards by name, which is the instance of the unit: `zoetrope-comfyui@0` for \"0\".";
    };

    gpu.profiles = mkOption {
      type = types.attrsOf (
        types.submodule {
          options = {
            card = mkOption {
              type = card;
              default = null;
              description = "The card that the figures are for.";
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
              description = "The core offset: with a highest clock, an undervolt. What a card bears is its own affair.";
            };
            powerLimitW = mkOption {
              type = positive;
              default = null;
              example = 450;
              description = "The power limit in watts, inside the card's own range.";
            };
          };
        }
      );
      default = { };
      description = "Clock profiles by name. There is no key for memory clocks: any limit on them slows the fabric too (NVIDIA/open-gpu-kernel-modules #1265).";
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
