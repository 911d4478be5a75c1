"""Whether a graph may be queued: the checks and the words of ComfyUI's own validation."""

import traceback
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import msgspec

from ...graphs.catalog import INPUT_FOLDER, Catalog, Input, Option, all_options, input_spec
from ...graphs.document import Document, Link, link_of
from ...graphs.fit import Misfit, MisfitKind, astray, declared, faults, fitted
from ...graphs.graph import Graph, Node

Json = dict[str, Any]

#: Longer option lists are not sent back.
_LONGEST_LIST = 20

#: Inputs that name a file or a folder anywhere on the host, by their node; the simulated host has none.
_ON_HOST = {
    "VHS_LoadVideoPath": ("video", "Invalid file path: {}"),
    "VHS_LoadVideoFFmpegPath": ("video", "Invalid file path: {}"),
    "VHS_LoadImagePath": ("image", "Invalid file path: {}"),
    "VHS_LoadAudio": ("audio_file", "Invalid file path: {}"),
    "VHS_LoadImagesPath": ("directory", "Directory '{}' cannot be found."),
}


class Validation(msgspec.Struct, frozen=True):
    """The answer to a graph: an error for the whole, errors by node, and the outputs to run.

    In `graph` the values have the types of their inputs.
    """

    error: Json | None
    outputs: list[str]
    node_errors: Json
    graph: Graph


class Lists(msgspec.Struct, frozen=True):
    """What the host offers: the names in a folder, and whether an input file is there."""

    folder: Callable[[str], Sequence[str]]
    has_file: Callable[[str], bool]


def validate(
    document: Document, catalog: Catalog, lists: Lists, only: Sequence[str] | None
) -> Validation:
    """Judge a document; an entry of it that is no node rejects the whole."""
    graph = document.nodes
    for node_id, entry in document.malformed.items():
        return Validation(_malformed(node_id, entry.reason, entry.title), [], {}, graph)
    outputs: list[str] = []
    for node_id, node in graph.items():
        signature = catalog.get(node.class_type)
        if signature is None:
            return Validation(_missing_node(node_id, node), [], {}, graph)
        if signature.output_node and (only is None or node_id in only):
            outputs.append(node_id)
    if not outputs:
        return Validation(_error("prompt_no_outputs", "Prompt has no outputs"), [], {}, graph)
    check = _Check(graph, catalog, lists)
    good: list[str] = []
    node_errors: Json = {}
    spoken: list[str] = []
    for node_id in outputs:
        try:
            valid, reasons = check.node(node_id)
        except (_Stumble, RecursionError) as problem:
            reasons = [
                _error(
                    "exception_during_validation",
                    "Exception when validating node",
                    str(problem),
                    exception_type=_raised(problem),
                    traceback=traceback.format_tb(problem.__traceback__),
                )
            ]
            valid = False
            check.seen[node_id] = (False, reasons)
        if valid:
            good.append(node_id)
            continue
        spoken += [f"{r['message']}: {r['details']}" for r in reasons]
        for bad_id, (fine, why) in check.seen.items():
            if not fine and why:
                entry_of = {
                    "errors": why,
                    "dependent_outputs": [],
                    "class_type": graph[bad_id].class_type,
                }
                node_errors.setdefault(bad_id, entry_of)["dependent_outputs"].append(node_id)
    if good:
        return Validation(None, good, node_errors, check.graph())
    message = "Prompt outputs failed validation"
    error = _error("prompt_outputs_failed_validation", message, "\n".join(spoken))
    return Validation(error, [], node_errors, graph)


def _error(kind: str, message: str, details: str = "", **extra: Any) -> Json:
    return {"type": kind, "message": message, "details": details, "extra_info": extra}


class _Stumble(Exception):
    """What ComfyUI's own check raises, by the name of its class."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


def _stumble(kind: MisfitKind, node: str) -> _Stumble:
    """Make what ComfyUI raises at a link that leads nowhere, or that is where a file's name has to be."""
    match kind:
        case MisfitKind.NO_NODE:
            return _Stumble("KeyError", repr(node))
        case MisfitKind.FILE:
            return _Stumble("AttributeError", "'NoneType' object has no attribute 'endswith'")
    return _Stumble("IndexError", "tuple index out of range")


