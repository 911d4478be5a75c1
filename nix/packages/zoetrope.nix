# The service and the command line, from this checkout, with nixpkgs' own Python and libraries.
{ lib, python3Packages }:
let
  root = ../..;
  project = (builtins.fromTOML (builtins.readFile ../../pyproject.toml)).project;
  # Only what the wheel is built from, so that a changed test or example rebuilds nothing.
  wanted = [
    "LICENSE"
    "README.md"
    "pyproject.toml"
    "service"
    "workflows"
  ];
  under = path: lib.removePrefix "${toString root}/" (toString path);
  top = path: lib.head (lib.splitString "/" (under path));
in
python3Packages.buildPythonApplication {
  pname = project.name;
  inherit (project) version;
  pyproject = true;
  src = builtins.path {
    name = "zoetrope-source";
    path = root;
    filter = path: _: lib.elem (top path) wanted && baseNameOf path != "__pycache__";
  };

  build-system = [ python3Packages.hatchling ];
  # nixpkgs calls each by the name that pyproject.toml calls it by.
  dependencies = map (
    need: python3Packages.${lib.head (builtins.match "([A-Za-z0-9_.-]+).*" need)}
  ) project.dependencies;
  pythonImportsCheck = [ "zoetrope.app" ];

  meta = {
    inherit (project) description;
    license = lib.licenses.mit;
    mainProgram = "zoetrope";
    platforms = lib.platforms.linux;
  };
}
