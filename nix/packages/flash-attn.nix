# FlashAttention's kernels, built for the one torch.
{
  build,
  cuda,
  pins,
  plain,
  torch,
  wheelTags,
  ...
}:
wheelTags.assertFits {
  inherit (plain.wheel) file;
  inherit (pins) cuda python;
  torch = torch.version;
} (
  build (
    plain
    // {
      linked = [
        torch
        cuda
      ];
    }
  )
)
