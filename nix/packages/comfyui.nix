# ComfyUI from source with the runtime's Python. The source stays read-only: everything that it writes
# goes to the folder that --base-directory names, and its database to --database-url.
{
  lib,
  stdenv,
  stdenvNoCC,
  makeWrapper,
  fetchSource,
  pins,
  python,
}:
let
  inherit (pins.sources.comfyui) version;
  set = python.pkgs;
  # Many wheels bring the same empty files (a LICENSE, an __init__.py); whichever wins is the same.
  pythonEnv = python.buildEnv.override {
    extraLibs = python.runtimePackages set;
    ignoreCollisions = true;
  };
  nvidia = "${set.triton}/${python.sitePackages}/triton/backends/nvidia/bin";
  # What kernels need while they run: Triton compiles a small C file for each, and looks for the driver
  # and the assembler in places that NixOS has not (utensils/comfyui-nix #60 #71).
  environment = {
    CC = "${stdenv.cc}/bin/cc";
    TRITON_LIBCUDA_PATH = "/run/opengl-driver/lib";
    TRITON_PTXAS_PATH = "${nvidia}/ptxas";
    TRITON_PTXAS_BLACKWELL_PATH = "${nvidia}/ptxas-blackwell";
    ZOETROPE_MIN_DRIVER = pins.driver;
    LD_LIBRARY_PATH = lib.concatStringsSep ":" ([ "/run/opengl-driver/lib" ] ++ set.cuda-wheels.libraryPaths);
  };
in
stdenvNoCC.mkDerivation {
  pname = "comfyui";
  inherit version;
  src = fetchSource "comfyui";

  nativeBuildInputs = [ makeWrapper ];
  dontBuild = true;
  installPhase = ''
    runHook preInstall
    mkdir -p $out/share/comfyui $out/bin
    cp -r . $out/share/comfyui
    makeWrapper ${pythonEnv}/bin/python3 $out/bin/comfyui \
      --add-flags $out/share/comfyui/main.py \
      ${
        lib.concatStringsSep " " (
          lib.mapAttrsToList (name: value: "--set-default ${name} ${lib.escapeShellArg value}") environment
        )
      }
    runHook postInstall
  '';

  doInstallCheck = true;
  installCheckPhase = ''
    runHook preInstallCheck
    ${pythonEnv}/bin/python3 ${./install_check.py} ${pins.cuda}
    runHook postInstallCheck
  '';

  passthru = {
    inherit environment pythonEnv;
    python = "${pythonEnv}/bin/python3";
    source = "share/comfyui";
  };
  meta = {
    description = "ComfyUI ${version} with the pinned kernels";
    homepage = "https://github.com/Comfy-Org/ComfyUI";
    license = lib.licenses.gpl3Only;
    mainProgram = "comfyui";
    platforms = [ "x86_64-linux" ];
  };
}
