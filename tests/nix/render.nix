# Units as text, the way NixOS writes them (nixos/lib/systemd-lib.nix): lists repeat their key, variables
# are quoted like JSON, every service gets the usual PATH, and a drop-in lies in a folder of its own.
{
  config,
  lib,
  pkgs,
}:
let
  word = x: if x == true then "true" else if x == false then "false" else toString x;
  section =
    values:
    lib.concatStrings (
      lib.concatLists (
        lib.mapAttrsToList (
          key: value: map (one: "${key}=${word one}\n") (if lib.isList value then value else [ value ])
        ) values
      )
    );
  joined = key: names: lib.optionalAttrs (names != [ ]) { ${key} = lib.concatStringsSep " " names; };
  # The names of a unit's triggers are in a file of their own, which the unit names.
  triggers =
    kind: name: names:
    lib.optionalAttrs (names != [ ]) {
      "X-${kind}-Triggers" = "${
        pkgs.writeText "X-${kind}-Triggers-${name}" (lib.concatMapStringsSep " " (one: "${one}") names)
      }";
    };
  head =
    name: unit:
    "[Unit]\n"
    + section (
      unit.unitConfig
      // joined "After" unit.after
      // joined "Before" unit.before
      // joined "Requires" unit.requires
      // joined "Wants" unit.wants
      // joined "Documentation" unit.documentation
      // triggers "Restart" name unit.restartTriggers
      // triggers "Reload" name unit.reloadTriggers
      // lib.optionalAttrs (unit.description != "") { Description = unit.description; }
    );
  install = unit: lib.optionalString (unit.wantedBy != [ ]) "\n[Install]\nWantedBy=${lib.concatStringsSep " " unit.wantedBy}\n";

  tools = [
    pkgs.coreutils
    pkgs.findutils
    pkgs.gnugrep
    pkgs.gnused
    pkgs.systemd
  ];
  # What NixOS gives to every service; the latter two restart it when time zones or languages are updated.
  usual = {
    PATH = "${lib.makeBinPath tools}:${lib.concatMapStringsSep ":" (p: "${p}/sbin") tools}";
    TZDIR = "${pkgs.tzdata}/share/zoneinfo";
    LOCALE_ARCHIVE = "${pkgs.glibcLocales}/lib/locale/locale-archive";
  };
  service =
    name: unit:
    head name unit
    + "\n[Service]\n"
    + lib.concatStrings (
      lib.mapAttrsToList (
        name: value: lib.optionalString (value != null) "Environment=${builtins.toJSON "${name}=${value}"}\n"
      ) (usual // unit.environment)
    )
    + lib.optionalString (!unit.restartIfChanged) "X-RestartIfChanged=false\n"
    + section unit.serviceConfig
    + install unit;

  file =
    suffix: name: unit:
    if unit.overrideStrategy == "asDropin" then
      "${name}.${suffix}.d/overrides.conf"
    else
      "${name}.${suffix}";
  all =
    suffix: text: units:
    lib.mapAttrs' (name: unit: lib.nameValuePair (file suffix name unit) (text name unit)) units;
  # NixOS adds to targets of systemd's own.
  targets = lib.mapAttrs' (
    name: unit: lib.nameValuePair "${name}.target.d/overrides.conf" (head name unit)
  ) config.systemd.targets;

  escaped = builtins.replaceStrings [ "\t" "\n" "\r" " " "\\" ] [ "\\x9" "\\xa" "\\xd" "\\x20" "\\x5c" ];
  line =
    path: kind: rule:
    "'${kind}' '${path}' '${rule.mode}' '${rule.user}' '${rule.group}' '${rule.age}' ${escaped rule.argument}\n";
in
{
  units =
    all "service" service config.systemd.services
    // all "timer" (name: unit: head name unit + "\n[Timer]\n" + section unit.timerConfig + install unit) config.systemd.timers
    // all "socket" (
      name: unit:
      head name unit
      + "\n[Socket]\n"
      + section (unit.socketConfig // { ListenStream = unit.listenStreams; })
      + install unit
    ) config.systemd.sockets
    // all "slice" (name: unit: head name unit + "\n[Slice]\n" + section unit.sliceConfig + install unit) config.systemd.slices
    // targets;
  tmpfiles = lib.mapAttrs (
    _: paths:
    lib.concatStrings (
      lib.concatLists (
        lib.mapAttrsToList (path: rules: lib.mapAttrsToList (kind: line path kind) rules) paths
      )
    )
  ) config.systemd.tmpfiles.settings;
}
