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

  # The names here are those of the settings' future [gpu] table; the sidecar does not read them yet, so
  # they are a file of their own, for the root helper.
  table = profile: lib.filterAttrs (_: value: value != null) {
    inherit (profile) card;
    max_core_mhz = profile.maxCoreMhz;
    core_offset_mhz = profile.coreOffsetMhz;
    power_limit_w = profile.powerLimitW;
  };
  instance = name: gpu: lib.filterAttrs (_: value: value != null) {
    inherit (gpu) uuid card profile;
    unit = "zoetrope-comfyui@${name}.service";
  };
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
                description = "The name of the profile in `gpu.profiles` at which this card runs.";
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
    environment.etc."zoetrope/gpu.toml".source = (pkgs.formats.toml { }).generate "zoetrope-gpu.toml" {
      profiles = lib.mapAttrs (_: table) cfg.gpu.profiles;
      gpus = lib.mapAttrs instance cfg.gpus;
    };
  };
}
