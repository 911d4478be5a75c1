# Options for folders, recipes, page and packages. GPUs, models and free-form settings have their own files.
{ config, lib, pkgs, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.services.zoetrope;
  packages = pkgs.zoetropePackages or (import ../packages { inherit pkgs; });
  shipped = lib.attrNames (
    lib.filterAttrs (_: kind: kind == "directory") (builtins.readDir ../../workflows)
  );
  mode = types.strMatching "[0-7]{4}";
in
{
  options.services.zoetrope = {
    enable = lib.mkEnableOption "zoetrope: pictures in, checked videos out";

    package = mkOption {
      type = types.package;
      default = packages.zoetrope;
      defaultText = lib.literalExpression "zoetropePackages.zoetrope";
      description = "The service and the command line.";
    };

    preStart = mkOption {
      type = types.package;
      default = packages.pre-start;
      defaultText = lib.literalExpression "zoetropePackages.pre-start";
      description = "The script that checks driver, models, node packs and kernels before each start of ComfyUI.";
    };

    inbox = {
      path = mkOption {
        type = types.path;
        default = "/srv/zoetrope/inbox";
        description = "The folder for new pictures. It is created, with the group and mode below, except in a home directory, where its owner must create it: `mkdir -m 2770`, with that group.";
      };
      group = mkOption {
        type = types.str;
        default = "zoetrope-share";
        example = "users";
        description = ''
          The group of inbox and outbox, apart from the service's own. The default has the members of the group
          `zoetrope`, which had the folders in earlier versions, and the users whose first group that is. Users, and the user of
          the share, must be members: files that they drop
          must be readable by the group, which the setgid bit of the folder and their umask ensure.
        '';
      };
      mode = mkOption {
        type = mode;
        default = "3770";
        description = ''
          The mode of the inbox, except in a home directory. The setgid bit gives every file the group of the folder; the
          sticky bit keeps members from replacing the service's own folder in it and from removing each other's waiting
          pictures. In a home directory use 2770: with the sticky bit the service could not move the pictures of others.
        '';
      };
    };

    outbox = {
      path = mkOption {
        type = types.path;
        default = "/srv/zoetrope/outbox";
        description = "The folder for finished videos, one folder each.";
      };
      mode = mkOption {
        type = mode;
        default = "2770";
        description = "The mode of the outbox.";
      };
    };

    recipes = mkOption {
      type = types.listOf types.str;
      default = [ "wan22-i2v-hero" ];
      description = "The recipes that this host supports: their models are fetched and checked. The first one is the default.";
    };

    extraRecipes = mkOption {
      type = types.attrsOf types.path;
      default = { };
      example = lib.literalExpression "{ night-sky = ./recipes/night-sky; }";
      description = "Recipes of your own, by name: folders with a recipe.toml and its workflows.";
    };

    shippedRecipes = mkOption {
      type = types.listOf types.str;
      default = shipped;
      internal = true;
      readOnly = true;
      description = "The recipes that come with the package.";
    };

    hours = mkOption {
      type = types.nullOr types.str;
      default = null;
      example = "22:00-07:00, 12:00-13:30";
      description = ''
        When stages may start, in the local time of the host (`time.timeZone`); null is at any time. Pictures are taken
        and queued at any time, and a stage that runs at the end of the hours goes on to its own end. `zoetrope resume
        --now` has stages start outside them until they begin the next time.
      '';
    };

    freeAfterMinutes = mkOption {
      type = types.nullOr types.ints.positive;
      default = 10;
      description = ''
        After how many minutes without work ComfyUI is asked to give the GPU's memory back; null is never. Loading the
        models again takes a part of a minute at the next job. A pause, and the end of `hours`, give it back at once.
      '';
    };

    listen = mkOption {
      type = types.strMatching ".+:[0-9]+";
      default = "127.0.0.1:8190";
      example = "0.0.0.0:8190";
      description = "The address of the page and the API. Beyond loopback a `tokenFile` is required.";
    };

    openFirewall = mkOption {
      type = types.bool;
      default = false;
      description = "Whether to open the port of the page in the firewall.";
    };

    tokenFile = mkOption {
      type = types.nullOr types.externalPath;
      default = null;
      example = "/run/secrets/zoetrope-token";
      description = ''
        A file outside the store with the page's token: 16 characters or more on one line. It is read by
        systemd as root and passed to the service only (LoadCredential).
      '';
    };

    engineUrlFiles = mkOption {
      type = types.attrsOf types.externalPath;
      default = { };
      example = {
        far = "/run/secrets/zoetrope-far";
      };
      description = ''
        Further engines, by their names (letters, digits, `_`, `.` and `-`): each a file outside the store with the
        address of a ComfyUI on one line, such as `https://user:password@host:8188`. They are read by systemd as root
        and passed to the service only (LoadCredential); a changed one counts after a restart of the unit. The service
        may then open connections to other hosts.
      '';
    };

    comfyui = {
      package = mkOption {
        type = types.package;
        default = packages.comfyui;
        defaultText = lib.literalExpression "zoetropePackages.comfyui";
        description = "ComfyUI with its Python. A package of your own needs the same `passthru`: `python`, `source`, `environment`.";
      };
      extraPythonPackages = mkOption {
        type = types.nullOr (types.functionTo (types.listOf types.package));
        default = null;
        example = lib.literalExpression "ps: [ ps.insightface ]";
        description = ''
          Further packages of ComfyUI's Python, for node packs of your own. They are taken from nixpkgs' set of this
          Python, in which torch and all that is pinned are already the pinned ones.
        '';
      };
      finalPackage = mkOption {
        type = types.package;
        internal = true;
        readOnly = true;
        default =
          if cfg.comfyui.extraPythonPackages != null && cfg.comfyui.package.takesPythonPackages or false then
            cfg.comfyui.package.override { inherit (cfg.comfyui) extraPythonPackages; }
          else
            cfg.comfyui.package;
        description = "ComfyUI with the Python packages that were added.";
      };
      dataDir = mkOption {
        type = types.path;
        default = "/var/lib/zoetrope-engine";
        example = "/srv/comfyui";
        description = ''
          Where each ComfyUI has a folder of its own, by the name of its GPU, with what it writes: `input`, `output`,
          `temp`, `user` and the links to models and node packs. What is in the old place does not move by itself.
        '';
      };
      listen = mkOption {
        type = types.str;
        default = "127.0.0.1";
        example = "0.0.0.0";
        description = ''
          The address of ComfyUI itself. It has no login: everybody who reaches it can run any node of any pack.
          Beyond loopback `reachableFrom` must say who that is.
        '';
      };
      reachableFrom = mkOption {
        type = types.listOf types.str;
        default = [ ];
        example = [ "192.168.1.0/24" ];
        description = "Addresses and networks that may reach ComfyUI's own page, in addition to this host.";
      };
      openFirewall = mkOption {
        type = types.bool;
        default = false;
        description = "Whether to open ComfyUI's ports in the firewall.";
      };
      extraArgs = mkOption {
        type = types.listOf types.str;
        default = [ ];
        example = [ "--disable-pinned-memory" ];
        description = "Further arguments for ComfyUI; an argument cannot contain blanks.";
      };
      environment = mkOption {
        type = types.attrsOf types.str;
        default = { };
        example = {
          TORCH_COMPILE_DISABLE = "1";
        };
        description = "Further environment variables for ComfyUI, such as the one that disables compilation.";
      };
    };

    nodePacks = mkOption {
      type = types.attrsOf types.package;
      default = packages.nodePacks;
      defaultText = lib.literalExpression "zoetropePackages.nodePacks";
      description = "The node packs that ComfyUI loads; the shipped recipes need the shipped ones.";
    };

    extraNodePacks = mkOption {
      type = types.attrsOf (types.either types.package types.path);
      default = { };
      example = lib.literalExpression "{ my-nodes = ./my-nodes; }";
      description = "Node packs of your own, by the name of their folder under custom_nodes.";
    };

    attention = mkOption {
      type = types.enum [
        "auto"
        "sage"
        "flash"
        "ck"
        "sdpa"
      ];
      default = "auto";
      description = "The attention kernel. `auto` selects the fastest one that the self-test finds correct on this GPU.";
    };

    memory = mkOption {
      type = types.enum [
        "auto"
        16
        24
        32
        80
      ];
      default = "auto";
      description = "The memory profile in GB; `auto` uses the memory of the GPU.";
    };

    previews = mkOption {
      type = types.enum [
        "none"
        "auto"
        "latent2rgb"
        "taesd"
      ];
      default = "none";
      description = "Live previews on ComfyUI's own page while it samples; they cost a little time at each step.";
    };
  };
}
