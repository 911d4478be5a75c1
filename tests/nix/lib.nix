# A stand-in for the part of nixpkgs' lib that the flake uses, in builtins alone, so that module and
# examples are evaluated where no nixpkgs can be had. test_stand_in.py compares it with the real one.
let
  b = builtins;
  inherit (b)
    attrNames
    concatLists
    concatMap
    elem
    elemAt
    filter
    foldl'
    genList
    head
    isAttrs
    isList
    isString
    length
    listToAttrs
    map
    mapAttrs
    substring
    stringLength
    ;
  customisation = import ./customisation.nix;
  inherit (customisation) isFunction;

  # Properties: what a definition may be wrapped in.
  is = kind: value: isAttrs value && (value._type or null) == kind;
  mkIf = condition: content: {
    _type = "if";
    inherit condition content;
  };
  mkMerge = contents: {
    _type = "merge";
    inherit contents;
  };
  mkOverride = priority: content: {
    _type = "override";
    inherit priority content;
  };
  mkOrder = order: content: {
    _type = "order";
    inherit order content;
  };

  # A tree of definitions as plain attribute sets, with the wrappings one level further in.
  push =
    v:
    if is "merge" v then
      concatMap push v.contents
    else if is "if" v then
      map (mapAttrs (_: mkIf v.condition)) (push v.content)
    else if is "override" v then
      map (mapAttrs (_: mkOverride v.priority)) (push v.content)
    else
      [ v ];

  # A definition as { p = priority; o = order; v = value; }, as many as it holds. Only conditions and lists of
  # definitions may lie in each other; within them comes one priority, and in that one order.
  leaf =
    v:
    if is "merge" v then
      concatMap leaf v.contents
    else if is "if" v then
      (if v.condition then leaf v.content else [ ])
    else
      let
        outer = if is "override" v then v else { priority = 100; content = v; };
        inner = if is "order" outer.content then outer.content else { order = 1000; inherit (outer) content; };
      in
      [
        {
          p = outer.priority;
          o = inner.order;
          v = inner.content;
        }
      ];
  best =
    ds:
    let
      lowest = foldl' (a: d: if d.p < a then d.p else a) 9999 ds;
    in
    filter (d: d.p == lowest) ds;
  sorted = ds: map (d: d.v) (b.sort (x: y: x.o < y.o) ds);

  at =
    name: defs: concatMap (d: concatMap (a: if isAttrs a && a ? ${name} then [ a.${name} ] else [ ]) (push d)) defs;
  keys = defs: attrNames (foldl' (all: d: foldl' (all: a: all // a) all (push d)) { } defs);
  show = b.concatStringsSep ".";
  refuse = loc: type: throw "A definition for option `${show loc}' is not of type `${type.name}'.";

  # Types: { name; check; merge = loc: defs: value; }
  equal =
    type: loc: defs:
    let
      values = map (d: d.v) (best (concatMap leaf defs));
      first = head values;
    in
    if !(b.all type.check values) then
      refuse loc type
    else if b.all (value: value == first) values then
      first
    else
      throw "The option `${show loc}' has conflicting definition values.";
  scalar =
    name: check:
    let
      type = {
        inherit name check;
        merge = equal type;
      };
    in
    type;
  derivationLike = v: isAttrs v && (v ? outPath || v ? drvPath);
  # A path straight below the store's folder is a package to NixOS too.
  stored = v: (isString v || derivationLike v || b.isPath v) && dirOf (toString v) == b.storeDir;
  absolute = v: b.isPath v || (isString v && substring 0 1 v == "/") || derivationLike v;

  types = rec {
    bool = scalar "boolean" b.isBool;
    int = scalar "signed integer" b.isInt;
    float = scalar "floating point number" b.isFloat;
    str = scalar "string" isString;
    strMatching =
      pattern: scalar "string matching the pattern ${pattern}" (v: isString v && b.match pattern v != null);
    path = scalar "absolute path" absolute;
    externalPath = scalar "absolute path not in the Nix store" (
      v: isString v && substring 0 1 v == "/" && b.match "/nix/store/[0-9a-z]{32}-.*" v == null
    );
    package = scalar "package" (v: lib.isDerivation v || stored v);
    raw = scalar "raw value" (_: true);
    port = scalar "16 bit unsigned integer; between 0 and 65535 (both inclusive)" (
      v: b.isInt v && v >= 0 && v <= 65535
    );
    ints.positive = scalar "positive integer, meaning >0" (v: b.isInt v && v > 0);
    enum =
      values:
      scalar "one of ${b.concatStringsSep ", " (map b.toJSON values)}" (v: elem v values);
    lines = {
      name = "strings concatenated with \"\\n\"";
      check = isString;
      merge = _: defs: b.concatStringsSep "\n" (sorted (best (concatMap leaf defs)));
    };
    listOf =
      type:
      let
        self = {
          name = "list of ${type.name}";
          check = isList;
          merge =
            loc: defs:
            let
              ds = best (concatMap leaf defs);
              # An element under a condition that does not hold is none.
              all = filter (one: concatMap leaf [ one ] != [ ]) (concatLists (sorted ds));
            in
            if b.all (d: isList d.v) ds then
              genList (i: type.merge (loc ++ [ (toString i) ]) [ (elemAt all i) ]) (length all)
            else
              refuse loc self;
          empty = [ ];
        };
      in
      self;
    attrsOf =
      type:
      let
        self = {
          name = "attribute set of ${type.name}";
          check = isAttrs;
          merge =
            loc: defs:
            let
              ds = best (concatMap leaf defs);
              live = map (d: d.v) ds;
              present = name: concatMap leaf (at name live) != [ ];
            in
            if b.all isAttrs live then
              listToAttrs (
                map (name: {
                  inherit name;
                  value = type.merge (loc ++ [ name ]) (at name live);
                }) (filter present (keys live))
              )
            else
              refuse loc self;
          empty = { };
        };
      in
      self;
    lazyAttrsOf = attrsOf;
    functionTo =
      type:
      let
        self = {
          name = "function that evaluates to a(n) ${type.name}";
          check = builtins.isFunction;
          merge =
            loc: defs:
            let
              ds = best (concatMap leaf defs);
            in
            if b.all (d: builtins.isFunction d.v) ds then
              argument: type.merge (loc ++ [ "<function body>" ]) (map (d: d.v argument) ds)
            else
              refuse loc self;
        };
      in
      self;
    nullOr = type: {
      name = "null or ${type.name}";
      check = v: v == null || type.check v;
      merge =
        loc: defs:
        if b.all (d: d.v == null) (best (concatMap leaf defs)) then null else type.merge loc defs;
    };
    oneOf =
      choices:
      let
        self = {
          name = "one of several types";
          check = v: b.any (type: type.check v) choices;
          merge =
            loc: defs:
            let
              v = (head (best (concatMap leaf defs))).v;
              fitting = filter (type: type.check v) choices;
            in
            if fitting == [ ] then refuse loc self else (head fitting).merge loc defs;
        };
      in
      self;
    either = x: y: oneOf [
      x
      y
    ];
    anything = {
      name = "anything";
      check = _: true;
      merge =
        loc: defs:
        let
          ds = best (concatMap leaf defs);
          v = (head ds).v;
        in
        if isAttrs v && !(derivationLike v) then
          (attrsOf anything).merge loc defs
        else
          equal anything loc defs;
    };
    submodule = module: {
      name = "submodule";
      check = v: isAttrs v || isFunction v;
      merge =
        loc: defs:
        let
          given = map (d: d.v) (best (concatMap leaf defs));
        in
        if b.all (v: isAttrs v || isFunction v) given then
          (evaluate {
            modules = [ { _raw = module; } ] ++ map (v: { _raw = if isFunction v then v else { config = v; }; }) given;
            args.name = elemAt loc (length loc - 1);
            prefix = loc;
          }).config
        else
          refuse loc { name = "submodule"; };
      empty = { };
    };
  };

  # A module as { options; config; free; imports; }.
  normal =
    args: given:
    let
      raw = given._raw or given;
      file = if b.isPath raw || isString raw then import raw else raw;
      module = if isFunction file then file args else file;
      plain = removeAttrs module [
        "options"
        "imports"
        "freeformType"
        "meta"
        "_file"
      ];
    in
    if module ? options || module ? config || module ? imports || module ? freeformType then
      {
        options = module.options or { };
        config = module.config or plain;
        free = module.freeformType or null;
        imports = module.imports or [ ];
      }
    else
      {
        options = { };
        config = module;
        free = null;
        imports = [ ];
      };
  # As nixpkgs goes through them: level by level, and what comes last is merged first.
  levels =
    args: modules:
    let
      these = map (normal args) modules;
    in
    if modules == [ ] then [ ] else levels args (concatMap (m: m.imports) these) ++ reversed these;
  reversed = xs: genList (i: elemAt xs (length xs - i - 1)) (length xs);
  mergeOptions = x: y: x // mapAttrs (n: v: if x ? ${n} && !(is "option" v) then mergeOptions x.${n} v else v) y;
  evaluate =
    {
      modules,
      args ? { },
      prefix ? [ ],
    }:
    let
      all = levels ({ inherit config lib options; } // args) modules;
      options = foldl' mergeOptions { } (map (m: m.options) all);
      free = filter (type: type != null) (map (m: m.free) all);
      defs = map (m: m.config) all;

      tree = loc: declared: ds: mapAttrs (n: sub: value (loc ++ [ n ]) sub (at n ds)) declared;
      value =
        loc: declared: ds:
        if is "option" declared then
          let
            live = concatMap leaf ds;
            fallback = if declared ? default then [ (mkOverride 1500 declared.default) ] else [ ];
          in
          if live == [ ] && fallback == [ ] && declared.type ? empty then
            (declared.apply or (merged: merged)) (declared.type.merge loc [ declared.type.empty ])
          else if live == [ ] && fallback == [ ] then
            throw "The option `${show loc}' was accessed but has no value defined. Try setting the option."
          else if declared.readOnly or false && live != [ ] then
            throw "The option `${show loc}' is read-only, but it's set multiple times."
          else
            (declared.apply or (merged: merged)) (declared.type.merge loc (ds ++ fallback))
        else
          strict loc declared ds (tree loc declared ds);
      strict =
        loc: declared: ds: result:
        let
          unknown = filter (n: !(declared ? ${n}) && n != "_module") (keys ds);
        in
        if unknown == [ ] then
          result
        else
          throw "The option `${show (loc ++ [ (head unknown) ])}' does not exist.";

      declared = tree prefix options defs;
      freeform =
        let
          rest = concatMap (d: map (a: removeAttrs a (attrNames options)) (push d)) defs;
        in
        if keys rest == [ ] then { } else (head free).merge prefix rest;
      config = if free == [ ] then strict prefix options defs declared else freeform // declared;
    in
    {
      inherit config options;
    };

  lib = customisation // {
    inherit
      mkIf
      mkMerge
      mkOrder
      mkOverride
      types
      ;
    mkDefault = mkOverride 1000;
    mkForce = mkOverride 50;
    mkBefore = mkOrder 500;
    mkAfter = mkOrder 1500;
    mkOption = given: { type = types.raw; } // given // { _type = "option"; };
    mkEnableOption =
      what:
      lib.mkOption {
        type = types.bool;
        default = false;
        description = "Whether to enable ${what}.";
      };
    literalExpression = text: {
      _type = "literalExpression";
      inherit text;
    };
    evalModules =
      {
        modules,
        specialArgs ? { },
      }:
      evaluate {
        inherit modules;
        args = specialArgs;
      };

    inherit (b)
      attrNames
      attrValues
      any
      all
      concatLists
      concatMap
      concatStringsSep
      elem
      elemAt
      filter
      foldl'
      genList
      head
      isAttrs
      isList
      isString
      length
      listToAttrs
      mapAttrs
      tail
      ;
    optional = is: x: if is then [ x ] else [ ];
    optionals = is: xs: if is then xs else [ ];
    optionalString = is: s: if is then s else "";
    optionalAttrs = is: set: if is then set else { };
    unique = foldl' (all: x: if elem x all then all else all ++ [ x ]) [ ];
    imap0 = f: xs: genList (i: f i (elemAt xs i)) (length xs);

    nameValuePair = name: value: { inherit name value; };
    filterAttrs =
      keep: set: listToAttrs (concatMap (n: if keep n set.${n} then [ (lib.nameValuePair n set.${n}) ] else [ ]) (attrNames set));
    mapAttrsToList = f: set: map (n: f n set.${n}) (attrNames set);
    mapAttrs' = f: set: listToAttrs (map (n: f n set.${n}) (attrNames set));
    genAttrs = names: f: listToAttrs (map (n: lib.nameValuePair n (f n)) names);
    recursiveUpdate =
      x: y: x // mapAttrs (n: v: if x ? ${n} && isAttrs x.${n} && isAttrs v then lib.recursiveUpdate x.${n} v else v) y;

    concatStrings = b.concatStringsSep "";
    concatMapStrings = f: xs: b.concatStringsSep "" (map f xs);
    concatMapStringsSep = sep: f: xs: b.concatStringsSep sep (map f xs);
    inherit (b) replaceStrings;
    hasPrefix = prefix: s: substring 0 (stringLength prefix) s == prefix;
    hasSuffix =
      suffix: s:
      let
        rest = stringLength s - stringLength suffix;
      in
      rest >= 0 && substring rest (stringLength suffix) s == suffix;
    removePrefix = prefix: s: if lib.hasPrefix prefix s then substring (stringLength prefix) (stringLength s) s else s;
    removeSuffix =
      suffix: s: if lib.hasSuffix suffix s then substring 0 (stringLength s - stringLength suffix) s else s;
    splitString = sep: s: filter isString (b.split (lib.escapeRegex sep) s);
    escapeRegex = b.replaceStrings
      [ "." "/" "-" "+" ]
      [ "\\." "/" "-" "\\+" ];
    toLower =
      let
        upper = [ "A" "B" "C" "D" "E" "F" "G" "H" "I" "J" "K" "L" "M" "N" "O" "P" "Q" "R" "S" "T" "U" "V" "W" "X" "Y" "Z" ];
        lower = [ "a" "b" "c" "d" "e" "f" "g" "h" "i" "j" "k" "l" "m" "n" "o" "p" "q" "r" "s" "t" "u" "v" "w" "x" "y" "z" ];
      in
      b.replaceStrings upper lower;
    toInt =
      s:
      if b.match "-?(0|[1-9][0-9]*)" s != null then
        b.fromJSON s
      else
        throw "toInt: Ambiguity in interpretation of ${s} between octal and zero padded integer.";
    fix =
      f:
      let
        x = f x;
      in
      x;
    escapeShellArg =
      x:
      let
        s = toString x;
      in
      if b.match "[[:alnum:],._+:@%/-]+" s != null then s else "'${b.replaceStrings [ "'" ] [ "'\\''" ] s}'";

    getName = x: if isString x then (b.parseDrvName x).name else x.pname or (b.parseDrvName x.name).name;
    getExe = p: "${p}/bin/${p.meta.mainProgram or (lib.getName p)}";
    makeBinPath = packages: b.concatStringsSep ":" (map (p: "${p}/bin") packages);
    licenses = mapAttrs (name: _: { inherit name; }) {
      bsd3 = 0;
      gpl3Only = 0;
      mit = 0;
      unfreeRedistributable = 0;
    };
    sourceTypes = {
      binaryBytecode.name = "bytecode";
      binaryNativeCode.name = "binary";
    };
    platforms.linux = [ "x86_64-linux" ];
  };
in
lib
