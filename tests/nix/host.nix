# The part of NixOS that the module speaks to, with the types that NixOS gives it.
{ config, lib, ... }:
let
  inherit (lib) mkDefault mkOption types;
  hostUsers = config.users.users;
  hostGroups = config.users.groups;
  word = types.oneOf [
    types.bool
    types.int
    types.float
    types.str
    types.path
    types.package
  ];
  section = types.attrsOf (types.either word (types.listOf word));
  names = mkOption {
    type = types.listOf types.str;
    default = [ ];
  };
  text = mkOption {
    type = types.str;
    default = "";
  };
  triggers = mkOption {
    type = types.listOf types.raw;
    default = [ ];
  };
  sections = mkOption {
    type = section;
    default = { };
  };
  unitNames = mkOption {
    type = types.listOf (
      types.strMatching "[a-zA-Z0-9@%:_.\\-]+[.](service|socket|device|mount|automount|swap|target|path|timer|scope|slice)"
    );
    default = [ ];
  };
  unit = {
    description = text;
    documentation = names;
    after = unitNames;
    before = unitNames;
    requires = unitNames;
    wants = unitNames;
    wantedBy = unitNames;
    unitConfig = sections;
    restartTriggers = triggers;
    reloadTriggers = triggers;
    overrideStrategy = mkOption {
      type = types.str;
      default = "asDropinIfExists";
    };
  };
  units =
    extra:
    mkOption {
      type = types.attrsOf (types.submodule { options = unit // extra; });
      default = { };
    };
  free = mkOption {
    type = types.anything;
    default = { };
  };
  # A field of a line in /etc/passwd, and no longer than NixOS takes.
  entry = types.strMatching "[^:\n]{0,31}";
  named = mkOption { type = entry; };
  flag = standard: mkOption {
    type = types.bool;
    default = standard;
  };
  # Nothing else: NixOS takes no option of a user that it does not know.
  user = { name, config, ... }: {
    options = {
      enable = flag true;
      name = named;
      description = text;
      group = mkOption {
        type = entry;
        default = "";
      };
      extraGroups = names;
      isNormalUser = flag false;
      isSystemUser = flag false;
      createHome = flag false;
      home = mkOption {
        type = types.path;
        default = "/var/empty";
      };
      uid = mkOption {
        type = types.nullOr types.int;
        default = null;
      };
    };
    config = lib.mkMerge [
      { name = mkDefault name; }
      (lib.mkIf config.isNormalUser {
        group = mkDefault "users";
        createHome = mkDefault true;
        home = mkDefault "/home/${config.name}";
      })
    ];
  };
  # As NixOS does: who names a group is in its list of members, but for whom it is the first group.
  group = { name, config, ... }: {
    options = {
      name = named;
      gid = mkOption {
        type = types.nullOr types.int;
        default = null;
      };
      members = names;
    };
    config = {
      name = mkDefault name;
      members = lib.mapAttrsToList (_: user: user.name) (
        lib.filterAttrs (_: user: user.enable && lib.elem config.name user.extraGroups) hostUsers
      );
    };
  };
in
{
  options = {
    assertions = mkOption {
      type = types.listOf types.raw;
      default = [ ];
    };
    warnings = names;
    systemd.services = units {
      serviceConfig = sections;
      environment = mkOption {
        type = types.attrsOf (types.nullOr (types.oneOf [ types.str types.path types.package ]));
        default = { };
      };
      restartIfChanged = mkOption {
        type = types.bool;
        default = true;
      };
    };
    systemd.timers = units { timerConfig = sections; };
    systemd.sockets = units {
      socketConfig = sections;
      listenStreams = names;
    };
    systemd.slices = units { sliceConfig = sections; };
    systemd.targets = units { };
    systemd.tmpfiles.settings = mkOption {
      type = types.attrsOf (types.attrsOf (types.attrsOf (types.submodule {
        options = lib.genAttrs [ "user" "group" "mode" "age" ] (_: mkOption {
          type = types.str;
          default = "-";
        }) // { argument = text; };
      })));
      default = { };
    };
    users.users = mkOption {
      type = types.attrsOf (types.submodule user);
      default = { };
    };
    users.groups = mkOption {
      type = types.attrsOf (types.submodule group);
      default = { };
    };
    environment.etc = mkOption {
      type = types.attrsOf (types.submodule {
        options.source = mkOption { type = types.path; };
      });
      default = { };
    };
    environment.systemPackages = mkOption {
      type = types.listOf types.package;
      default = [ ];
    };
    networking = {
      hostName = text;
      firewall.allowedTCPPorts = mkOption {
        type = types.listOf types.port;
        default = [ ];
      };
    };
    security.polkit.enable = mkOption {
      type = types.bool;
      default = false;
    };
    security.polkit.extraConfig = mkOption {
      type = types.lines;
      default = "";
    };
    # What the examples say besides; NixOS checks these, not we.
    boot = free;
    fileSystems = free;
    hardware = free;
    nixpkgs = free;
    services.comfyui = free;
    services.samba = free;
    services.xserver = free;
    system = free;
  };
  # What every host has.
  config.users = {
    groups = lib.genAttrs [ "audio" "input" "nogroup" "render" "root" "users" "video" "wheel" ] (_: { });
    users.root = {
      isSystemUser = true;
      group = "root";
      home = "/root";
    };
  };
  # As NixOS asks of each user.
  config.assertions = lib.concatLists (
    lib.mapAttrsToList (name: user: [
      {
        assertion = !user.enable || (user.isNormalUser != user.isSystemUser);
        message = "Exactly one of users.users.${name}.isSystemUser and users.users.${name}.isNormalUser must be set.";
      }
      {
        assertion = !user.enable || user.isNormalUser || user.group != "";
        message = "users.users.${name}.group is unset. This used to default to nogroup, but this is unsafe.";
      }
      {
        assertion = user.group == "" || lib.elem user.group (lib.mapAttrsToList (_: group: group.name) hostGroups);
        message = "The following users have a primary group that is undefined: ${name}";
      }
    ]) hostUsers
  );
}
