# A source tree at the revision that pins.json names.
{ fetchFromGitHub, pin }:
fetchFromGitHub {
  inherit (pin)
    owner
    repo
    rev
    hash
    ;
}
