# NVIDIA's libraries in one tree, as a plain installation has them: each finds the others next to
# itself, and torch finds all of them in one place.
{
  lib,
  stdenv,
  unzip,
  zlib,
  autoPatchelfHook,
  autoAddDriverRunpath,
  fetchWheel,
  pins,
  python,
}:
let
  wheels = lib.filterAttrs (name: _: lib.hasPrefix "nvidia-" name) pins.wheels;
  folders = [
    "cu13"
    "cudnn"
    "cusparselt"
    "nccl"
    "nvshmem"
  ];
  libraryPaths = out: map (folder: "${out}/${python.sitePackages}/nvidia/${folder}/lib") folders;
  cuda = stdenv.mkDerivation {
    pname = "cuda-wheels";
    version = pins.wheels.nvidia-cuda-runtime.version;

    srcs = map fetchWheel (lib.attrValues wheels);
    dontUnpack = true;
    nativeBuildInputs = [
      unzip
      autoPatchelfHook
      autoAddDriverRunpath
    ];
    buildInputs = [
      stdenv.cc.cc.lib
      zlib
    ];
    installPhase = ''
      runHook preInstall
      mkdir -p $out/${python.sitePackages}
      for wheel in $srcs; do
        unzip -q -o "$wheel" -d $out/${python.sitePackages}
      done
      runHook postInstall
    '';

    # For clusters: InfiniBand, MPI and UCX transports, opened only where they are asked for.
    autoPatchelfIgnoreMissingDeps = [
      "libcuda.so.1"
      "libfabric.so.1"
      "libibverbs.so.1"
      "libmlx5.so.1"
      "libmpi.so.40"
      "liboshmem.so.40"
      "libpmix.so.2"
      "librdmacm.so.1"
      "libucp.so.0"
      "libucs.so.0"
    ];
    appendRunpaths = libraryPaths (placeholder "out");
    dontStrip = true;

    passthru.libraryPaths = libraryPaths cuda;
    meta = {
      description = "The CUDA libraries that torch's wheel asks for";
      license = lib.licenses.unfreeRedistributable;
      sourceProvenance = [ lib.sourceTypes.binaryNativeCode ];
      platforms = [ "x86_64-linux" ];
    };
  };
in
cuda
