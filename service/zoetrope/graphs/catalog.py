"""The node signatures of a ComfyUI, recorded once and read by the linter and the simulated engine.

A catalogue says what ``GET /object_info`` says, without prose: names, types, ranges, options,
outputs. The shipped ones live next to this module in ``catalogs/<version>.json``, one node a line.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from ..structs import primed

Option = str | int | float | bool

#: The version that the recipes are written for: of the pinned 0.33.3 no tree could be had, and 0.33.0 stands for it.
PINNED: Final = "0.33.0"

#: Begins the name of what a loading node lists: `input/image`, `input/video` and so on.
INPUT_FOLDER: Final = "input/"


class Slots(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The growing part of a dynamic input: ``group.prefix0``, ``group.prefix1`` and so on."""

    type: str
    prefix: str = ""
    names: tuple[str, ...] = ()
    min: int = 0

    @property
    def needed(self) -> tuple[str, ...]:
        """The slots that have to be there: the first so many."""
        return (self.names or tuple(f"{self.prefix}{i}" for i in range(self.min)))[: self.min]


class Input(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One declared input of a node."""

    type: str
    required: bool = True
    default: Any = UNSET
    min: int | float | None = None
    max: int | float | None = None
    step: int | float | None = None
    options: tuple[Option, ...] | None = None
    #: The model folder whose files are the options, or the kind of file of the server's own
    #: input folder (`input/image`); empty when the options are fixed.
    files: str = ""
    #: Set on option lists of the newer node interface, which are written differently.
    multiselect: bool | None = None
    slots: Slots | None = None
    #: What each option of a dynamic choice asks for besides, written ``choice.name``.
    branches: dict[str, dict[str, "Input"]] = {}

    @property
    def is_link(self) -> bool:
        """Whether only another node's output can feed this input."""
        return self.type not in {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"} and not self.options

    @property
    def has_default(self) -> bool:
        """Whether the node declares a default (which a server still does not fill in)."""
        return not isinstance(self.default, UnsetType)


class Signature(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The signature of one node class."""

    pack: str = "core"
    inputs: dict[str, Input] = {}
    outputs: tuple[str, ...] = ()
    #: Names of the outputs where they differ from their types.
    names: tuple[str, ...] = ()
    lists: tuple[int, ...] = ()
    output_node: bool = False
    deprecated: bool = False

    @property
    def grows(self) -> bool:
        """Whether some input of it stands for any number of slots, or asks for more inputs."""
        return any(item.slots is not None or item.branches for item in self.inputs.values())

    @property
    def output_names(self) -> tuple[str, ...]:
        """The outputs' names, which are their types unless the node says otherwise."""
        return self.names or self.outputs


class Catalog(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """All node signatures of one ComfyUI with its node packs."""

    comfyui: str
    packs: dict[str, str] = {}
    nodes: dict[str, Signature] = {}

    def get(self, class_type: str) -> Signature | None:
        """Return the signature of a node class, or None if this ComfyUI has no such node."""
        return self.nodes.get(class_type)


class _PackedInput(msgspec.Struct, omit_defaults=True, kw_only=True):
    type: str
    required: bool = True
    default: Any = UNSET
    min: int | float | None = None
    max: int | float | None = None
    step: int | float | None = None
    options: list[Option] | int | None = None
    files: str = ""
    multiselect: bool | None = None
    slots: Slots | None = None
    branches: dict[str, dict[str, "_PackedInput | int"]] = {}


class _PackedNode(msgspec.Struct, omit_defaults=True, kw_only=True):
    pack: str = "core"
    inputs: dict[str, _PackedInput | int] = {}
    outputs: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    lists: tuple[int, ...] = ()
    output_node: bool = False
    deprecated: bool = False


class _Packed(msgspec.Struct, kw_only=True):
    comfyui: str
    packs: dict[str, str]
    options: list[list[Option]]
    inputs: list[_PackedInput]
    nodes: dict[str, _PackedNode]


def versions() -> tuple[str, ...]:
    """Name the versions that are recorded, the oldest first."""
    folder = resources.files(__package__) / "catalogs"
    names = [entry.name.removesuffix(".json") for entry in folder.iterdir()]
    found = [name for name in names if name[:1].isdigit()]
    return tuple(sorted(found, key=lambda name: tuple(int(part) for part in name.split("."))))


@cache
def load(version: str = PINNED) -> Catalog:
    """Return the shipped catalogue of a ComfyUI version; raise LookupError if there is none."""
    path = resources.files(__package__) / "catalogs" / f"{version}.json"
    if not path.is_file():
        raise LookupError(f"no catalogue for ComfyUI {version}; known: {', '.join(versions())}")
    return decode(path.read_bytes())


def decode(data: bytes) -> Catalog:
    """Read a catalogue from its file form; a DecodeError says what is wrong with it."""
    try:
        return _unpacked(msgspec.json.decode(data, type=primed(_Packed)))
    except (IndexError, RecursionError) as error:
        raise msgspec.ValidationError(f"its parts do not fit together: {error}") from error


def _unpacked(packed: _Packed) -> Catalog:
    shared = [tuple(options) for options in packed.options]

    def unpack(item: _PackedInput) -> Input:
        options = shared[item.options] if isinstance(item.options, int) else item.options
        return Input(
            type=item.type,
            required=item.required,
            default=item.default,
            min=item.min,
            max=item.max,
            step=item.step,
            options=None if options is None else tuple(options),
            files=item.files,
            multiselect=item.multiselect,
            slots=item.slots,
            branches={key: look_up(inner) for key, inner in item.branches.items()},
        )

    def look_up(inputs: dict[str, _PackedInput | int]) -> dict[str, Input]:
        return {
            name: common[item] if isinstance(item, int) else unpack(item)
            for name, item in inputs.items()
        }

    common: list[Input] = [unpack(item) for item in packed.inputs]
    nodes = {
        class_type: Signature(
            pack=node.pack,
            inputs=look_up(node.inputs),
            outputs=node.outputs,
            names=node.names,
            lists=node.lists,
            output_node=node.output_node,
            deprecated=node.deprecated,
        )
        for class_type, node in packed.nodes.items()
    }
    return Catalog(comfyui=packed.comfyui, packs=packed.packs, nodes=nodes)


def encode(catalog: Catalog) -> bytes:
    """Write a catalogue in its file form: what repeats is written once, one node a line."""
    every = [item for node in catalog.nodes.values() for item in _with_branches(node.inputs)]
    lists = Counter(item.options for item in every if item.options and len(item.options) > 3)
    shared = {options: i for i, options in enumerate(o for o, n in lists.items() if n > 1)}

    def plain(item: Input) -> dict[str, Any]:
        found: dict[str, Any] = msgspec.to_builtins(msgspec.structs.replace(item, branches={}))
        if item.options in shared:
            found["options"] = shared[item.options]
        return found

    repeats = Counter(msgspec.json.encode(plain(item)) for item in every if not item.branches)
    common = {data: i for i, data in enumerate(d for d, n in repeats.items() if n > 2)}

    def pack(item: Input) -> Any:
        if item.branches:
            branches = {key: pack_all(inner) for key, inner in item.branches.items()}
            return {**plain(item), "branches": branches}
        data = msgspec.json.encode(plain(item))
        return common[data] if data in common else msgspec.Raw(data)

    def pack_all(inputs: Mapping[str, Input]) -> dict[str, Any]:
        return {name: pack(item) for name, item in inputs.items()}

    def line(class_type: str, node: Signature) -> bytes:
        found: dict[str, Any] = msgspec.to_builtins(msgspec.structs.replace(node, inputs={}))
        if node.inputs:
            pack_name = {"pack": found.pop("pack")} if "pack" in found else {}
            found = {**pack_name, "inputs": pack_all(node.inputs), **found}
        return msgspec.json.encode(class_type) + b":" + msgspec.json.encode(found)

    return b"".join(
        (
            msgspec.json.encode({"comfyui": catalog.comfyui, "packs": catalog.packs})[:-1],
            b',"options":[\n',
            b",\n".join(msgspec.json.encode(list(options)) for options in shared),
            b'\n],"inputs":[\n',
            b",\n".join(common),
            b'\n],"nodes":{\n',
            b",\n".join(line(name, node) for name, node in sorted(catalog.nodes.items())),
            b"\n}}\n",
        )
    )


def from_object_info(info: Mapping[str, Any], *, comfyui: str) -> Catalog:
    """Read the answer of a running server's ``GET /object_info``; a node whose signature is none is left out."""
    nodes = {name: node for name, told in info.items() if (node := _read_node(told)) is not None}
    return Catalog(comfyui=comfyui, nodes=nodes)


def _read_node(node: Any) -> Signature | None:
    """Read one node of object_info; what is written there is each pack's own, and may be anything."""
    try:
        outputs = tuple(str(o) if isinstance(o, str) else "COMBO" for o in node["output"])
        names = tuple(str(n) for n in node.get("output_name") or outputs)
        found = Signature(
            pack=_pack_of(str(node.get("python_module", "nodes"))),
            inputs=_read_inputs(node.get("input", {})),
            outputs=outputs,
            names=() if names == outputs else names,
            lists=tuple(i for i, many in enumerate(node.get("output_is_list") or ()) if many),
            output_node=bool(node.get("output_node")),
            deprecated=bool(node.get("deprecated")),
        )
        # What is made by hand is not checked against its types; what is converted is.
        return msgspec.convert(msgspec.to_builtins(found), primed(Signature))
    except (
        *(AttributeError, KeyError, IndexError, TypeError, ValueError, OverflowError),
        *(RecursionError, msgspec.MsgspecError),
    ):
        return None


def _with_branches(inputs: Mapping[str, Input]) -> Iterator[Input]:
    """List inputs, and those that their options ask for."""
    for item in inputs.values():
        yield item
        for inner in item.branches.values():
            yield from _with_branches(inner)


def _pack_of(module: str) -> str:
    """Name the node pack of a module; everything outside custom_nodes is the core."""
    return module.removeprefix("custom_nodes.") if module.startswith("custom_nodes.") else "core"


def _read_inputs(groups: Mapping[str, Any]) -> dict[str, Input]:
    """Read the two groups of inputs that a node, or an option, has."""
    return {
        name: _read_input(spec, required=required)
        for group, required in (("required", True), ("optional", False))
        for name, spec in (groups.get(group) or {}).items()
    }


def _read_input(spec: Sequence[Any], *, required: bool) -> Input:
    """Read one input of object_info, in either of its two spellings."""
    kind = spec[0]
    config: Mapping[str, Any] = spec[1] if len(spec) > 1 else {}
    options = kind if isinstance(kind, list) else config.get("options")
    branches: dict[str, dict[str, Input]] = {}
    if options is not None:
        for option in options:
            if isinstance(option, dict) and (inner := _read_inputs(option.get("inputs") or {})):
                branches[str(option["key"])] = inner
        options = tuple(o["key"] if isinstance(o, dict) else o for o in options)
    return Input(
        type="COMBO" if isinstance(kind, list) else str(kind),
        required=required,
        default=config.get("default", UNSET),
        min=config.get("min"),
        max=config.get("max"),
        step=config.get("step"),
        options=options,
        multiselect=config.get("multiselect") if kind == "COMBO" else None,
        slots=_read_slots(config.get("template")) if kind == "COMFY_AUTOGROW_V3" else None,
        branches=branches,
    )


def _read_slots(template: Mapping[str, Any] | None) -> Slots | None:
    """Read what a growing input repeats."""
    if not template:
        return None
    groups = template.get("input", {})
    spec = next(iter({**groups.get("required", {}), **groups.get("optional", {})}.values()), ["*"])
    optional_only = not groups.get("required")
    return Slots(
        type=str(spec[0]),
        prefix=str(template.get("prefix", "")),
        names=tuple(template.get("names", ())),
        min=0 if optional_only else int(template.get("min", 0)),
    )


def input_spec(item: Input, files: Callable[[str], Sequence[str]]) -> list[Any]:
    """Spell one input the way object_info does; `files` lists a folder's names."""
    config: dict[str, Any] = {}
    if item.has_default:
        config["default"] = item.default
    for name in ("min", "max", "step"):
        value = getattr(item, name)
        if value is not None:
            config[name] = value
    if item.type != "COMBO":
        if item.options is not None:
            config["options"] = [_option_spec(item, option, files) for option in item.options]
        return [item.type, config] if config else [item.type]
    options = all_options(item, files)
    if item.multiselect is None:
        return [options, config] if config else [options]
    return ["COMBO", {**config, "multiselect": item.multiselect, "options": options}]


def _option_spec(item: Input, option: Option, files: Callable[[str], Sequence[str]]) -> Any:
    """Spell an option of what is not an ordinary choice: a dynamic one says what it asks for."""
    if item.type != "COMFY_DYNAMICCOMBO_V3":
        return option
    inner = item.branches.get(str(option), {})
    return {"key": option, "inputs": _groups(inner, files)}


def _groups(
    inputs: Mapping[str, Input], files: Callable[[str], Sequence[str]]
) -> dict[str, dict[str, Any]]:
    groups: dict[str, dict[str, Any]] = {"required": {}}
    for name, item in inputs.items():
        group = groups.setdefault("required" if item.required else "optional", {})
        group[name] = input_spec(item, files)
    return groups


def all_options(item: Input, files: Callable[[str], Sequence[str]]) -> list[Option]:
    """Return the options of a choice: those of the pack, then the files that the host has."""
    fixed: list[Option] = list(item.options or ())
    if not item.files:
        return fixed
    return [*(f for f in files(item.files) if f not in fixed), *fixed]


def node_info(
    catalog: Catalog, class_type: str, files: Callable[[str], Sequence[str]]
) -> dict[str, Any]:
    """Spell one node the way ``GET /object_info/{class}`` does."""
    node = catalog.nodes[class_type]
    groups = _groups(node.inputs, files)
    return {
        "input": groups,
        "input_order": {group: list(items) for group, items in groups.items()},
        "is_input_list": False,
        "output": list(node.outputs),
        "output_is_list": [i in node.lists for i in range(len(node.outputs))],
        "output_name": list(node.output_names),
        "name": class_type,
        "display_name": class_type,
        "description": "",
        "python_module": "nodes" if node.pack == "core" else f"custom_nodes.{node.pack}",
        "category": "",
        "output_node": node.output_node,
        "deprecated": node.deprecated,
    }
