# The runtime's Python: one set in which every package that pins.json names is that very wheel, so that
# there is one torch, and everything in the set was resolved together.
{
  lib,
  stdenv,
  zlib,
  autoPatchelfHook,
  autoAddDriverRunpath,
  callPackage,
  fetchWheel,
  pins,
  pkgs,
  wheelTags,
}:
let
  interpreter = pkgs."python${lib.replaceStrings [ "." ] [ "" ] pins.python}";
  # nixpkgs builds wheels with these, so replacing them by wheels would need themselves.
  kept = [
    "packaging"
    "setuptools"
  ];
  names = lib.filter (name: !(lib.hasPrefix "nvidia-" name) && !(lib.elem name kept)) (
    lib.attrNames pins.wheels
  );
  # What needs more than its file: see the file of that name.
  own = [
    "comfy-kitchen"
    "flash-attn"
    "sageattention"
    "torch"
    "torchaudio"
    "torchvision"
    "triton"
  ];

  python = interpreter.override {
    self = python;
    packageOverrides =
      final: _:
      let
        cuda = final.toPythonModule (callPackage ./cuda.nix { inherit python; });
        build = import ./wheel.nix {
          inherit
            lib
            stdenv
            zlib
            autoPatchelfHook
            autoAddDriverRunpath
            fetchWheel
            wheelTags
            python
            cuda
            ;
          inherit (final) buildPythonPackage;
        };
        # All of NVIDIA's wheels are one package here.
        dependency = name: if lib.hasPrefix "nvidia-" name then cuda else final.${name};
        plain = name: {
          inherit name;
          wheel = pins.wheels.${name};
          dependencies = lib.unique (map dependency pins.wheels.${name}.requires);
        };
        wheel =
          name:
          if lib.elem name own then
            import ./${name}.nix {
              inherit
                build
                cuda
                lib
                pins
                wheelTags
                ;
              inherit (final) torch;
              plain = plain name;
            }
          else
            build (plain name);
      in
      { cuda-wheels = cuda; } // lib.genAttrs names wheel;
  };
in
python
// {
  # Everything that ComfyUI and the node packs may import.
  runtimePackages = set: map (name: set.${name}) (names ++ kept) ++ [ set.cuda-wheels ];
}
