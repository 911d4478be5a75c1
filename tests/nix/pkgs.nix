# A small imitation of nixpkgs: enough to evaluate the packages, and to build and check what a host is
# made of (settings, lists, units) with /bin/sh, bash and this checkout's own zoetrope.
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
          # The shell is the last to end: Nix kills what is left once its output is closed, and coreutils close theirs
          # a moment before they end.
          "export PATH=${path}; ${script}\nexit 0"
        ];
      }
    );
  # Like stdenv's own: arguments become attributes, `meta` and `passthru` stay outside of what is built, and a
  # value that no builder could be given fails here too. `arguments` alone is for tests to look at.
  mkDerivation =
    function:
    let
      final = if lib.isFunction function then function (final // { inherit finalPackage overrideAttrs; }) else function;
      overrideAttrs =
        change:
        mkDerivation (
          again:
          let
            previous = if lib.isFunction function then function again else function;
            step = if lib.isFunction change then change again else change;
            new =
              if !(lib.isFunction change) then
                change
              else if lib.isFunction step then
                step previous
              else
                change previous;
          in
          previous // new
        );
      passthru = final.passthru or { };
      given = removeAttrs final [
        "meta"
        "passthru"
      ];
      plain = make (final.name or "${final.pname}-${final.version}") {
        given = builtins.toJSON given;
      } "mkdir -p $out";
      finalPackage = lib.extendDerivation true (
        {
          inherit overrideAttrs passthru;
          meta = final.meta or { };
          arguments = final;
        }
        // passthru
      ) (plain // given // { inherit (plain) name; });
    in
    finalPackage;
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
  shell = body: "#!/bin/bash\n${body}";

  toml =
    value:
    if lib.isAttrs value && !(value ? outPath) then
      "{ ${lib.concatStringsSep ", " (lib.mapAttrsToList (n: v: "${builtins.toJSON n} = ${toml v}") value)} }"
    else if lib.isList value then
      "[ ${lib.concatMapStringsSep ", " toml value} ]"
    else
      builtins.toJSON value;

  # Fetchers can be called again with other arguments, as nixpkgs' can.
  fetcher = name: lib.makeOverridable (given: mkDerivation (given // { name = name given; }));

  pythonSet =
    python: overrides:
    let
      toPythonModule =
        package:
        package.overrideAttrs (old: {
          passthru = (old.passthru or { }) // {
            pythonModule = python;
          };
        });
      buildPythonPackage = given: toPythonModule (mkDerivation given);
      base = {
        inherit buildPythonPackage python toPythonModule;
        buildPythonApplication = mkDerivation;
      }
      // lib.genAttrs [
        "aiohttp"
        "av"
        "click"
        "hatchling"
        "msgspec"
        "numpy"
        "nvidia-ml-py"
        "packaging"
        "pillow"
        "pillow-heif"
        "prometheus-client"
        "rich"
        "setuptools"
        "tomli"
        "watchfiles"
      ] (pname: buildPythonPackage { inherit pname; version = "0"; });
      final = base // overrides final base;
    in
    lib.mapAttrs (
      name: value:
      if lib.isDerivation value && name != "python" && !(value ? pythonModule) then
        throw "${name} should use `buildPythonPackage` or `toPythonModule` if it is to be part of the Python packages set."
      else
        value
    ) final;
  interpreter = lib.makeOverridable (
    {
      packageOverrides ? _: _: { },
      self ? interpreter { },
    }:
    mkDerivation {
      name = "python3";
      passthru = {
        pythonVersion = "3.12";
        sitePackages = "lib/python3.12/site-packages";
        pkgs = pythonSet self packageOverrides;
        buildEnv = pkgs.callPackage (
          {
            extraLibs ? [ ],
            ignoreCollisions ? false,
          }:
          mkDerivation {
            name = "python3-env";
            inherit extraLibs ignoreCollisions;
          }
        ) { };
      };
    }
  );

  pkgs = {
    inherit lib pkgs system;
    newScope = scope: lib.callPackageWith (pkgs // scope);
    callPackage = pkgs.newScope { };

    stdenv = {
      inherit mkDerivation;
      hostPlatform.system = system;
      cc = make "gcc" { } "mkdir -p $out" // {
        cc.lib = make "gcc-lib" { } "mkdir -p $out";
      };
    };
    stdenvNoCC = { inherit mkDerivation; };
    fetchFromGitHub = fetcher (_: "source");
    fetchPypi = fetcher (given: "${given.pname}-${given.version}.whl");
    fetchurl = fetcher (given: given.name or (baseNameOf given.url));

    writeText = name: text: make name { inherit text; } ''printf %s "$text" > $out'';
    writeShellScript = name: text: make name { text = shell text; } ''printf %s "$text" > $out; chmod +x $out'';
    writeShellScriptBin = name: text: programs name { "bin/${name}" = shell text; };
    runCommand = name: _: script: make name { } script;
    mkShell = given: mkDerivation ({ name = "shell"; } // given);
    testers.runNixOSTest = test: mkDerivation { name = "vm-test"; passthru = { inherit test; }; };
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

    python3Packages = pkgs.python312.pkgs;
    python312 = pkgs.callPackage interpreter { };

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
    "git"
    "glibcLocales"
    "gnugrep"
    "gnumake"
    "gnused"
    "makeWrapper"
    "nix"
    "nixfmt"
    "shellcheck"
    "systemd"
    "tzdata"
    "unzip"
    "zlib"
  ] (
    name:
    programs name (
      # What the units themselves run does its work; the rest only has to be there.
      {
        coreutils = {
          "bin/kill" = shell ''kill "$@"'';
          "bin/mv" = shell ''exec /bin/mv "$@"'';
          "bin/rm" = shell ''exec /bin/rm "$@"'';
        };
        systemd."bin/systemctl" = shell ''exec /usr/bin/systemctl "$@"'';
      }
      .${name} or { "bin/${name}" = shell "exit 0"; }
    )
  );
in
pkgs
