# A box without a screen: people drop pictures onto a Samba share and find the videos on another one.
{
  nixpkgs.config.allowUnfree = true;
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
    # Phones upload in fits and starts.
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
        # What is dropped belongs to the group and can be read by it, whoever drops it.
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
