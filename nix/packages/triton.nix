# Brings NVIDIA's assembler along; the unit names it (TRITON_PTXAS_PATH), because Triton's own search for
# CUDA runs /sbin/ldconfig, which NixOS has not (utensils/comfyui-nix #60).
{ build, plain, ... }:
build (plain // { imports = [ "triton" ]; })
