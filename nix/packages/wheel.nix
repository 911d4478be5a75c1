# Any pinned wheel as a package of the runtime's Python.
#
# Wheels, not source builds: nixpkgs' binary cache holds no torch for CUDA 13 and Blackwell, and a host
# that compiles it sits for hours (nixified-ai/flake #99, nixpkgs #555389). Which libraries the wheels miss was read from their own
# ELF headers: libstdc++, libgcc_s, zlib, the driver's libcuda and, for kernels, torch's.
{
  lib,
  stdenv,
  zlib,
  autoPatchelfHook,
  autoAddDriverRunpath,
  buildPythonPackage,
  fetchWheel,
  wheelTags,
  python,
  cuda,
}:
{
  name,
  wheel,
  dependencies,
  linked ? [ ],
  # Libraries of what it can do on other machines.
  absent ? [ ],
  imports ? [ ],
  meta ? { },
}:
let
  native = (wheelTags.parse wheel.file).platform != "any";
in
buildPythonPackage {
  pname = name;
  inherit (wheel) version;
  format = "wheel";
  src = fetchWheel wheel;

  inherit dependencies;
  # pip resolved all of them together; setuptools and packaging alone are nixpkgs' own.
  dontCheckRuntimeDeps = true;

  nativeBuildInputs = lib.optionals native [
    autoPatchelfHook
    autoAddDriverRunpath
  ];
  buildInputs = lib.optionals native [
    stdenv.cc.cc.lib
    zlib
  ];
  # The driver's own library comes with the host's kernel module, never from the store.
  autoPatchelfIgnoreMissingDeps = [ "libcuda.so.1" ] ++ absent;
  preFixup = lib.concatMapStrings (package: ''
    addAutoPatchelfSearchPath ${package}/${python.sitePackages}
  '') linked;
  # What is opened by its bare name later (nvrtc, cuDNN's parts) is in no header (utensils/comfyui-nix #71).
  appendRunpaths = lib.optionals (linked != [ ]) cuda.libraryPaths;
  dontStrip = true;

  pythonImportsCheck = imports;
  doCheck = false;

  meta = {
    sourceProvenance = [ (if native then lib.sourceTypes.binaryNativeCode else lib.sourceTypes.binaryBytecode) ];
    platforms = [ "x86_64-linux" ];
  }
  // meta;
}
