# Folders that would get in each other's way, or that a unit cannot name; and settings that the units would not follow.
# Each message says what to do.
{ config, lib, ... }:
let
  cfg = config.services.zoetrope;
  inherit (cfg) settings;
  homes = import ./homes.nix { inherit lib; };
  inside = outer: inner: lib.hasPrefix "${outer}/" "${inner}/";
  inbox = toString cfg.inbox.path;
  outbox = toString cfg.outbox.path;
  models = toString cfg.models.directory;
  data = toString cfg.comfyui.dataDir;
  state = "/var/lib/zoetrope";
  folders = {
    "inbox.path" = inbox;
    "outbox.path" = outbox;
    "models.directory" = models;
    "comfyui.dataDir" = data;
  };
  named = lib.attrValues folders ++ map toString cfg.models.extraDirectories;

  # In systemd's lists of paths a blank separates entries, a colon the two ends of a bind mount, and a percent sign
  # begins a specifier; quotes end at the next one, and a path with `..` is ignored.
  odd = lib.filter (
    path: builtins.match ".*[[:space:]:%'\"\\].*|.*/[.][.]?(/.*)?" path != null
  ) named;
  # A whole tree of the system's own would be given to the group.
  top = lib.filter (name: builtins.match "/[^/]*/?" folders.${name} != null) (lib.attrNames folders);

  # What ComfyUI's user has to reach, and cannot: the others are closed to it.
  within = lib.concatMap (
    name:
    lib.optional (inside inbox folders.${name}) "${name} (${folders.${name}}) is inside services.zoetrope.inbox.path"
    ++ lib.optional (inside outbox folders.${name}) "${name} (${folders.${name}}) is inside services.zoetrope.outbox.path"
  ) [
    "models.directory"
    "comfyui.dataDir"
  ]
  ++ lib.optional (inside state data) "comfyui.dataDir (${data}) is inside the service's own ${state}";

  # The units are made for the options; a setting alone changes none of them.
  followed =
    setting: value: option: wanted:
    {
      assertion = toString value == wanted;
      message = "services.zoetrope.settings.${setting} is ${toString value}, but the units are made for ${wanted}. ${option}";
    };
in
{
  config.assertions = lib.mkIf cfg.enable [
    {
      assertion = !(inside inbox outbox);
      message = "services.zoetrope.outbox.path (${outbox}) is inside services.zoetrope.inbox.path (${inbox}), so finished videos would be taken as new pictures. Use two separate folders, such as /srv/zoetrope/inbox and /srv/zoetrope/outbox.";
    }
    {
      assertion = inbox == outbox || !(inside outbox inbox);
      message = "services.zoetrope.inbox.path (${inbox}) is inside services.zoetrope.outbox.path (${outbox}), so new pictures would be mixed with finished videos. Use two separate folders, such as /srv/zoetrope/inbox and /srv/zoetrope/outbox.";
    }
    {
      assertion = odd == [ ];
      message = "services.zoetrope: ${lib.concatStringsSep ", " odd} contains a blank, a colon, a quote, a backslash, a percent sign or `..`, which systemd's lists of paths cannot hold. Choose another path, or bind-mount the folder: fileSystems.\"/srv/pictures\" = { device = \"...\"; options = [ \"bind\" ]; }.";
    }
    {
      assertion = !(homes.hides models);
      message = "services.zoetrope.models.directory (${models}) is in a home directory, where the units may write nothing (ProtectHome). Fetched models go to a folder elsewhere, such as /var/lib/zoetrope-models; name the folder in the home in services.zoetrope.models.extraDirectories, and what is there already is used.";
    }
    {
      assertion = !(homes.hides data);
      message = "services.zoetrope.comfyui.dataDir (${data}) is in a home directory, where ComfyUI may write nothing (ProtectHome). Choose a folder elsewhere, such as /srv/comfyui.";
    }
    {
      assertion = top == [ ];
      message = "services.zoetrope.${lib.concatStringsSep ", " top} is a folder at the top of the file system, and all of it would get another group and mode. Use a folder of its own, such as /srv/zoetrope/inbox.";
    }
    {
      assertion = within == [ ];
      message = "services.zoetrope.${lib.concatStringsSep ", " within}, which is closed to ComfyUI's user. Choose a folder elsewhere, such as /srv/comfyui.";
    }
    {
      assertion = builtins.match "[A-Za-z_][A-Za-z0-9_-]*" cfg.inbox.group != null && cfg.inbox.group != "zoetrope-engine";
      message = "services.zoetrope.inbox.group is `${cfg.inbox.group}`. Name a group of the people who use the share: letters, digits, '_' and '-', and not the group of ComfyUI's user.";
    }
    (followed "inbox.path" settings.inbox.path "Set services.zoetrope.inbox.path instead." inbox)
    (followed "outbox.path" settings.outbox.path "Set services.zoetrope.outbox.path instead." outbox)
    (followed "models.path" settings.models.path "Set services.zoetrope.models.directory instead." models)
    (followed "web.listen" settings.web.listen "Set services.zoetrope.listen instead." cfg.listen)
    (followed "state.path" settings.state.path
      "To have it elsewhere, bind-mount that folder: fileSystems.\"${state}\" = { device = \"...\"; options = [ \"bind\" ]; }."
      state
    )
  ];
}
