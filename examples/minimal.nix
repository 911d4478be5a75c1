# The minimal configuration of a host; README shows this file.
{
  # NVIDIA's licence covers the driver and the CUDA libraries.
  nixpkgs.config.allowUnfree = true;
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