def _raised(problem: Exception) -> str:
    return problem.kind if isinstance(problem, _Stumble) else type(problem).__qualname__


def _malformed(node_id: str, reason: str, title: str) -> Json:
    """Say that an entry is no node; ComfyUI stumbles over most of these."""
    name = title or f"ID #{node_id}"
    message = f"Node '{name}' {reason}. The workflow may be corrupted or a custom node is missing."
    extra = {"node_id": node_id, "class_type": None, "node_title": title or None}
    return _error("missing_node_type", message, f"Node ID '#{node_id}'", **extra)


def _missing_node(node_id: str, node: Node) -> Json:
    """Say that a node's class is not there."""
    title = node.meta.get("title", node.class_type)
    message = f"Node '{title}' not found. The custom node may not be installed."
    extra = {"node_id": node_id, "class_type": node.class_type, "node_title": title}
    return _error("missing_node_type", message, f"Node ID '#{node_id}'", **extra)


class _Check:
    """One validation: what is known of each node so far."""

    def __init__(self, graph: Graph, catalog: Catalog, lists: Lists) -> None:
        self._graph = graph
        self.catalog = catalog
        self._has_file = lists.has_file
        self._folder = cache(lists.folder)  # a folder is listed but once for all choices
        self.seen: dict[str, tuple[bool, list[Json]]] = {}
        self._path: list[str] = []

    def graph(self) -> Graph:
        """Give the graph with every value that was looked at in the type of its input."""
        return {
            node_id: self._converted(node) if node_id in self.seen else node
            for node_id, node in self._graph.items()
        }

    def node(self, node_id: str) -> tuple[bool, list[Json]]:
        """Judge a node and everything above it."""
        if node_id in self.seen:
            return self.seen[node_id]
        if node_id in self._path:
            return self._cycle(node_id)
        node = self._graph[node_id]
        signature = self.catalog.nodes[node.class_type]
        found = {
            fault.input: fault
            for fault in faults(node, signature, self._graph, self.catalog, self._options)
        }
        errors: list[Json] = []
        above_fine = True
        looked_at = declared(signature, node.inputs)
        for name, item in looked_at:
            if name in found:
                errors.append(self._fault(found[name]))
            elif (link := link_of(node.inputs.get(name))) is not None:
                above_fine &= self._above(node_id, name, item, link)
            elif (problem := self._file(name, item, node)) is not None:
                errors.append(problem)
        self._undeclared(node, {name for name, _ in looked_at})
        earlier = self.seen.get(node_id, (True, []))
        reasons = earlier[1] + [e for e in errors if e not in earlier[1]]
        self.seen[node_id] = (earlier[0] and above_fine and not errors, reasons)
        return self.seen[node_id]

    def _converted(self, node: Node) -> Node:
        signature = self.catalog.nodes[node.class_type]
        inputs = dict(node.inputs)
        for name, item in declared(signature, inputs):
            if name in inputs and not isinstance(inputs[name], list):
                inputs[name] = fitted(item, inputs[name], self._options)[0]
        return msgspec.structs.replace(node, inputs=inputs)

    def _options(self, item: Input) -> Sequence[Option] | None:
        """List a choice; of its own input folder ComfyUI asks the disk instead."""
        if item.files.startswith(INPUT_FOLDER):
            return None
        return all_options(item, self._folder)

    def _spec(self, item: Input) -> list[Any]:
        """Spell the input as errors quote it: always type and configuration."""
        spec = input_spec(item, self._folder)
        return spec if len(spec) == 2 else [*spec, {}]

    def _above(self, node_id: str, name: str, item: Input, link: Link) -> bool:
        """Say whether everything above a sound link is fine."""
        self._path.append(node_id)
        try:
            return self.node(link.node)[0]
        except (_Stumble, RecursionError) as problem:  # ComfyUI reports it under the upstream node.
            reason = _error(
                "exception_during_inner_validation",
                "Exception when validating inner node",
                str(problem),
                input_name=name,
                input_config=self._spec(item),
                exception_message=str(problem),
                exception_type=_raised(problem),
                traceback=traceback.format_tb(problem.__traceback__),
                linked_node=list(link),
            )
            self.seen[link.node] = (False, [reason])
            return False
        finally:
            self._path.pop()

    def _undeclared(self, node: Node, known: set[str]) -> None:
        """Refuse links that lead nowhere where ComfyUI would stumble over them only while it runs."""
        for name, value in node.inputs.items():
            if name in known or (link := link_of(value)) is None:
                continue
            if (lost := astray(link, self._graph, self.catalog)) is not None:
                raise _stumble(lost[0], link.node)

    def _fault(self, fault: Misfit) -> Json:
        """Put a fault into ComfyUI's words."""
        name, item, value = fault.input, fault.item, fault.value
        match fault.kind:
            case MisfitKind.MISSING:
                message = "Required input is missing"
                return _error(
                    "required_input_missing", message, name.split(".")[-1], input_name=name
                )
            case MisfitKind.NO_NODE | MisfitKind.NO_OUTPUT | MisfitKind.FILE:
                raise _stumble(fault.kind, value[0])
            case MisfitKind.CHOICE:
                return self._choice(fault)
        quoted: Json = {
            "input_name": name,
            "input_config": self._spec(item),
            "received_value": value,
        }
        match fault.kind:
            case MisfitKind.NO_LINK:
                message = "Bad linked input, must be a length-2 list of [node_id, slot_index]"
                return _error("bad_linked_input", message, name, **quoted)
            case MisfitKind.OTHER_TYPE:
                wanted = quoted["input_config"][0]
                del quoted["received_value"]
                return _error(
                    "return_type_mismatch",
                    "Return type mismatch between linked nodes",
                    f"{name}, received_type({fault.told}) mismatch input_type({wanted})",
                    **quoted,
                    received_type=fault.told,
                    linked_node=value,
                )
            case MisfitKind.SMALL | MisfitKind.LARGE:
                small = fault.kind is MisfitKind.SMALL
                kind = "value_smaller_than_min" if small else "value_bigger_than_max"
                return _error(kind, f"Value {value} {fault.told}", name, **quoted)
        return _error(
            "invalid_input_type",
            f"Failed to convert an input value to a {item.type} value",
            f"{name}, {value}, {fault.told}",
            **quoted,
            exception_message=fault.told,
        )

    def _choice(self, fault: Misfit) -> Json:
        """Say that a value is none of a list."""
        options = all_options(fault.item, self._folder)
        long = len(options) > _LONGEST_LIST
        listed = f"(list of length {len(options)})" if long else str(options)
        return _error(
            "value_not_in_list",
            "Value not in list",
            f"{fault.input}: {fault.told} not in {listed}",
            input_name=fault.input,
            input_config=None if long else self._spec(fault.item),
            received_value=fault.value,
        )

    def _file(self, name: str, item: Input, node: Node) -> Json | None:
        """Judge the name of an input file, which must exist inside the engine's folders."""
        if name not in node.inputs:
            return None
        value = node.inputs[name]
        told = None
        if item.files.startswith(INPUT_FOLDER):
            if not (isinstance(value, str) and self._has_file(value)):
                told = f"Invalid {item.files.removeprefix(INPUT_FOLDER)} file: {value}"
        elif (words := _ON_HOST.get(node.class_type)) is not None and words[0] == name:
            told = words[1].format(value)
        if told is None:
            return None
        return _error(
            "custom_validation_failed",
            "Custom validation failed for node",
            f"{name} - {told}",
            input_name=name,
        )

    def _cycle(self, node_id: str) -> tuple[bool, list[Json]]:
        """Blame every node of a cycle with the path around it."""
        path = [*self._path[self._path.index(node_id) :], node_id]
        members = list(dict.fromkeys(path))
        around = " -> ".join(f"{n} ({self._graph[n].class_type})" for n in path)
        for member in members:
            message = "Dependency cycle detected"
            reason = _error(
                "dependency_cycle", message, around, node_id=member, cycle_nodes=members
            )
            self.seen[member] = (False, [reason])
        return self.seen[node_id]
