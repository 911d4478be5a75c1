# services.zoetrope: the sidecar, one ComfyUI for each GPU, and the models, as units that say how they are.
{
  imports = [
    ./options.nix
    ./gpus.nix
    ./models.nix
    ./settings.nix
    ./sidecar.nix
    ./engines.nix
    ./tuning.nix
    ./assertions.nix
  ];
}
