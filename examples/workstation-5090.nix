# A workstation with an RTX 5090, undervolted: a cap on the core clock and an offset hold about the speed of
# stock at less power. What a card bears is its own affair; begin at half the offset, and let it work for a day.
{
  nixpkgs.config.allowUnfree = true;
  hardware.graphics.enable = true;
  hardware.nvidia.open = true;
  services.xserver.videoDrivers = [ "nvidia" ];

  services.zoetrope = {
    enable = true;
    # Made by ada: mkdir -m 2770 ~/inbox ~/videos
    inbox = {
      path = "/home/ada/inbox";
      group = "users";
    };
    outbox.path = "/home/ada/videos";

    memory = 32;
    previews = "latent2rgb";
    comfyui.extraArgs = [ "--fast" "fp16_accumulation" ];

    gpu.profiles.baseline = {
      card = "RTX 5090";
      maxCoreMhz = 2700;
      coreOffsetMhz = 250;
      powerLimitW = 450;
    };
    gpus."0" = {
      card = "RTX 5090";
      profile = "baseline";
    };

    models.extraDirectories = [ "/data/models" ];
    settings.jobs.review = false;
  };
}
