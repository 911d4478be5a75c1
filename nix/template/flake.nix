{
  description = "A host that makes videos from pictures";

  inputs = {
    nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";
    # The path of your checkout of zoetrope. Its packages are built with the nixpkgs of this host; which revision they were
    # made for is in its nix/pins.json.
    zoetrope.url = "git+file:///srv/zoetrope/source";
    zoetrope.inputs.nixpkgs.follows = "nixpkgs";
  };

  outputs =
    { nixpkgs, zoetrope, ... }:
    {
      nixosConfigurations.host = nixpkgs.lib.nixosSystem {
        system = "x86_64-linux";
        modules = [
          zoetrope.nixosModules.default
          ./configuration.nix
        ];
      };
    };
}
