# Linked against the one torch, whose libraries lie in torch's own folder.
{
  build,
  cuda,
  plain,
  torch,
  ...
}:
build (
  plain
  // {
    linked = [
      torch
      cuda
    ];
    imports = [ "torchaudio" ];
  }
)
