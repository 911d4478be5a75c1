{
  description = "zoetrope: drop a picture into a folder, get a checked WAN 2.2 video";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs = { self, nixpkgs }: import ./nix/outputs.nix { inherit self nixpkgs; };
}
