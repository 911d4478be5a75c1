# Contradictions in the options, found before the host is built; each message says what to do.
{ config, lib, ... }:
let
  cfg = config.services.zoetrope;
  cards = import ./cards.nix;

  address = builtins.match "\\[?(.*[^]])]?:([0-9]+)" cfg.listen;
  loopbackHost = host: lib.hasPrefix "127." host || host == "::1" || host == "localhost";
  beyond = address == null || !(loopbackHost (lib.head address));
  pagePort = if address == null then 0 else lib.toInt (lib.elemAt address 1);

  known = cfg.shippedRecipes ++ lib.attrNames cfg.extraRecipes;
  unknown = lib.filter (name: !(lib.elem name known)) (lib.unique (cfg.recipes ++ cfg.models.recipes));
  ports = lib.mapAttrsToList (_: gpu: gpu.port) cfg.gpus;
  other = config.services.comfyui or { };
  folders = map lib.toLower (
    lib.mapAttrsToList (name: pack: pack.folder or name) cfg.nodePacks
  );
  colliding = lib.filter (name: lib.elem (lib.toLower name) folders) (lib.attrNames cfg.extraNodePacks);
  misnamed = lib.filter (name: builtins.match "[A-Za-z0-9_-][A-Za-z0-9_.-]*" name == null) (lib.attrNames cfg.extraNodePacks);
  hidden = lib.filter (pack: builtins.isString pack && homes.hides pack) (lib.attrValues cfg.extraNodePacks);
  strangers = lib.filter (
    each: builtins.match "[0-9]+([.][0-9]+){3}(/[0-9]+)?|[0-9a-fA-F]*:[0-9a-fA-F:.]*(/[0-9]+)?|any|localhost|link-local|multicast" each == null
  ) cfg.comfyui.reachableFrom;
  blank = lib.filter (word: builtins.match ".*[[:space:]].*" word != null) cfg.comfyui.extraArgs;

  homes = import ./homes.nix { inherit lib; };
  reached = loopbackHost cfg.comfyui.listen && cfg.comfyui.listen != "::1" || cfg.comfyui.listen == "0.0.0.0";

  # Node packs that do not load on the CPU, and the shipped recipes that use them.
  onCpu = lib.all (gpu: gpu.cpu) (lib.attrValues cfg.gpus) && cfg.gpus != { };
  unloadable = lib.mapAttrsToList (name: pack: pack.folder or name) (
    lib.filterAttrs (_: pack: pack.needsGpu or false) cfg.nodePacks
  );
  packsOf = name: (builtins.fromTOML (builtins.readFile (../../workflows + "/${name}/recipe.toml"))).packs or [ ];
  impossible = lib.filter (
    name: lib.elem name cfg.shippedRecipes && lib.any (pack: lib.elem pack unloadable) (packsOf name)
  ) cfg.recipes;

  unnamed = lib.filter (name: cfg.gpus.${name}.uuid == null) (lib.attrNames cfg.gpus);

  profileChecks = lib.concatLists (
    lib.mapAttrsToList (
    name: profile:
    let
      floor = if profile.card == null then null else cards.${profile.card}.floor or null;
      offset = if profile.coreOffsetMhz == null then 0 else profile.coreOffsetMhz;
    in
    [
    {
      assertion = profile.maxCoreMhz != null || profile.coreOffsetMhz != null || profile.powerLimitW != null;
      message = "services.zoetrope.gpu.profiles.${name} sets nothing. Set maxCoreMhz, powerLimitW or both.";
    }
    {
      assertion = offset <= 0 || profile.maxCoreMhz != null;
      message = "services.zoetrope.gpu.profiles.${name}.coreOffsetMhz is ${toString offset} without maxCoreMhz, which also raises the highest clock: an overclock. Set maxCoreMhz as well for an undervolt.";
    }
    {
      assertion = floor == null || profile.powerLimitW == null || profile.powerLimitW >= floor;
      message = "services.zoetrope.gpu.profiles.${name}.powerLimitW is ${toString profile.powerLimitW}, but the driver of an ${toString profile.card} accepts nothing below ${toString floor} W. Set ${toString floor} or more; to save more power, lower maxCoreMhz.";
    }
    ]
    ) cfg.gpu.profiles
  );

  wanted = lib.unique (map (gpu: [ gpu.profile gpu.idleProfile ]) (lib.attrValues cfg.gpus));
  # A profile finds its GPU by uuid, else by the card that it is for; it finds every GPU of that card then.
  cardOf = gpu: if gpu.profile == null then null else (cfg.gpu.profiles.${gpu.profile} or { card = null; }).card;
  alike =
    gpu: other:
    (other.profile != gpu.profile || other.idleProfile != gpu.idleProfile)
    && lib.elem (cardOf gpu) [
      (cardOf other)
      other.card
    ];
  told =
    gpu:
    gpu.uuid != null
    || (cardOf gpu != null && !(lib.any (alike gpu) (lib.attrValues cfg.gpus)));
  uuids = lib.filter (uuid: uuid != null) (lib.mapAttrsToList (_: gpu: gpu.uuid) cfg.gpus);
  declared = if cfg.gpu.profiles == { } then "" else ", or use one of: ${lib.concatStringsSep ", " (lib.attrNames cfg.gpu.profiles)}";
  gpuChecks = lib.concatLists (
    lib.mapAttrsToList (
      name: gpu:
      let
        profile = cfg.gpu.profiles.${toString gpu.profile} or null;
      in
      [
        {
          assertion = builtins.match "[A-Za-z0-9_.-]+" name != null;
          message = "services.zoetrope.gpus.\"${name}\": the name becomes part of a unit's name (zoetrope-comfyui@0). Use letters, digits, '_', '.' and '-'.";
        }
        {
          assertion = gpu.profile == null || profile != null;
          message = "services.zoetrope.gpus.\"${name}\".profile names `${toString gpu.profile}`, which services.zoetrope.gpu.profiles does not have. Declare it there${declared}.";
        }
        {
          assertion = gpu.idleProfile == null || cfg.gpu.profiles ? ${toString gpu.idleProfile};
          message = "services.zoetrope.gpus.\"${name}\".idleProfile names `${toString gpu.idleProfile}`, which services.zoetrope.gpu.profiles does not have. Declare it there${declared}.";
        }
        {
          # CUDA takes no other name for a GPU.
          assertion = gpu.uuid != null || gpu.cpu || builtins.match "[0-9]+" name != null;
          message = "services.zoetrope.gpus.\"${name}\" has no uuid, and its name is no index of a GPU, such as 0. Set its uuid (nvidia-smi -L).";
        }
      ]
      ++ map (
        named:
        let
          of = cfg.gpu.profiles.${toString named} or { card = null; };
        in
        {
          assertion = gpu.card == null || of.card == null || of.card == gpu.card;
          message = "services.zoetrope.gpus.\"${name}\" is an ${toString gpu.card} and its profile `${toString named}` is for an ${toString of.card}. Clocks and limits differ between GPU models: declare a profile for this GPU.";
        }
      ) [
        gpu.profile
        gpu.idleProfile
      ]
    ) cfg.gpus
  );
