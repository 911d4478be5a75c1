# services.zoetrope: the service, one ComfyUI for each GPU, and the models, as systemd units.
{
  imports = [
    ./options.nix
    ./gpus.nix
    ./models.nix
    ./settings.nix
    ./service.nix
    ./engines.nix
    ./folders.nix
    ./tuning.nix
    ./assertions.nix
  ];
}
