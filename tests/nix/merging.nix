# What options make of what several modules say: evaluated with the stand-in and with nixpkgs' own lib,
# where both have to say the same. An answer that is an error is null.
{ lib }:
let
  inherit (lib)
    mkAfter
    mkBefore
    mkDefault
    mkForce
    mkIf
    mkMerge
    mkOption
    mkOrder
    mkOverride
    types
    ;
  # The value of an option of a type, as these modules' definitions have it.
  of =
    type: definitions:
    let
      config =
        (lib.evalModules {
          modules = [ { options.x = mkOption { inherit type; }; } ] ++ map (x: { config.x = x; }) definitions;
        }).config.x;
      answer = builtins.tryEval (builtins.deepSeq config config);
    in
    if answer.success then answer.value else null;
  # The whole of a host of these modules.
  whole =
    modules:
    let
      inherit ((lib.evalModules { inherit modules; })) config;
      plain = removeAttrs config [ "_module" ];
      answer = builtins.tryEval (builtins.deepSeq plain plain);
    in
    if answer.success then answer.value else null;
  ints = types.listOf types.int;
  text = types.attrsOf types.str;
  loose = types.attrsOf types.anything;
  person = types.submodule (
    { name, config, ... }:
    {
      freeformType = types.attrsOf types.anything;
      options = {
        name = mkOption { type = types.str; };
        groups = mkOption {
          type = types.listOf types.str;
          default = [ ];
        };
        home = mkOption {
          type = types.str;
          default = "/home/${config.name}";
        };
      };
      config.name = mkDefault name;
    }
  );
