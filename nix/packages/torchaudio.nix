# Linked against the one torch, which its metadata does not name.
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
    dependencies = plain.dependencies ++ [ torch ];
    imports = [ "torchaudio" ];
  }
)
