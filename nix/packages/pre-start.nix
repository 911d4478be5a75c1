# What runs before ComfyUI: the script at the root of the checkout and the self-test that it calls, in the
# same places relative to each other.
{
  lib,
  stdenvNoCC,
  bash,
  makeWrapper,
  coreutils,
  findutils,
  gnugrep,
  gnused,
}:
let
  root = ../..;
  under = path: lib.removePrefix "${toString root}/" (toString path);
in
stdenvNoCC.mkDerivation {
  pname = "zoetrope-pre-start";
  version = "1";
  src = builtins.path {
    name = "zoetrope-pre-start-source";
    path = root;
    filter =
      path: _:
      under path == "pre-start.sh"
      || lib.elem (under path) [
        "nix"
        "nix/pins.json"
        "service"
      ]
      || (lib.hasPrefix "service/runtime" (under path) && baseNameOf path != "__pycache__");
  };
  nativeBuildInputs = [ makeWrapper ];
  buildInputs = [ bash ];
  dontBuild = true;
  installPhase = ''
    runHook preInstall
    mkdir -p $out/libexec/zoetrope
    cp -r pre-start.sh nix service $out/libexec/zoetrope/
    chmod +x $out/libexec/zoetrope/pre-start.sh
    makeWrapper $out/libexec/zoetrope/pre-start.sh $out/bin/zoetrope-pre-start --prefix PATH : ${
      lib.makeBinPath [
        coreutils
        findutils
        gnugrep
        gnused
      ]
    }
    runHook postInstall
  '';
  meta = {
    description = "Checks driver, models, node packs and kernels before ComfyUI starts";
    license = lib.licenses.mit;
    mainProgram = "zoetrope-pre-start";
    platforms = lib.platforms.linux;
  };
}
