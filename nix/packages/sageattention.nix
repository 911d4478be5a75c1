# SageAttention's kernels. The release's tag is overwritten in place: the hash protects, and when the address
# stops matching, override this package or its pin.
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
