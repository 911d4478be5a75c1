# What the flake offers. Wheels for CUDA exist for x86_64 alone, so that is the one system.
{ self, nixpkgs }:
let
  inherit (nixpkgs) lib;
  system = "x86_64-linux";
  # NVIDIA's licence for the CUDA wheels is unfree; nothing else that is unfree gets in.
  pkgs = import nixpkgs {
    inherit system;
    config.allowUnfreePredicate = import ./unfree.nix { inherit lib; };
  };
  packages = import ./packages { inherit pkgs; };
  # For what runs in a checkout. The user's own come first: their Nix fits the daemon.
  tools = lib.makeBinPath [
    pkgs.git
    pkgs.gnumake
    pkgs.nix
    pkgs.python312
  ];
  each = folder: f: lib.mapAttrs' (
    file: _: lib.nameValuePair (lib.removeSuffix ".nix" file) (f (folder + "/${file}"))
  ) (lib.filterAttrs (file: _: lib.hasSuffix ".nix" file) (builtins.readDir folder));
in
{
  packages.${system} = {
    default = packages.zoetrope;
    inherit (packages)
      comfyui
      flash-attn
      pre-start
      sageattention
      torch
      zoetrope
      ;
  }
  // lib.mapAttrs' (name: lib.nameValuePair "node-pack-${name}") packages.nodePacks;

  overlays.default = final: _: { zoetropePackages = import ./packages { pkgs = final; }; };

  nixosModules.default = ./module;

  apps.${system} = {
    default = {
      type = "app";
      program = "${pkgs.writeShellScript "zoetrope-demo" ''exec ${packages.zoetrope}/bin/zoetrope demo "$@"''}";
      meta.description = "Shows how a picture becomes a video, without a GPU";
    };
    # What the tests of a plain checkout cannot show, in one go.
    prove = {
      type = "app";
      program = "${pkgs.writeShellScript "zoetrope-prove" ''
        export PATH=$PATH:${tools}
        export ZOETROPE_NIXPKGS=${nixpkgs} ZOETROPE_NIXPKGS_LIB=${nixpkgs}/lib
        exec ${pkgs.python312}/bin/python3 ${./prove.py} "$@"
      ''}";
      meta.description = "Evaluates, builds and boots all of it, and writes a report for an issue";
    };
    # Moves a pin of the checkout that it is run in, once that is proven.
    bump = {
      type = "app";
      program = "${pkgs.writeShellScript "zoetrope-bump" ''
        test -f nix/bump/__main__.py || { echo "Run it in a checkout of zoetrope." >&2; exit 2; }
        export PATH=$PATH:${tools}
        make --silent env && exec .venv/bin/python nix/bump "$@"
      ''}";
      meta.description = "Moves the pin of ComfyUI or a node pack, and proves it first";
    };
  };

  devShells.${system}.default = pkgs.mkShell {
    packages = [
      pkgs.gnumake
      pkgs.nixfmt
      pkgs.python312
      pkgs.shellcheck
    ];
  };

  formatter.${system} = pkgs.writeShellScriptBin "nixfmt-tree" ''
    if [ $# -eq 0 ]; then set -- .; fi
    exec ${pkgs.findutils}/bin/find "$@" -name '*.nix' -exec ${pkgs.nixfmt}/bin/nixfmt {} +
  '';

  checks.${system} = each ./checks (file: import file { inherit self pkgs packages; });

  templates = {
    host = {
      path = ./template;
      description = "A NixOS host with one GPU, an inbox and an outbox";
    };
    default = self.templates.host;
  };
}