in
{
  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = !beyond || cfg.tokenFile != null;
        message = "services.zoetrope.listen is ${cfg.listen}, which other machines can reach, and there is no token. Set services.zoetrope.tokenFile to a file outside the store (such as /run/secrets/zoetrope-token), or listen on 127.0.0.1.";
      }
      {
        assertion = cfg.comfyui.extraPythonPackages == null || cfg.comfyui.package.takesPythonPackages or false;
        message = "services.zoetrope.comfyui.extraPythonPackages cannot be added to the package in services.zoetrope.comfyui.package, which takes none. Add them where that package is made.";
      }
      {
        assertion = reached;
        message = "services.zoetrope.comfyui.listen is ${cfg.comfyui.listen}, but the service reaches ComfyUI at 127.0.0.1. Use 127.0.0.1, or 0.0.0.0 with comfyui.reachableFrom for other machines.";
      }
      {
        assertion = unknown == [ ];
        message = "services.zoetrope.recipes names ${lib.concatStringsSep ", " unknown}, which do not exist. Known recipes: ${lib.concatStringsSep ", " known}. Add your own with services.zoetrope.extraRecipes.<name> = ./folder.";
      }
      {
        assertion = cfg.gpus != { };
        message = "services.zoetrope.gpus is empty, so no ComfyUI would run. Remove it for a single GPU, or declare one: gpus.\"0\" = { }.";
      }
      {
        assertion = lib.length (lib.unique ports) == lib.length ports && !(lib.elem pagePort ports);
        message = "services.zoetrope: two services use the same port: ComfyUI has ${lib.concatMapStringsSep ", " toString ports}, the page ${toString pagePort}. Set services.zoetrope.gpus.<name>.port to different ones.";
      }
      {
        assertion = !((other.enable or false) && lib.elem (other.port or 8188) ports);
        message = "services.comfyui and services.zoetrope both use port ${toString (other.port or 8188)}. zoetrope brings its own ComfyUI: disable services.comfyui, or set services.comfyui.port or services.zoetrope.gpus.<name>.port to another one.";
      }
      {
        assertion = colliding == [ ];
        message = "services.zoetrope.extraNodePacks has ${lib.concatStringsSep ", " colliding}, which is also the name of a shipped node pack; ComfyUI would load only one of them. Rename yours, or replace the shipped one in services.zoetrope.nodePacks.";
      }
      {
        assertion = loopbackHost cfg.comfyui.listen || cfg.comfyui.reachableFrom != [ ];
        message = "services.zoetrope.comfyui.listen is ${cfg.comfyui.listen}, but ComfyUI has no login: everybody who reaches it can run any code that a node runs. Set who may reach it with services.zoetrope.comfyui.reachableFrom = [ \"192.168.1.0/24\" ], or listen on 127.0.0.1.";
      }
      {
        assertion = lib.length (lib.unique uuids) == lib.length uuids;
        message = "services.zoetrope.gpus: two of them have the same uuid, so two ComfyUI would share one GPU. Set the uuid of each (nvidia-smi -L).";
      }
      {
        assertion = strangers == [ ];
        message = "services.zoetrope.comfyui.reachableFrom has ${lib.concatStringsSep ", " strangers}, which systemd takes for no address: it would let none of them in. Write addresses, with the length of their prefix for a network: 192.168.1.0/24.";
      }
      {
        assertion = misnamed == [ ];
        message = "services.zoetrope.extraNodePacks: ${lib.concatStringsSep ", " misnamed} cannot be the name of a folder. Use letters, digits, '_', '.' and '-'.";
      }
      {
        assertion = hidden == [ ];
        message = "services.zoetrope.extraNodePacks: ${lib.concatStringsSep ", " hidden} is in a home directory, which ComfyUI does not see (ProtectHome). Write it as a path, such as ./my-nodes, and it is copied into the store.";
      }
      {
        assertion = blank == [ ];
        message = "services.zoetrope.comfyui.extraArgs has `${lib.concatStringsSep "`, `" blank}`: an argument cannot contain blanks. Write each word as a separate list element.";
      }
      {
        assertion = lib.length wanted == 1 || lib.all told (lib.attrValues cfg.gpus);
        message = "services.zoetrope.gpus: the GPUs have different profiles but cannot be distinguished. Set the uuid of each (nvidia-smi -L).";
      }
    ]
    ++ profileChecks
    ++ gpuChecks;

    warnings =
      lib.optional (lib.length (lib.attrNames cfg.gpus) > 1 && unnamed != [ ])
        "services.zoetrope.gpus: ${lib.concatStringsSep ", " unnamed} ${if lib.length unnamed == 1 then "has" else "have"} no uuid, so the index is used, which changes when a GPU is moved or fails. Set the uuids from `nvidia-smi -L`."
      ++ lib.optional (onCpu && impossible != [ ])
        "services.zoetrope.gpus: ComfyUI runs on the CPU, where the node pack ${lib.concatStringsSep ", " unloadable} does not load, so jobs with ${lib.concatStringsSep ", " impossible} are rejected. Set services.zoetrope.recipes to recipes without it, such as wan22-i2v-lightning, or leave gpus.<name>.cpu out on a host with a GPU."
      ++ lib.concatLists (
      lib.mapAttrsToList (
        name: gpu:
        lib.optional (gpu.card != null && (cards.${gpu.card}.blackwell or false) && gpu.profile == null)
          "services.zoetrope.gpus.\"${name}\" is an ${gpu.card} without a profile: it runs at stock clocks and full power for hours. Declare one in services.zoetrope.gpu.profiles and set it in gpus.\"${name}\".profile; examples/workstation-5090.nix shows how."
      ) cfg.gpus
    );
  };
}
