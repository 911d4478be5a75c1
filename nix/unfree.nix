# Which unfree packages the flake itself may build: NVIDIA's CUDA libraries and the wheels that hold them.
{ lib }:
package:
lib.elem (lib.getName package) [
  "cuda-wheels"
  "torch"
]
