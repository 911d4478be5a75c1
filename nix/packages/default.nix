# Every package as one scope: `overrideScope` replaces any part of it, a pin included.
{ pkgs }:
pkgs.lib.makeScope pkgs.newScope (self: {
  pins = builtins.fromJSON (builtins.readFile ../pins.json);
  wheelTags = import ../wheel-tags.nix;
  fetchWheel = self.callPackage ./fetch-wheel.nix { };
  fetchSource = name: self.callPackage ./fetch-source.nix { pin = self.pins.sources.${name}; };

  python = self.callPackage ./python.nix { };
  inherit (self.python.pkgs)
    flash-attn
    sageattention
    torch
    triton
    ;

  comfyui = self.callPackage ./comfyui.nix { };
  # A set of packages: callPackage would add an `override` to it that is none, callPackages adds one to each.
  nodePacks = pkgs.lib.callPackagesWith (pkgs // self) ./node-packs { };

  pre-start = self.callPackage ./pre-start.nix { };
  zoetrope = self.callPackage ./zoetrope.nix { };
})
