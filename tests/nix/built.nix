# The packages and hosts over a whole package set: nixpkgs, or a derivative of it. In a checkout with NixOS in it a host is
# NixOS' own; elsewhere the part of NixOS that the module speaks to stands around it, with the set's own packages.
{
  nixpkgs,
  # A folder of source trees by their names in pins.json, for those that cannot be fetched.
  sources ? null,
  # Wheels that cannot be fetched.
  without ? [ ],
  # nixpkgs' lib, where that of the set is another.
  lib ? null,
  modules ? [ ],
  extra ? { },
}:
let
  system = "x86_64-linux";
  unfree = package: import ../../nix/unfree.nix { inherit (pkgs) lib; } package;
  scope =
    pkgs:
    (import ../../nix/packages { inherit pkgs; }).overrideScope (
      _: prev: {
        pins = prev.pins // { wheels = removeAttrs prev.pins.wheels without; };
        fetchSource =
          name:
          if sources != null && builtins.pathExists (sources + "/${name}") then
            builtins.path {
              name = "source";
              path = sources + "/${name}";
            }
          else
            prev.fetchSource name;
      }
    );
  overlay = final: _: { zoetropePackages = scope final; };
  pkgs = import nixpkgs {
    inherit system;
    config.allowUnfreePredicate = unfree;
    overlays = [ overlay ];
  };
  library = if lib == null then pkgs.lib else lib;

  files = map (file: ../.. + "/${file}") modules;
  evalConfig = nixpkgs + "/nixos/lib/eval-config.nix";
  nixos = import evalConfig {
    inherit system;
    modules = [
      ../../nix/module
      extra
      {
        nixpkgs.overlays = [ overlay ];
        # What any machine says of itself.
        boot.loader.grub.enable = false;
        fileSystems."/".device = "none";
        system.stateVersion = "26.05";
      }
    ]
    ++ files
    # An example says itself what of it is unfree.
    ++ library.optional (files == [ ]) { nixpkgs.config.allowUnfreePredicate = unfree; };
  };
  ours = library.filterAttrs (name: _: library.hasInfix "zoetrope" name);
  real =
    let
      inherit (nixos) config;
      rendered = import ./render.nix {
        inherit (nixos) pkgs;
        lib = library;
        config = { inherit (config.systemd) tmpfiles; };
      };
      facts = {
        failed = map (a: a.message) (builtins.filter (a: !a.assertion) config.assertions);
        inherit (config) warnings;
        units = library.mapAttrs' (
          name: unit:
          library.nameValuePair (
            if unit.overrideStrategy == "asDropin" then "${name}.d/overrides.conf" else name
          ) unit.text
        ) (ours config.systemd.units);
        tmpfiles = ours rendered.tmpfiles;
        polkit = config.security.polkit.extraConfig;
        etc = library.mapAttrs (_: entry: "${entry.source}") (ours config.environment.etc);
      };
    in
    {
      inherit facts;
      closure = nixos.pkgs.writeText "host" (builtins.toJSON facts);
    };
  host =
    if builtins.pathExists evalConfig then
      real
    else
      import ./evaluate.nix {
        inherit pkgs modules extra;
        lib = library;
        fakes = false;
      };
  packages = scope pkgs;
  named = names: set: pkgs.lib.genAttrs names (name: set.${name});
in
{
  inherit (host) facts closure;
  inherit (packages) comfyui nodePacks pre-start zoetrope;
  # Every package of ComfyUI's Python that is a pinned wheel, and NVIDIA's libraries as one.
  wheels =
    named (builtins.filter (
      name: !(pkgs.lib.hasPrefix "nvidia-" name) && packages.python.pkgs.${name} ? src
    ) (builtins.attrNames packages.pins.wheels)) packages.python.pkgs
    // {
      inherit (packages.python.pkgs) cuda-wheels;
    };
  # Each file as the package index has it.
  fetched = map packages.fetchWheel (
    builtins.filter (wheel: wheel.source == "PyPI") (builtins.attrValues packages.pins.wheels)
  );
  toolchain = {
    compiler = pkgs.stdenv.cc.name;
    python = packages.python.name;
    shell = "${pkgs.stdenv.shell}";
    service = pkgs.python3.name;
    nixos = builtins.pathExists evalConfig;
    version = pkgs.lib.version or "unknown";
  };
}
