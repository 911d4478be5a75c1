# A host evaluated, and everything of it that a test may ask for, as JSON.
{
  lib ? import ./lib.nix,
  modules ? [ ],
  zoetrope ? "/bin/true",
  # Whether programs that can be run stand in for the packages, or the packages are the module's own.
  fakes ? true,
  # A module of a test's own.
  extra ? { },
  pkgs ? import ./pkgs.nix { inherit lib zoetrope; },
}:
let
  fake = {
    config.services.zoetrope = {
      package = lib.mkDefault pkgs.fakes.zoetrope;
      preStart = lib.mkDefault pkgs.fakes.pre-start;
      comfyui.package = lib.mkDefault pkgs.fakes.comfyui;
      nodePacks = lib.mkDefault pkgs.fakes.nodePacks;
    };
  };
  host = lib.evalModules {
    modules = [
      ./host.nix
      ../../nix/module
      extra
    ]
    ++ lib.optional fakes fake
    ++ map (file: ../.. + "/${file}") modules;
    specialArgs = { inherit pkgs; };
  };
  inherit (host) config;
  cfg = config.services.zoetrope;
  rendered = import ./render.nix { inherit config lib pkgs; };
in
{
  inherit rendered;
  facts = {
    failed = map (a: a.message) (builtins.filter (a: !a.assertion) config.assertions);
    inherit (config) warnings;
    inherit (cfg) settings;
    units = rendered.units;
    tmpfiles = rendered.tmpfiles;
    polkit = config.security.polkit.extraConfig;
    firewall = builtins.sort builtins.lessThan config.networking.firewall.allowedTCPPorts;
    users = config.users;
    etc = builtins.mapAttrs (_: entry: "${entry.source}") config.environment.etc;
  };
  # To be built: all that the units and /etc name; a text's own references are what has to be there.
  closure = pkgs.writeText "host" (
    builtins.toJSON [
      rendered.units
      rendered.tmpfiles
      (map (entry: "${entry.source}") (builtins.attrValues config.environment.etc))
    ]
  );
  inherit (cfg) settingsFile;
  inherit (cfg.models) searchPaths;
}