in
{
  lists = of ints [ [ 1 ] [ 2 ] [ 3 ] ];
  lists-ordered = of ints [ [ 2 ] (mkAfter [ 3 ]) (mkBefore [ 1 ]) ];
  lists-numbered = of ints [ (mkOrder 700 [ 2 ]) (mkOrder 600 [ 1 ]) [ 3 ] (mkOrder 1100 [ 4 ]) ];
  lists-same-order = of ints [ (mkAfter [ 1 ]) (mkAfter [ 2 ]) (mkBefore [ 3 ]) (mkBefore [ 4 ]) ];
  lists-default-loses = of ints [ (mkDefault [ 9 ]) [ 1 ] ];
  lists-force-wins = of ints [ [ 1 ] (mkForce [ 2 ]) [ 3 ] ];
  lists-two-forces = of ints [ (mkForce [ 1 ]) (mkForce [ 2 ]) [ 9 ] ];
  lists-forced-and-ordered = of ints [ (mkForce (mkAfter [ 2 ])) (mkForce (mkBefore [ 1 ])) (mkForce [ 3 ]) ];
  lists-ordered-force = of ints [ (mkAfter (mkForce [ 2 ])) [ 1 ] ];
  lists-if = of ints [ (mkIf true [ 1 ]) (mkIf false [ 2 ]) ];
  lists-if-ordered = of ints [ [ 2 ] (mkIf true (mkBefore [ 1 ])) (mkBefore (mkIf false [ 0 ])) ];
  lists-merge = of ints [ (mkMerge [ [ 1 ] (mkAfter [ 4 ]) (mkIf true [ 2 ]) ]) [ 3 ] ];
  lists-of-conditions = of ints [ [ 1 (mkIf false 2) (mkIf true 3) ] ];
  lists-of-forces = of ints [ [ (mkForce 1) 2 ] ];
  lists-mixed = of ints [ [ 1 "a" ] ];
  lists-no-definition = of ints [ ];
  lists-nothing-holds = of ints [ (mkIf false [ 1 ]) ];
  lists-of-nothing = of ints [ [ ] (mkIf false [ 1 ]) ];

  words = of types.str [ "a" "a" ];
  words-differ = of types.str [ "a" "b" ];
  words-default = of types.str [ (mkDefault "a") "b" ];
  words-two-defaults = of types.str [ (mkDefault "a") (mkDefault "b") ];
  words-override = of types.str [ (mkOverride 90 "a") "b" (mkOverride 95 "c") ];
  words-if-force = of types.str [ (mkIf false (mkForce "a")) "b" ];
  words-force-if = of types.str [ (mkForce (mkIf false "a")) "b" ];
  words-nested-force = of types.str [ (mkForce (mkDefault "a")) "b" ];
  lines = of types.lines [ "a" (mkBefore "b") (mkAfter "c") "d" ];
  lines-force = of types.lines [ "a" (mkForce "b") ];

  sets = of text [ { a = "1"; } { b = "2"; } ];
  sets-differ = of text [ { a = "1"; } { a = "2"; } ];
  sets-force-one = of text [ { a = "1"; b = "1"; } { a = mkForce "2"; } ];
  sets-force-all = of text [ { a = "1"; } (mkForce { b = "2"; }) ];
  sets-if = of text [ (mkIf true { a = "1"; }) { b = mkIf false "2"; } ];
  sets-if-only = of text [ { b = mkIf false "2"; } ];
  sets-merge = of text [ (mkMerge [ { a = "1"; } (mkIf true { b = "2"; }) ]) { c = mkMerge [ "3" ]; } ];
  sets-default = of text [ (mkDefault { a = "1"; }) { b = "2"; } ];
  sets-default-inside = of text [ { a = mkDefault "1"; } { a = "2"; } ];
  sets-wrong = of text [ [ ] ];

  anything-sets = of types.anything [ { a.b = 1; } { a.c = 2; } ];
  anything-same = of types.anything [ { a = 1; } { a = 1; } ];
  anything-differ = of types.anything [ { a = 1; } { a = 2; } ];
  anything-lists = of types.anything [ [ 1 ] [ 2 ] ];
  anything-list-in-set = of types.anything [ { a = [ 1 ]; } { a = mkBefore [ 2 ]; } ];
  anything-one-list = of types.anything [ [ 1 2 ] ];
  anything-force = of types.anything [ { a = [ 1 ]; } { a = mkForce [ 2 ]; } ];
  anything-mixed = of types.anything [ { a = 1; } [ 1 ] ];
  anything-null = of types.anything [ { a = null; } ];
  loose = of loose [ { a = { b = mkDefault 1; }; } { a.b = 2; } ];

  null-or = of (types.nullOr types.int) [ null null ];
  null-or-value = of (types.nullOr types.int) [ null 1 ];
  null-or-forced = of (types.nullOr types.int) [ 1 (mkForce null) ];
  null-or-default = of (types.nullOr types.int) [ (mkDefault null) 1 ];
  null-or-list = of (types.nullOr ints) [ [ 1 ] [ 2 ] ];
  one-of = of (types.oneOf [ types.int types.str ]) [ 1 1 ];
  one-of-both = of (types.oneOf [ types.int types.str ]) [ 1 "a" ];
  one-of-lists = of (types.either types.str (types.listOf types.str)) [ [ "a" ] [ "b" ] ];
  one-of-mixed = of (types.either types.str (types.listOf types.str)) [ "a" [ "b" ] ];
  one-of-none = of (types.either types.str types.int) [ true ];
  enum = of (types.enum [ "a" "b" ]) [ "a" "a" ];
  enum-unknown = of (types.enum [ "a" ]) [ "c" ];
  floats = of types.float [ 1 ];
  bools-differ = of types.bool [ true false ];
  ports = of types.port [ 70000 ];
  positive = of types.ints.positive [ 0 ];
  a-path = of types.path [ "relative" ];
  outside = of types.externalPath [ "/run/secrets/x" ];
  in-the-store = of types.externalPath [ "/nix/store/0123456789abcdfghijklmnpqrsvwxyz-x" ];
  all-but-in-the-store = of types.externalPath [ "/nix/store/x" ];
  nothing-said = map (type: of type [ ]) [
    ints
    text
    types.str
    types.lines
    types.int
    types.bool
    types.anything
    (types.nullOr types.int)
    (types.either types.int ints)
    (types.submodule { options.a = mkOption { type = types.int; default = 1; }; })
    (types.attrsOf person)
  ];
  functions = (of (types.functionTo ints) [ (n: [ n ]) (n: [ (n + 1) ]) ]) 1;

  people = of (types.attrsOf person) [ { ada = { }; } { ada.groups = [ "a" ]; } { ada.groups = [ "b" ]; } ];
  people-named = of (types.attrsOf person) [ { ada.name = "lovelace"; } ];
  people-free = of (types.attrsOf person) [ { ada.shell = "sh"; } { ada.uid = mkDefault 1; } { ada.uid = 2; } ];
  people-twice = of (types.attrsOf person) [ { ada.home = "/a"; } { ada.home = "/b"; } ];
  people-forced = of (types.attrsOf person) [ { ada.home = "/a"; } { ada = mkForce { groups = [ "only" ]; }; } ];
  people-gone = of (types.attrsOf person) [ { ada = mkIf false { groups = [ "a" ]; }; } { ben = { }; } ];
  people-function = of (types.attrsOf person) [ { ada = { config, ... }: { groups = [ config.name ]; }; } ];
  people-wrong = of (types.attrsOf person) [ { ada.groups = "a"; } ];
  people-no-set = of (types.attrsOf person) [ { ada = 1; } ];

  modules-import = whole [
    {
      imports = [ { options.a = mkOption { type = ints; default = [ 0 ]; }; } { a = [ 1 ]; } ];
      config.a = [ 2 ];
    }
    { a = [ 3 ]; }
  ];
  modules-default = whole [ { options.a = mkOption { type = ints; default = [ 0 ]; }; } ];
  modules-default-merges-not = whole [ { options.a = mkOption { type = text; default.a = "1"; }; } { a.b = "2"; } ];
  modules-unknown = whole [ { options.a = mkOption { type = ints; default = [ ]; }; } { b = 1; } ];
  modules-unknown-under-if = whole [ { options.a = mkOption { type = ints; default = [ ]; }; } (mkIf false { b = 1; }) ];
  modules-readonly = whole [ { options.a = mkOption { type = types.int; default = 1; readOnly = true; }; } { a = 2; } ];
  modules-readonly-default = whole [ { options.a = mkOption { type = types.int; default = 1; readOnly = true; }; } ];
  modules-twice = whole [
    { options.a.b = mkOption { type = types.int; default = 1; }; }
    { options.a.c = mkOption { type = types.int; default = 2; }; }
  ];
  modules-if = whole [
    { options.a.b = mkOption { type = types.int; default = 1; }; }
    { config = mkIf true { a = mkIf true { b = mkDefault 5; }; }; }
  ];
  modules-merge = whole [
    { options.a = mkOption { type = ints; }; }
    { config = mkMerge [ { a = [ 1 ]; } (mkIf false { a = [ 2 ]; }) { a = mkBefore [ 3 ]; } ]; }
  ];
  modules-free = whole [ { freeformType = loose; } { a.b = 1; } { a.c = mkIf false 2; } ];
  modules-apply = whole [ { options.a = mkOption { type = types.int; default = 1; apply = n: n + 1; }; } ];

  shell = map lib.escapeShellArg [ "a" "a b" "" "it's" "$x" "a=b" "~" "/p/q.r" "a:b,c@d%e+f-g_h" ];
  split = lib.splitString "." "a.b..c";
  recursive = lib.recursiveUpdate { a = { b = 1; c = 2; }; } { a.b = { d = 3; }; };
  programs = lib.makeBinPath [ "/a" "/b" ];
  names = map lib.getName [ "hello-1.2" "x" ];
  numbers = map lib.toInt [ "7" "0" "10" ];
  padded = (builtins.tryEval (lib.toInt "08")).success;
  fixed = lib.fix (self: { a = 1; b = self.a + 1; });
}
