# The part of NixOS that the module speaks to, with the types that NixOS gives it.
{ lib, ... }:
let
  inherit (lib) mkOption types;
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
  unit = {
    description = text;
    documentation = names;
    after = names;
    before = names;
    requires = names;
    wants = names;
    wantedBy = names;
    unitConfig = sections;
    restartTriggers = triggers;
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
        options = lib.genAttrs [ "user" "group" "mode" "age" "argument" ] (_: mkOption {
          type = types.str;
          default = "-";
        });
      })));
      default = { };
    };
    users.users = free;
    users.groups = free;
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
}
