{
  description = "A host that makes videos from pictures";

  inputs = {
    nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";
    # The path of your checkout of zoetrope. Its wheels were chosen for its own nixpkgs pin.
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
