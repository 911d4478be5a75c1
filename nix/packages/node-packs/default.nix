# The shipped node packs: source trees that ComfyUI finds through links in its custom_nodes folder.
# Packs that write into their own folder are patched to write elsewhere, and packs that download on first use not to:
# --replace-fail, so that a bump that moves such a line fails the build and not a job.
{
  lib,
  stdenvNoCC,
  fetchSource,
  pins,
  python,
}:
let
  pack =
    name: patch:
    let
      pin = pins.sources.${name};
    in
    stdenvNoCC.mkDerivation {
      pname = "comfyui-node-pack-${name}";
      inherit (pin) version;
      src = fetchSource name;
      postPatch = patch;
      dontConfigure = true;
      dontBuild = true;
      installPhase = ''
        runHook preInstall
        cp -r . $out
        # Nothing can be written there later. A file that no Python reads, such as a template, is no reason to fail.
        ${python}/bin/python3 -m compileall -q --invalidation-mode unchecked-hash $out || true
        runHook postInstall
      '';
      # The folder's name under custom_nodes; some packs look for themselves under their own.
      passthru.folder = pin.repo;
      # Whether it opens CUDA while it is imported: on the CPU ComfyUI has none of its nodes.
      passthru.needsGpu = name == "seedvr2";
      meta = {
        homepage = "https://github.com/${pin.owner}/${pin.repo}";
        platforms = [ "x86_64-linux" ];
      };
    };
in
lib.mapAttrs pack {
  gguf = "";
  kjnodes = "";
  video-helper-suite = "";
  frame-interpolation = import ./frame-interpolation.nix;
  res4lyf = import ./res4lyf.nix;
  seedvr2 = import ./seedvr2.nix;
  wan-video-wrapper = import ./wan-video-wrapper.nix;
}
