{ lib, ... }:
{
  imports = [ ./hardware-configuration.nix ];

  # NVIDIA's licence covers the driver and the CUDA libraries; nothing else that is unfree gets in.
  nixpkgs.config.allowUnfreePredicate =
    p: lib.elem (lib.getName p) [ "cuda-wheels" "nvidia-settings" "nvidia-x11" "torch" ];
  hardware.graphics.enable = true;
  hardware.nvidia.open = true;
  services.xserver.videoDrivers = [ "nvidia" ];

  services.zoetrope = {
    enable = true;
    inbox = {
      path = "/srv/pictures/inbox";
      group = "users";
    };
    outbox.path = "/srv/pictures/videos";
  };
}
