# What comes back from package functions under a lib, as JSON: the stand-in has to agree with nixpkgs'.
{ lib }:
let
  inherit (builtins) attrNames isAttrs mapAttrs;
  described =
    value:
    if lib.isDerivation value then
      {
        derivation = value.drvPath;
        out = value.out.outPath;
        attributes = attrNames value;
      }
    else if lib.isFunction value then
      {
        attributes = if isAttrs value then attrNames value else null;
        arguments = lib.functionArgs value;
      }
    else if isAttrs value then
      mapAttrs (name: one: if name == "packages" then "a function" else described one) value
    else
      value;

  package =
    name: extra:
    lib.extendDerivation true ({ passthru = { }; } // extra) (derivation {
      inherit name;
      system = "x86_64-linux";
      builder = "/bin/sh";
    });
  mkDerivation =
    given:
    package given.name {
      overrideAttrs = change: mkDerivation (given // change given);
    };

  number = { x, y ? 2 }: x + y;
  set = { x, y ? 2 }: { inherit x y; };
  function = { x, y ? 2 }: z: x + y + z;
  arguing = { x }: { z, w ? x }: x + z + w;
  plain = { x }: package "plain-${toString x}" { };
  full = { x }: mkDerivation { name = "full-${toString x}"; };
  several = { x }: {
    one = plain { inherit x; };
    two = full { inherit x; };
  };
  more = old: { x = old.x + 10; };

  scope = lib.makeScope (extra: lib.callPackageWith ({ x = 1; } // extra)) (self: {
    a = self.callPackage set { };
    b = self.callPackage ({ a, x }: a.x + x) { };
    c = self.callPackage arguing { };
  });
  wider = scope.overrideScope (final: prev: { x = 5; a = prev.a // { z = final.b; }; });
  call = lib.callPackageWith { x = 1; z = 7; };
in
mapAttrs (_: described) {
  number = call number { };
  set = call set { };
  set-again = (call set { }).override { y = 9; };
  set-from-old = (call set { y = 4; }).override more;
  function = call function { };
  called = call function { } 4;
  function-again = (call function { }).override { x = 30; } 4;
  arguing = call arguing { };
  arguing-called = call arguing { } { z = 4; };
  plain = call plain { };
  plain-again = (call plain { }).override more;
  full = call full { };
  full-attrs = (call full { }).overrideAttrs (_: { name = "other"; });
  full-attrs-again = ((call full { }).overrideAttrs (old: { name = "${old.name}-other"; })).override more;
  derivation-again = (call full { }).overrideDerivation (old: { name = "${old.name}-drv"; });
  functor = lib.makeOverridable (call function { }) 4;
  overridable = lib.makeOverridable set;
  overridable-twice = (lib.makeOverridable (lib.makeOverridable set)) { x = 3; };
  several = lib.callPackagesWith { x = 1; } several { };
  several-again = (lib.callPackagesWith { x = 1; } several { }).two.override more;
  inherit scope wider;
  scope-arguments = (scope.newScope { y = 8; }) set { };
  several-of-one = (builtins.tryEval (lib.callPackagesWith { x = 1; } plain { })).success;
}
