# What nixpkgs' lib makes of package functions and what they return: `callPackage` adds to every attribute
# set, whether it is a package or not, and makes a functor of every function.
let
  inherit (builtins)
    attrNames
    filter
    head
    intersectAttrs
    isAttrs
    listToAttrs
    mapAttrs
    ;
  # The attribute under this condition, or none.
  only = condition: set: if condition then set else { };
  # Recovers the old arguments for a change that is a function of them.
  changed = old: change: old // (if customisation.isFunction change then change old else change);

  customisation = {
    functionArgs =
      f:
      if f ? __functor then
        f.__functionArgs or (customisation.functionArgs (f.__functor f))
      else
        builtins.functionArgs f;
    isFunction =
      f: builtins.isFunction f || (f ? __functor && builtins.isFunction (f.__functor f));
    setFunctionArgs = f: arguments: {
      __functor = _: f;
      __functionArgs = arguments;
    };
    mirrorFunctionArgs = f: g: customisation.setFunctionArgs g (customisation.functionArgs f);
    isDerivation = value: (value.type or null) == "derivation";
    extends =
      overlay: f: final:
      let
        prev = f final;
      in
      prev // overlay final prev;

    extendDerivation =
      condition: extra: drv:
      let
        asserted = output: {
          drvPath = assert condition; output.drvPath;
          outPath = assert condition; output.outPath;
        };
        outputs = map (name: {
          inherit name;
          value =
            whole
            // {
              inherit (drv.${name}) type outputName;
              outputSpecified = true;
            }
            // asserted drv.${name}
            // only (extra ? overrideAttrs) { overrideAttrs = f: (extra.overrideAttrs f).${name}; };
        }) (drv.outputs or [ "out" ]);
        whole =
          drv // listToAttrs outputs // { all = map (output: output.value) outputs; } // extra // asserted drv;
      in
      whole;

    overrideDerivation =
      drv: f:
      let
        passthru = drv.passthru or { };
      in
      customisation.extendDerivation (builtins.seq drv.drvPath true) (
        {
          meta = drv.meta or { };
          inherit passthru;
        }
        // passthru
      ) (derivation (drv.drvAttrs // f drv));

    makeOverridable =
      f:
      let
        like = customisation.mirrorFunctionArgs f;
        again = g: customisation.makeOverridable (like g);
        call =
          arguments:
          let
            result = f arguments;
            override = like (change: customisation.makeOverridable f (changed arguments change));
          in
          if isAttrs result then
            result
            // {
              inherit override;
              overrideDerivation =
                change: again (given: customisation.overrideDerivation (f given) change) arguments;
            }
            // only (result ? overrideAttrs) {
              overrideAttrs = change: again (given: (f given).overrideAttrs change) arguments;
            }
          else if customisation.isFunction result then
            customisation.mirrorFunctionArgs result result // { inherit override; }
          else
            result;
      in
      if isAttrs f then
        f
        // like call
        // only (f ? override) { override = change: customisation.makeOverridable (f.override change); }
      else
        like call;

    callPackageWith =
      scope: file: arguments:
      let
        f = if customisation.isFunction file then file else import file;
        wanted = customisation.functionArgs f;
        given = intersectAttrs wanted scope // arguments;
        missing = filter (name: !wanted.${name}) (attrNames (removeAttrs wanted (attrNames given)));
      in
      if missing == [ ] then
        customisation.makeOverridable f given
      else
        abort "lib.customisation.callPackageWith: Function called without required argument \"${head missing}\"";

    callPackagesWith =
      scope: file: arguments:
      let
        f = if customisation.isFunction file then file else import file;
        like = customisation.mirrorFunctionArgs f;
        given = intersectAttrs (customisation.functionArgs f) scope // arguments;
        found = f given;
      in
      if customisation.isDerivation found then
        throw "function `callPackages` was called on a *single* derivation"
      else
        mapAttrs (name: _: customisation.makeOverridable (like (again: (f again).${name})) given) found;

    makeScope =
      newScope: f:
      let
        self = {
          callPackage = self.newScope { };
        }
        // f self
        // {
          newScope = more: newScope (self // more);
          overrideScope = overlay: customisation.makeScope newScope (customisation.extends overlay f);
          packages = f;
        };
      in
      self;
  };
in
customisation
