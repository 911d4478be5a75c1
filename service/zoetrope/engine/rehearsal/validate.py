"""Whether a graph may be queued: the checks and the words of ComfyUI's own validation."""

import traceback
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from ...graphs.catalog import INPUT_FOLDER, Catalog, Input, Node, all_options, input_spec

Json = dict[str, Any]

#: Longer option lists are not sent back.
_LONGEST_LIST = 20

_ANY = {"*", "COMFY_MATCHTYPE_V3"}


class Verdict(msgspec.Struct, frozen=True):
    """The answer to a graph: an error for the whole, errors by node, and the outputs to run."""

    error: Json | None
    outputs: list[str]
    node_errors: Json


class Lists(msgspec.Struct, frozen=True):
    """What the host offers: the names in a folder, and whether an input file is there."""

    folder: Callable[[str], Sequence[str]]
    has_file: Callable[[str], bool]


def is_link(value: object) -> bool:
    """Say whether an input's value is `[node id, output slot]`."""
    return (
        isinstance(value, list)
        and len(value) == 2
        and isinstance(value[0], str)
        and isinstance(value[1], int | float)
    )


def validate(graph: Json, catalog: Catalog, lists: Lists, only: Sequence[str] | None) -> Verdict:
    """Judge a graph; values that can be converted are converted in place."""
    outputs: list[str] = []
    for node_id, raw in graph.items():
        class_type = raw.get("class_type")
        signature = catalog.get(class_type) if class_type is not None else None
        if signature is None:
            return Verdict(_missing_node(node_id, raw), [], {})
        if signature.output_node and (only is None or node_id in only):
            outputs.append(node_id)
    if not outputs:
        return Verdict(_error("prompt_no_outputs", "Prompt has no outputs"), [], {})
    check = _Check(graph, catalog, lists)
    good: list[str] = []
    node_errors: Json = {}
    spoken: list[str] = []
    for node_id in outputs:
        try:
            valid, reasons = check.node(node_id)
        except Exception as problem:  # ComfyUI answers any surprise in this way.
            reasons = [
                _error(
                    "exception_during_validation",
                    "Exception when validating node",
                    str(problem),
                    exception_type=type(problem).__qualname__,
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
                entry = node_errors.setdefault(
                    bad_id,
                    {
                        "errors": why,
                        "dependent_outputs": [],
                        "class_type": graph[bad_id]["class_type"],
                    },
                )
                entry["dependent_outputs"].append(node_id)
    if good:
        return Verdict(None, good, node_errors)
    message = "Prompt outputs failed validation"
    error = _error("prompt_outputs_failed_validation", message, "\n".join(spoken))
    return Verdict(error, [], node_errors)


def accepts(received: str, wanted: str) -> bool:
    """Say whether an output of one type may feed an input of another."""
    if received == wanted or received in _ANY or wanted in _ANY:
        return True
    given = {part.strip() for part in received.split(",")}
    taken = {part.strip() for part in wanted.split(",")}
    return "*" in given | taken or bool(given & taken)


def convert(value: Any, kind: str) -> Any:
    """Turn a value into an input's type, or raise what Python raises."""
    if isinstance(value, dict) and "__value__" in value:
        value = value["__value__"]
    match kind:
        case "INT":
            return int(value)
        case "FLOAT":
            return float(value)
        case "STRING":
            return str(value)
        case "BOOLEAN":
            return bool(value)
    return value


def _error(kind: str, message: str, details: str = "", **extra: Any) -> Json:
    return {"type": kind, "message": message, "details": details, "extra_info": extra}


def _missing_node(node_id: str, raw: Json) -> Json:
    """Say that a node's class is not there."""
    class_type = raw.get("class_type")
    title = raw.get("_meta", {}).get("title", class_type)
    if class_type is None:
        message = (
            f"Node '{title or f'ID #{node_id}'}' has no class_type. "
            "The workflow may be corrupted or a custom node is missing."
        )
    else:
        message = f"Node '{title}' not found. The custom node may not be installed."
    extra = {"node_id": node_id, "class_type": class_type, "node_title": title}
    return _error("missing_node_type", message, f"Node ID '#{node_id}'", **extra)


class _Check:
    """One validation: what is known of each node so far."""

    def __init__(self, graph: Json, catalog: Catalog, lists: Lists) -> None:
        self.graph = graph
        self.catalog = catalog
        self.lists = lists
        self.seen: dict[str, tuple[bool, list[Json]]] = {}
        self._path: list[str] = []

    def node(self, node_id: str) -> tuple[bool, list[Json]]:
        """Judge a node and everything above it."""
        if node_id in self.seen:
            return self.seen[node_id]
        if node_id in self._path:
            return self._cycle(node_id)
        raw = self.graph[node_id]
        signature = self.catalog.nodes[raw["class_type"]]
        inputs: Json = raw["inputs"]
        errors: list[Json] = []
        above_fine = True
        for name, item in self._declared(signature, inputs):
            if name not in inputs:
                if item.required:
                    message = "Required input is missing"
                    short = name.split(".")[-1]
                    errors.append(_error("required_input_missing", message, short, input_name=name))
                continue
            if isinstance(inputs[name], list):
                above_fine &= self._link(node_id, name, item, inputs[name], errors)
            else:
                problem = self._value(name, item, inputs)
                if problem:
                    errors.append(problem)
        earlier = self.seen.get(node_id, (True, []))
        reasons = earlier[1] + [e for e in errors if e not in earlier[1]]
        self.seen[node_id] = (earlier[0] and above_fine and not errors, reasons)
        return self.seen[node_id]

    def _declared(self, signature: Node, inputs: Json) -> list[tuple[str, Input]]:
        """List the inputs to check; growing groups count as the slots that are filled."""
        declared: list[tuple[str, Input]] = []
        for name, item in signature.inputs.items():
            if item.slots is None:
                declared.append((name, item))
                continue
            filled = [key for key in inputs if key.startswith(f"{name}.")]
            slot = Input(type=item.slots.type, required=False)
            declared += [(key, slot) for key in filled]
            if item.required and item.slots.min and not filled:
                first = item.slots.names[0] if item.slots.names else f"{item.slots.prefix}0"
                declared.append((f"{name}.{first}", Input(type=item.slots.type)))
        return declared

    def _spec(self, item: Input) -> list[Any]:
        """Spell the input as errors quote it: always type and configuration."""
        spec = input_spec(item, self.lists.folder)
        return spec if len(spec) == 2 else [*spec, {}]

    def _link(
        self, node_id: str, name: str, item: Input, value: list[Any], errors: list[Json]
    ) -> bool:
        """Judge a link; say whether everything above it is fine."""
        quoted: Json = {"input_name": name, "input_config": self._spec(item)}
        if len(value) != 2:
            message = "Bad linked input, must be a length-2 list of [node_id, slot_index]"
            errors.append(_error("bad_linked_input", message, name, **quoted, received_value=value))
            return True
        upstream, slot = value
        received = self.catalog.nodes[self.graph[upstream]["class_type"]].outputs[slot]
        wanted: Any = quoted["input_config"][0]
        # A choice in the older spelling is a list and takes only "any" outputs.
        fits = accepts(received, wanted) if isinstance(wanted, str) else received in _ANY
        if not fits:
            errors.append(
                _error(
                    "return_type_mismatch",
                    "Return type mismatch between linked nodes",
                    f"{name}, received_type({received}) mismatch input_type({wanted})",
                    **quoted,
                    received_type=received,
                    linked_node=value,
                )
            )
            return True
        self._path.append(node_id)
        try:
            return self.node(upstream)[0]
        except Exception as problem:  # ComfyUI reports it under the upstream node.
            reason = _error(
                "exception_during_inner_validation",
                "Exception when validating inner node",
                str(problem),
                **quoted,
                exception_message=str(problem),
                exception_type=type(problem).__qualname__,
                traceback=traceback.format_tb(problem.__traceback__),
                linked_node=value,
            )
            self.seen[upstream] = (False, [reason])
            return False
        finally:
            self._path.pop()

    def _value(self, name: str, item: Input, inputs: Json) -> Json | None:
        """Judge and convert a plain value."""
        value = inputs[name]
        try:
            value = inputs[name] = convert(value, item.type)
        except Exception as problem:  # Whatever int() or float() raises is the answer.
            return _error(
                "invalid_input_type",
                f"Failed to convert an input value to a {item.type} value",
                f"{name}, {value}, {problem}",
                input_name=name,
                input_config=self._spec(item),
                received_value=value,
                exception_message=str(problem),
            )
        if item.files.startswith(INPUT_FOLDER):
            return self._file(name, item.files.removeprefix(INPUT_FOLDER), value)
        quoted = {"input_name": name, "received_value": value}
        if item.min is not None and value < item.min:
            message = f"Value {value} smaller than min of {item.min}"
            config = self._spec(item)
            return _error("value_smaller_than_min", message, name, **quoted, input_config=config)
        if item.max is not None and value > item.max:
            message = f"Value {value} bigger than max of {item.max}"
            config = self._spec(item)
            return _error("value_bigger_than_max", message, name, **quoted, input_config=config)
        if item.type == "COMBO":
            return self._choice(name, item, value)
        return None

    def _choice(self, name: str, item: Input, value: Any) -> Json | None:
        """Judge a value that must be one of a list."""
        options = all_options(item, self.lists.folder)
        chosen = value if item.multiselect and isinstance(value, list) else [value]
        bad = [v for v in chosen if v not in options]
        if not bad:
            return None
        long = len(options) > _LONGEST_LIST
        listed = f"(list of length {len(options)})" if long else str(options)
        return _error(
            "value_not_in_list",
            "Value not in list",
            f"{name}: {', '.join(repr(v) for v in bad)} not in {listed}",
            input_name=name,
            input_config=None if long else self._spec(item),
            received_value=value,
        )

    def _file(self, name: str, word: str, value: Any) -> Json | None:
        """Judge the name of an input file, which must exist inside the engine's folders."""
        if isinstance(value, str) and self.lists.has_file(value):
            return None
        return _error(
            "custom_validation_failed",
            "Custom validation failed for node",
            f"{name} - Invalid {word} file: {value}",
            input_name=name,
        )

    def _cycle(self, node_id: str) -> tuple[bool, list[Json]]:
        """Blame every node of a cycle with the path around it."""
        path = [*self._path[self._path.index(node_id) :], node_id]
        members = list(dict.fromkeys(path))
        around = " -> ".join(f"{n} ({self.graph[n]['class_type']})" for n in path)
        for member in members:
            message = "Dependency cycle detected"
            reason = _error(
                "dependency_cycle", message, around, node_id=member, cycle_nodes=members
            )
            self.seen[member] = (False, [reason])
        return self.seen[node_id]
