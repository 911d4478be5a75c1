{
  description = "A host that makes videos of pictures";

  inputs = {
    nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";
    # Where your checkout of zoetrope lies. Its own nixpkgs pin is what its wheels were chosen for.
    zoetrope.url = "git+file:///srv/zoetrope/source";
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
