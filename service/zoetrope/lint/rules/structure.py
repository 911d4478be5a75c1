"""Z: whether the server would take the graph at all, and whether something comes out of it."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator

from ...graphs.document import link_of
from ...graphs.fit import Misfit, MisfitKind, astray, declared
from ..findings import Hit, Put, quote
from ..registry import rule
from ..subject import Subject

#: Inputs that name files inside the engine's own folders.
_FILE_INPUTS = ("image", "video", "file", "filename_prefix", "audio", "latent", "directory")
_ASTRAY = frozenset({MisfitKind.NO_NODE, MisfitKind.NO_OUTPUT, MisfitKind.OTHER_TYPE})
_OUTSIDE = re.compile(r"^(?:[/\\~]|[A-Za-z]:)|(?:^|[/\\])\.\.(?:[/\\]|$)")

#: "graph (2).json", "graph(1).json", "graph - Copy.json", "graph copy 2.json"
_COPY = re.compile(
    r"( ?\(\d{1,3}\)|[ _-]copy(?:[ _]?\d{1,3}| \(\d{1,3}\))?)(?:\.\w+)?$", re.IGNORECASE
)


@rule(
    "Z001",
    "error",
    title="unknown node class",
    why="This ComfyUI with its node packs has no such node; the server rejects the whole graph.",
    fix="Use a node of the pinned version, or add the pack that has it.",
    source="ComfyUI execution.py: missing_node_type",
)
def unknown_class(subject: Subject) -> Iterator[Hit]:
    """Find nodes of classes that the catalogue does not have."""
    for node_id, node in subject.nodes.items():
        if subject.catalog.get(node.class_type) is None:
            yield Hit(node=node_id, found=f"class {quote(node.class_type)}")


@rule(
    "Z002",
    "error",
    title="required input missing",
    why="The server answers required_input_missing, even where the node declares a default.",
    fix="Set the input; the recorded default is the safe choice.",
    source="ComfyUI execution.py: required_input_missing",
)
def required_input_missing(subject: Subject) -> Iterator[Hit]:
    """Find required inputs that nodes on the way to an output lack."""
    for node_id, fault in subject.faults:
        if fault.kind is MisfitKind.MISSING:
            name, item = fault.input, fault.item
            default = item.default if item.has_default else next(iter(item.options or ()), None)
            put = () if default is None or item.is_link else (Put(node_id, name, default),)
            yield Hit(node=node_id, input=name, found=f"{name} is missing", changes=put)


@rule(
    "Z003",
    "error",
    title="not in API format",
    why="The server accepts nodes by id, each with class_type and inputs.",
    fix="Export the workflow with `Export (API)`.",
    source="ComfyUI server: POST /prompt",
)
def not_api_format(subject: Subject) -> Iterator[Hit]:
    """Find what is not a node, and graphs that the page saved for itself."""
    if subject.document.page_format:
        yield Hit(found="a workflow in the page's format")
        return
    for node_id, entry in subject.document.malformed.items():
        yield Hit(node=node_id, found=f"the entry {quote(node_id)} {entry.reason}")


@rule(
    "Z004",
    "error",
    title="link to a missing or wrong output",
    why="The server cannot run a node whose input is linked to nothing or to another type.",
    fix="Connect the input to an output of its type.",
    source="ComfyUI execution.py: bad_linked_input, return_type_mismatch, dependency_cycle",
)
def bad_link(subject: Subject) -> Iterator[Hit]:
    """Find links to nodes or outputs that do not exist, of the wrong type, or in a circle."""
    for node_id, fault in subject.faults:
        if problem := _broken(fault):
            yield Hit(node=node_id, input=fault.input, found=f"{fault.input} {problem}")
    yield from _undeclared(subject)
    for node_id in _circle(subject) & subject.reachable:
        if subject.catalog.get(subject.read.class_of(node_id)) is not None:
            yield Hit(node=node_id, found="its links form a circle")


@rule(
    "Z005",
    "warn",
    title="value between two steps",
    why="The page's fields move in steps; the server checks only the ends and accepts values"
    " between, which the model's grid does not have.",
    fix="Round to the next step.",
    source="ComfyUI execution.py, nodes_wan.py",
)
def off_grid(subject: Subject) -> Iterator[Hit]:
    """Find whole numbers that are between two steps of their input."""
    for node_id, node in subject.nodes.items():
        signature = subject.catalog.get(node.class_type)
        for name, item in signature.inputs.items() if signature else ():
            # A default that its own pack puts between two steps is no one's mistake.
            if not isinstance(item.step, int) or item.step < 2 or name not in node.inputs:
                continue
            value = subject.read.number(node_id, name)
            base = int(item.min or 0)
            if value is None or value == item.default or value <= base:
                continue
            if (value - base) % item.step:
                near = base + round((value - base) / item.step) * item.step
                yield Hit(
                    node=node_id,
                    input=name,
                    found=f"{name} = {quote(value)}, in steps of {item.step} from {base}",
                    fix=f"Write {near}.",
                    changes=(Put(node_id, name, near),),
                )


@rule(
    "Z011",
    "error",
    title="invalid value",
    why="The server rejects it: value_smaller_than_min, value_bigger_than_max, value_not_in_list or"
    " invalid_input_type.",
    fix="Use a value that the node declares.",
    source="ComfyUI execution.py: validate_inputs",
)
def misfit(subject: Subject) -> Iterator[Hit]:
    """Find values of another type, out of range, or that are none of a choice."""
    for node_id, fault in subject.faults:
        name, item, value = fault.input, fault.item, fault.value
        match fault.kind:
            case MisfitKind.TYPE:
                yield Hit(node=node_id, input=name, found=f"{name} is no {item.type}: {fault.told}")
            case MisfitKind.SMALL | MisfitKind.LARGE:
                put = (
                    Put(node_id, name, item.min if fault.kind is MisfitKind.SMALL else item.max),
                )
                found = f"{name} = {quote(value)}, {fault.told}"
                yield Hit(node=node_id, input=name, found=found, changes=put)
            case MisfitKind.CHOICE if name not in _FILE_INPUTS:
                # The options were recorded on another host, whose packs may have had fewer.
                found = (
                    f"{name} = {quote(value)}, which is none of {len(item.options or ())} options"
                )
                yield Hit(node=node_id, input=name, found=found, severity="warn")


@rule(
    "Z006",
    "error",
    title="no output node",
    why="The server rejects a graph without an output node: prompt_no_outputs.",
    fix="Add a node that saves, such as SaveVideo.",
    source="ComfyUI execution.py: prompt_no_outputs",
)
def no_output(subject: Subject) -> Iterator[Hit]:
    """Find graphs without any output node."""
    if subject.document.page_format:
        return  # nothing of it could be read, as Z003 says
    if not subject.strangers and not any(map(subject.is_output, subject.nodes)):
        yield Hit(found="no node saves or previews anything")


@rule(
    "Z007",
    "warn",
    title="two outputs with the same prefix",
    why="Files of two outputs with the same prefix cannot be distinguished by name.",
    fix="Give each output its own prefix.",
    source="hero document: outputs are collected by name",
)
def shared_prefix(subject: Subject) -> Iterator[Hit]:
    """Find output nodes that save under the prefix of another."""
    users: dict[str, list[str]] = defaultdict(list)
    for node_id, node in subject.nodes.items():
        prefix = subject.read.text(node_id, "filename_prefix") if node.inputs else None
        if prefix and subject.is_output(node_id):
            users[prefix].append(node_id)
    for prefix, nodes in users.items():
        for node_id in nodes[1:]:
            yield Hit(
                node=node_id,
                input="filename_prefix",
                found=f"{quote(prefix)} is also the prefix of {nodes[0]}",
                changes=(Put(node_id, "filename_prefix", f"{prefix}-{node_id}"),),
            )


@rule(
    "Z008",
    "error",
    title="path outside of the engine's folders",
    why="Files are read from the engine's input folder and written to its output folder; any"
    " other path is rejected there, or worse, accepted.",
    fix="Use a name relative to the input or output folder, without `..`.",
    source="operations: a graph stays in its folders",
)
def path_escapes(subject: Subject) -> Iterator[Hit]:
    """Find file names that are absolute or climb out of their folder."""
    for node_id, node in subject.nodes.items():
        for name in _FILE_INPUTS:
            if name in node.inputs:
                path = subject.read.text(node_id, name)
                if path is not None and _OUTSIDE.search(path.strip()):
                    yield Hit(node=node_id, input=name, found=f"{name} = {quote(path)}")


@rule(
    "Z010",
    "info",
    title="file name of a copy",
    why="The suffix of a copy says that there is another file of this name, but not which of"
    " them is newer.",
    fix="Give the file a unique name, such as one with its version or date.",
    source="lightning document: its graph is `video_wan2_2_14B_i2v (2).json`",
)
def copied_file(subject: Subject) -> Iterator[Hit]:
    """Find the suffix that a file manager or a browser gives to the copy of a file."""
    if found := _COPY.search(subject.context.file):
        yield Hit(found=f"{quote(subject.context.file)} ends in {quote(found[1].strip())}")


def _broken(fault: Misfit) -> str:
    """Say what is wrong with a link; empty if nothing is."""
    if fault.kind is MisfitKind.HANDED:
        return f"is {quote(fault.value)}, where {fault.told}"
    if fault.kind is MisfitKind.NO_LINK:
        return "is a list, but not a link of a node and an output"
    if fault.kind is MisfitKind.FILE:
        return f"comes from {quote(fault.value[0])}, but {fault.told}"
    if fault.kind not in _ASTRAY:
        return ""
    node, slot = fault.value
    if fault.kind is MisfitKind.OTHER_TYPE:
        return f"is a {fault.item.type}, but {node} gives {fault.told}"
    return _lost(node, slot, fault.kind, fault.told)


def _lost(node: str, slot: int, kind: MisfitKind, told: str) -> str:
    output = f"output {quote(slot)} of {node}" if kind is MisfitKind.NO_OUTPUT else quote(node)
    return f"comes from {output}, {told}"


def _undeclared(subject: Subject) -> Iterator[Hit]:
    """Find links that lead nowhere in inputs that the server does not look at, and stumbles over later."""
    for node_id in subject.reachable:
        node = subject.nodes[node_id]
        signature = subject.catalog.get(node.class_type)
        if signature is None:
            continue
        known = {name for name, _ in declared(signature, node.inputs)}
        for name, value in node.inputs.items():
            if name in known or (link := link_of(value)) is None:
                continue
            if (lost := astray(link, subject.nodes, subject.catalog)) is not None:
                found = f"{name} {_lost(*link, *lost)}"
                yield Hit(node=node_id, input=name, found=found)


def _circle(subject: Subject) -> frozenset[str]:
    """Find the nodes whose links lead back to themselves: what is left when all ends are taken away."""
    above = {
        node_id: {link.node for _, link in subject.read.links(node_id)} for node_id in subject.nodes
    }
    left = _without_ends(above)
    below: dict[str, set[str]] = {node_id: set() for node_id in left}
    for node_id in left:
        for other in above[node_id] & left:
            below[other].add(node_id)
    return frozenset(_without_ends(below))


def _without_ends(links: dict[str, set[str]]) -> set[str]:
    """Take away nodes without links, and then those whose links are gone, until none is left."""
    users: dict[str, list[str]] = defaultdict(list)
    counts = {}
    for node_id, others in links.items():
        counts[node_id] = len(others)
        for other in others:
            users[other].append(node_id)
    ends = [node_id for node_id, count in counts.items() if not count]
    while ends:
        for user in users[ends.pop()]:
            counts[user] -= 1
            if not counts[user]:
                ends.append(user)
    return {node_id for node_id, count in counts.items() if count}
