# The one torch. Its version and CUDA must be those that the kernels' tags are checked against.
{
  build,
  cuda,
  lib,
  pins,
  plain,
  ...
}:
let
  runtime = pins.wheels.nvidia-cuda-runtime.version;
in
if !(lib.hasPrefix "${pins.cuda}." runtime) then
  throw "nix/pins.json: cuda says ${pins.cuda}, but torch brings the CUDA runtime ${runtime}. Set cuda to the first two numbers of that."
else
  build (
    plain
    // {
      linked = [ cuda ];
      imports = [ "torch" ];
      meta = {
        description = "Tensors and neural networks, as the wheel for CUDA ${pins.cuda}";
        license = [
          lib.licenses.bsd3
          lib.licenses.unfreeRedistributable
        ];
      };
    }
  )
