# A small imitation of nixpkgs: enough to evaluate the packages, and to build and check what a host is
# made of (settings, lists, units) with /bin/sh and this checkout's own zoetrope.
{
  lib,
  zoetrope ? "/bin/true", # what stands behind the packaged command line
}:
let
  system = "x86_64-linux";
  path = "/usr/local/bin:/usr/bin:/bin";
  make =
    name: extra: script:
    derivation (
      extra
      // {
        inherit name system;
        builder = "/bin/sh";
        args = [
          "-ec"
          "export PATH=${path}; ${script}"
        ];
      }
    );
  # Derivations of the imitation hold their arguments, for tests to look at.
  imitation =
    arguments:
    let
      given = if lib.isAttrs arguments then arguments else arguments (imitation arguments);
      name = given.name or "${given.pname}-${given.version}";
    in
    make name { } "mkdir -p $out" // (given.passthru or { }) // { arguments = given; inherit (given) meta; } // given;
  programs =
    name: files:
    make name { } (
      lib.concatStrings (
        lib.mapAttrsToList (file: text: ''
          mkdir -p $(dirname $out/${file})
          cat > $out/${file} <<'END'
          ${text}
          END
          chmod +x $out/${file}
        '') files
      )
    )
    // {
      meta.mainProgram = name;
    };
  shell = body: "#!/bin/sh\n${body}";

  toml =
    value:
    if lib.isAttrs value && !(value ? outPath) then
      "{ ${lib.concatStringsSep ", " (lib.mapAttrsToList (n: v: "${builtins.toJSON n} = ${toml v}") value)} }"
    else if lib.isList value then
      "[ ${lib.concatMapStringsSep ", " toml value} ]"
    else
      builtins.toJSON value;

  callWith =
    scope: file: arguments:
    let
      f = if builtins.isFunction file then file else import file;
      wanted = builtins.functionArgs f;
      found = builtins.intersectAttrs wanted scope;
    in
    f (found // arguments);

  pythonSet =
    python: overrides:
    let
      base = {
        inherit python;
        buildPythonPackage = imitation;
        buildPythonApplication = imitation;
        toPythonModule = package: package;
        setuptools = imitation {
          pname = "setuptools";
          version = "0";
        };
        packaging = imitation {
          pname = "packaging";
          version = "0";
        };
      }
      // lib.genAttrs [
        "aiohttp"
        "av"
        "click"
        "hatchling"
        "msgspec"
        "numpy"
        "nvidia-ml-py"
        "pillow"
        "pillow-heif"
        "prometheus-client"
        "rich"
        "tomli"
        "watchfiles"
      ] (pname: imitation { inherit pname; version = "0"; });
      final = base // overrides final base;
    in
    final;
  interpreter =
    {
      packageOverrides ? _: _: { },
      self ? null,
    }:
    let
      python = make "python3" { } "mkdir -p $out" // {
        pythonVersion = "3.12";
        sitePackages = "lib/python3.12/site-packages";
        pkgs = pythonSet python packageOverrides;
        override = interpreter;
        buildEnv.override = arguments: imitation ({ name = "python3-env"; } // arguments);
      };
    in
    python;

  pkgs = {
    inherit lib pkgs system;
    newScope = scope: callWith (pkgs // scope);
    callPackage = callWith pkgs;

    stdenv = {
      mkDerivation = imitation;
      hostPlatform.system = system;
      cc = make "gcc" { } "mkdir -p $out" // {
        cc.lib = make "gcc-lib" { } "mkdir -p $out";
      };
    };
    stdenvNoCC.mkDerivation = imitation;
    fetchFromGitHub = given: imitation (given // { name = "source"; });
    fetchPypi = given: imitation (given // { name = "${given.pname}-${given.version}.whl"; });
    fetchurl = given: imitation ({ name = baseNameOf given.url; } // given);

    writeText = name: text: make name { inherit text; } ''printf %s "$text" > $out'';
    writeShellScript = name: text: make name { text = shell text; } ''printf %s "$text" > $out; chmod +x $out'';
    writeShellScriptBin = name: text: programs name { "bin/${name}" = shell text; };
    runCommand = name: _: script: make name { } script;
    mkShell = given: imitation ({ name = "shell"; } // given);
    testers.runNixOSTest = test: imitation { name = "vm-test"; inherit test; };
    formats.toml = _: {
      type =
        let
          value = lib.types.oneOf [
            lib.types.bool
            lib.types.int
            lib.types.float
            lib.types.str
            lib.types.path
            (lib.types.attrsOf value)
            (lib.types.listOf value)
          ]
          // {
            description = "TOML value";
          };
        in
        value;
      generate =
        name: value:
        pkgs.writeText name (
          lib.concatStrings (lib.mapAttrsToList (n: v: "${builtins.toJSON n} = ${toml v}\n") value)
        );
    };

    python3Packages = pythonSet (interpreter { }) (_: _: { });
    python312 = interpreter { };

    # What the units name, as things that can be run.
    fakes = {
      zoetrope = programs "zoetrope" { "bin/zoetrope" = shell ''exec ${zoetrope} "$@"''; };
      pre-start = programs "zoetrope-pre-start" { "bin/zoetrope-pre-start" = shell "exit 0"; };
      comfyui =
        let
          package = programs "comfyui" {
            "bin/comfyui" = shell "exit 0";
            "bin/python3" = shell "exit 0";
            "share/comfyui/main.py" = "";
          };
        in
        package
        // {
          python = "${package}/bin/python3";
          source = "share/comfyui";
          environment = {
            CC = "${package}/bin/cc";
            TRITON_LIBCUDA_PATH = "/run/opengl-driver/lib";
          };
        };
      nodePacks = lib.genAttrs [ "gguf" "seedvr2" ] (
        name: programs "node-pack-${name}" { "__init__.py" = ""; } // { folder = "ComfyUI-${name}"; }
      );
    };
  }
  // lib.genAttrs [
    "autoAddDriverRunpath"
    "autoPatchelfHook"
    "bash"
    "coreutils"
    "findutils"
    "gnugrep"
    "gnumake"
    "gnused"
    "makeWrapper"
    "nixfmt"
    "shellcheck"
    "systemd"
    "unzip"
    "zlib"
  ] (
    name:
    programs name (
      # What the units themselves run does its work; the rest only has to be there.
      {
        coreutils."bin/kill" = shell ''kill "$@"'';
        systemd."bin/systemctl" = shell ''exec /usr/bin/systemctl "$@"'';
      }
      .${name} or { "bin/${name}" = shell "exit 0"; }
    )
  );
in
pkgs
