# Every example as a real NixOS host, as far as the text of its units: what only NixOS itself can know, such
# as the options of other modules that an example sets. Needs nixpkgs; see docs/nixos.md.
{ self, pkgs, ... }:
let
  inherit (pkgs) lib;
  files = lib.filter (lib.hasSuffix ".nix") (lib.attrNames (builtins.readDir ../../examples));
  host =
    file:
    import (pkgs.path + "/nixos/lib/eval-config.nix") {
      inherit (pkgs.stdenv.hostPlatform) system;
      modules = [
        self.nixosModules.default
        (../../examples + "/${file}")
        {
          # What any machine says of itself.
          boot.loader.grub.enable = false;
          fileSystems."/".device = "none";
          system.stateVersion = "26.05";
        }
      ];
    };
  units = file: lib.filterAttrs (name: _: lib.hasInfix "zoetrope" name) (host file).config.systemd.units;
  # Without their context, so that nothing is built for it.
  texts = lib.genAttrs files (
    file: lib.mapAttrs (_: unit: builtins.unsafeDiscardStringContext unit.text) (units file)
  );
in
pkgs.writeText "zoetrope-examples.json" (builtins.toJSON texts)
