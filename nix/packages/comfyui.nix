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
  # Further packages of the runtime's Python: what node packs of your own import.
  extraPythonPackages ? (_: [ ]),
}:
let
  inherit (pins.sources.comfyui) version;
  set = python.pkgs;
  # No two of the pinned wheels share a file, so two that do are a mistake.
  pythonEnv = python.buildEnv.override {
    extraLibs = python.runtimePackages set ++ extraPythonPackages set;
  };
  nvidia = "${set.triton}/${python.sitePackages}/triton/backends/nvidia/bin";
  # What kernels need while they run: Triton compiles a small C file for each, and looks for the driver
  # and the assembler in places that NixOS has not (utensils/comfyui-nix #60 #71).
  environment = {
    CC = "${stdenv.cc}/bin/cc";
    CXX = "${stdenv.cc}/bin/c++"; # for torch's own compiler
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
    # Nothing can be written there later. Checked by hash, as the store changes all times.
    ${pythonEnv}/bin/python3 -m compileall -q --invalidation-mode unchecked-hash $out/share/comfyui
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
    takesPythonPackages = true; # by `override`
  };
  meta = {
    description = "ComfyUI ${version} with the pinned kernels";
    homepage = "https://github.com/Comfy-Org/ComfyUI";
    license = lib.licenses.gpl3Only;
    mainProgram = "comfyui";
    platforms = [ "x86_64-linux" ];
  };
}
