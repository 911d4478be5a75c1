# A headless host: users drop pictures into a Samba share and find the videos in another one.
{ lib, ... }:
{
  nixpkgs.config.allowUnfreePredicate =
    p: lib.elem (lib.getName p) [ "cuda-wheels" "nvidia-settings" "nvidia-x11" "torch" ];
  hardware.graphics.enable = true;
  hardware.nvidia.open = true;
  services.xserver.videoDrivers = [ "nvidia" ];

  services.zoetrope = {
    enable = true;
    inbox = {
      path = "/srv/share/pictures";
      group = "family";
    };
    outbox.path = "/srv/share/videos";
    # Phones upload with pauses.
    settings.inbox.settle_seconds = 10.0;
  };

  services.samba = {
    enable = true;
    openFirewall = true;
    settings = {
      pictures = {
        path = "/srv/share/pictures";
        "read only" = "no";
        "valid users" = "@family";
        # Every dropped file belongs to the group and is readable by it.
        "force group" = "family";
        "create mask" = "0660";
        "directory mask" = "2770";
      };
      videos = {
        path = "/srv/share/videos";
        "read only" = "yes";
        "valid users" = "@family";
      };
    };
  };
  users.users.ada = {
    isNormalUser = true;
    extraGroups = [ "family" ];
  };
}
