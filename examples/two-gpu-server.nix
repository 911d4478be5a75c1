# A server with two GPUs, each with its own ComfyUI, and a page for the local network that requires a token.
{ lib, ... }:
{
  nixpkgs.config.allowUnfreePredicate =
    p: lib.elem (lib.getName p) [ "cuda-wheels" "nvidia-settings" "nvidia-x11" "torch" ];
  hardware.graphics.enable = true;
  hardware.nvidia.open = true;
  services.xserver.videoDrivers = [ "nvidia" ];

  services.zoetrope = {
    enable = true;
    listen = "0.0.0.0:8190";
    openFirewall = true;
    tokenFile = "/run/secrets/zoetrope-token";
    settings.web.allowed_hosts = [ "zoetrope.example.org" ];

    gpus = {
      "0" = {
        uuid = "GPU-5c8e0f0c-7d3b-4f0e-9a51-3f1d3c1f2a44";
        card = "RTX 4090";
        profile = "cool";
        memory = 24;
      };
      "1" = {
        uuid = "GPU-9d1b7a52-0c64-4b7e-8f3e-6a2d5b90e7c1";
        card = "H100";
        memory = 80;
        attention = "flash";
      };
    };

    # The GPU with little cooling.
    gpu.profiles.cool = {
      card = "RTX 4090";
      maxCoreMhz = 2400;
    };

    # Compilation takes minutes after each change of size; these GPUs run many sizes.
    comfyui.environment.TORCH_COMPILE_DISABLE = "1";
    comfyui.listen = "0.0.0.0";
    comfyui.reachableFrom = [ "192.168.1.0/24" ];
    comfyui.openFirewall = true;

    models.directory = "/data/models";
    models.files."film-grain.safetensors" = {
      url = "https://models.example.org/film-grain.safetensors";
      sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
      bytes = 227000000;
      folder = "loras";
    };
  };
}
