# A workstation with an undervolted RTX 5090: a limit on the core clock and an offset keep about the speed of
# stock at less power. GPUs differ in what they tolerate; begin at half the offset, and let it work for a day.
{ lib, ... }:
{
  nixpkgs.config.allowUnfreePredicate =
    p: lib.elem (lib.getName p) [ "cuda-wheels" "nvidia-settings" "nvidia-x11" "torch" ];
  hardware.graphics.enable = true;
  hardware.nvidia.open = true;
  services.xserver.videoDrivers = [ "nvidia" ];

  services.zoetrope = {
    enable = true;
    # Created by ada: mkdir -m 2770 ~/inbox ~/videos
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
