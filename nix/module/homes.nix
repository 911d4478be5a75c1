# Homes are hidden from the units; what a unit uses in one is bound into it, and the rest stays hidden.
{ lib }:
rec {
  # Whether a path lies in what ProtectHome hides.
  hides =
    path:
    lib.any (top: lib.hasPrefix "${top}/" path) [
      "/home"
      "/root"
      "/run/user"
    ];

  # A unit's settings for the folders that it only reads. One that is not there (yet) is missed by those who use it,
  # and no reason for the unit not to start.
  readable =
    folders:
    let
      bound = lib.filter hides (map toString folders);
    in
    {
      ProtectHome = if bound == [ ] then true else "tmpfs";
      BindReadOnlyPaths = map (path: "-${path}") bound;
    };
}
