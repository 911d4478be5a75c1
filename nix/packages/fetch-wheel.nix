# A wheel from where pins.json says: the package index, or a release on GitHub.
{
  lib,
  fetchPypi,
  fetchurl,
  wheelTags,
}:
wheel:
let
  name = wheelTags.parse wheel.file;
in
if wheel.source == "PyPI" then
  fetchPypi {
    inherit (name)
      pname
      version
      python
      abi
      platform
      ;
    inherit (wheel) hash;
    format = "wheel";
    dist = name.python;
  }
else if wheel.source == "GitHub" then
  fetchurl {
    # A plus sign of a local version is escaped in the address and kept in the name, which wheels are told by.
    name = wheel.file;
    url = "https://github.com/${wheel.owner}/${wheel.repo}/releases/download/${wheel.tag}/${
      builtins.replaceStrings [ "+" ] [ "%2B" ] wheel.file
    }";
    inherit (wheel) hash;
  }
else
  throw "nix/pins.json: ${wheel.file} has the source `${wheel.source}`; PyPI and GitHub are known."
