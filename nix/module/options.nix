# What a host says of folders, recipes, page and packages. GPUs, models and free-form settings have files of their own.
{ lib, pkgs, ... }:
let
  inherit (lib) mkOption types;
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
      description = "The sidecar and the command line.";
    };

    preStart = mkOption {
      type = types.package;
      default = packages.pre-start;
      defaultText = lib.literalExpression "zoetropePackages.pre-start";
      description = "What looks at driver, models, node packs and kernels before each start of ComfyUI.";
    };

    inbox = {
      path = mkOption {
        type = types.path;
        default = "/srv/zoetrope/inbox";
        description = "Where pictures arrive. Outside of homes the folder is made; in a home its owner makes it, with the group and mode below.";
      };
      group = mkOption {
        type = types.str;
        default = "zoetrope";
        example = "users";
        description = ''
          The group of inbox and outbox. People, and the share's own user, are members of it: what they drop
          must be readable for it, which the folder's setgid bit and their umask see to.
        '';
      };
      mode = mkOption {
        type = mode;
        default = "2770";
        description = "The inbox' mode. The setgid bit gives every file the folder's group.";
      };
    };

    outbox = {
      path = mkOption {
        type = types.path;
        default = "/srv/zoetrope/outbox";
        description = "Where finished videos appear, one folder each.";
      };
      mode = mkOption {
        type = mode;
        default = "2770";
        description = "The outbox' mode.";
      };
    };

    recipes = mkOption {
      type = types.listOf types.str;
      default = [ "wan22-i2v-hero" ];
      description = "The recipes that this host is prepared for: their models are fetched and looked at. The first one is for a bare drop.";
    };

    extraRecipes = mkOption {
      type = types.attrsOf types.path;
      default = { };
      example = lib.literalExpression "{ night-sky = ./recipes/night-sky; }";
      description = "Recipes of your own, by name: folders with a recipe.toml and its graphs.";
    };

    shippedRecipes = mkOption {
      type = types.listOf types.str;
      default = shipped;
      internal = true;
      readOnly = true;
      description = "The recipes that come with the package.";
    };

    listen = mkOption {
      type = types.strMatching ".+:[0-9]+";
      default = "127.0.0.1:8190";
      example = "0.0.0.0:8190";
      description = "Where the page and the API listen. Beyond loopback a `tokenFile` is needed.";
    };

    openFirewall = mkOption {
      type = types.bool;
      default = false;
      description = "Whether the page's port is opened in the firewall.";
    };

    tokenFile = mkOption {
      type = types.nullOr types.externalPath;
      default = null;
      example = "/run/secrets/zoetrope-token";
      description = ''
        A file outside the store with the page's token: 16 characters or more on one line. It is read by
        systemd as root and handed to the service alone (LoadCredential).
      '';
    };

    comfyui = {
      package = mkOption {
        type = types.package;
        default = packages.comfyui;
        defaultText = lib.literalExpression "zoetropePackages.comfyui";
        description = "ComfyUI with its Python. A package of your own needs the same `passthru`: `python`, `source`, `environment`.";
      };
      listen = mkOption {
        type = types.str;
        default = "127.0.0.1";
        example = "0.0.0.0";
        description = ''
          Where ComfyUI itself listens. It knows no login: whoever reaches it can run any node of any pack.
          Beyond loopback `reachableFrom` has to say who that is.
        '';
      };
      reachableFrom = mkOption {
        type = types.listOf types.str;
        default = [ ];
        example = [ "192.168.1.0/24" ];
        description = "Addresses and networks that may talk to ComfyUI's own page, besides this host.";
      };
      openFirewall = mkOption {
        type = types.bool;
        default = false;
        description = "Whether ComfyUI's ports are opened in the firewall.";
      };
      extraArgs = mkOption {
        type = types.listOf types.str;
        default = [ ];
        example = [ "--disable-pinned-memory" ];
        description = "Further arguments for ComfyUI; one argument holds no blanks.";
      };
      environment = mkOption {
        type = types.attrsOf types.str;
        default = { };
        example = {
          TORCH_COMPILE_DISABLE = "1";
        };
        description = "Further variables for ComfyUI, such as the switch that turns compilation off.";
      };
    };

    nodePacks = mkOption {
      type = types.attrsOf types.package;
      default = packages.nodePacks;
      defaultText = lib.literalExpression "zoetropePackages.nodePacks";
      description = "The node packs that ComfyUI loads; the shipped ones are what the recipes are made of.";
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
        "sdpa"
      ];
      default = "auto";
      description = "The attention kernels. `auto` takes the fastest one that the self-test finds correct on this card.";
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
      description = "The memory profile in GB; `auto` goes by the card.";
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
