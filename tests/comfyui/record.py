"""Records the catalogue of a ComfyUI version that the product ships.

    python -m tests.comfyui.record --engine URL --before 0.27.1 --pack ComfyUI-GGUF=795e4515 -o FILE

`zoetrope catalog record` writes what one host has, its files among it. This one is told by the server which options are
files of which model folder: give that ComfyUI a `models` with one empty file in each folder, of a name that no other
folder has. What a host with a GPU would say is taken from the earlier recording, as are the packs named with `--keep`.
"""

import argparse
import json
import sys
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import UNSET

from zoetrope.graphs.catalog import (
    Catalog,
    Input,
    Option,
    Signature,
    encode,
    from_object_info,
    load,
)

Folders = Mapping[str, Sequence[str]]
#: What a loading node of the server's own input folder lists, by the ending of the probe that it shows.
_INPUTS = {".wav": "audio", ".png": "image", ".mp4": "video", ".latent": "latent", ".txt": "text"}
#: Nodes that call a service elsewhere: no recipe has one, and they move with every release.
_ELSEWHERE = "comfy_api_nodes"


def shipped(info: Mapping[str, Any], version: str, folders: Folders, before: Catalog) -> Catalog:
    """Read `/object_info` into a catalogue that no host's files and devices are in."""
    here = {n: told for n, told in info.items() if _ELSEWHERE not in told.get("python_module", "")}
    found = from_object_info(here, comfyui=version)
    # For some nodes the server lists the folders of its input folder; nothing else names them.
    known = {
        str(option)
        for name, node in before.nodes.items()
        for key, item in node.inputs.items()
        if item.files == "input_folders" and name in found.nodes
        for option in found.nodes[name].inputs[key].options or ()
    }
    folders = {**folders, "input_folders": sorted(known)}
    nodes = {
        name: msgspec.structs.replace(
            node,
            inputs=_inputs(node.inputs, before.nodes.get(name, Signature()).inputs, folders),
        )
        for name, node in found.nodes.items()
    }
    return Catalog(comfyui=version, nodes=nodes)


def _inputs(
    now: Mapping[str, Input], before: Mapping[str, Input], folders: Folders
) -> dict[str, Input]:
    return {name: _input(item, before.get(name), folders) for name, item in now.items()}


def _input(now: Input, before: Input | None, folders: Folders) -> Input:
    if now.branches:
        earlier = {} if before is None else before.branches
        branches = {k: _inputs(v, earlier.get(k, {}), folders) for k, v in now.branches.items()}
        return msgspec.structs.replace(now, branches=branches)
    if before is not None and before.type == now.type:
        if any(str(option).startswith("cuda") for option in before.options or ()):
            return msgspec.structs.replace(before, required=now.required)
        if before.files.startswith("input"):
            # What some nodes list there is no model, and others ask for it when they are shown.
            return msgspec.structs.replace(before, required=now.required)
        if before.options == now.options:
            return msgspec.structs.replace(now, files=before.files)
    if now.options is None:
        return now
    files = before.files if before is not None else ""
    files = files or folder_of(now.options, folders)
    if not files:
        return now
    own = {name for names in folders.values() for name in names}
    fixed = tuple(option for option in now.options if option not in own) or None
    default = UNSET if now.default in own or now.default is None else now.default
    return msgspec.structs.replace(now, files=files, options=fixed, default=default)


def folder_of(options: Sequence[Option], folders: Folders) -> str:
    """Name the folder whose files are among the options; `other` where there is nothing to choose from."""
    if not options:
        return "other"
    whole = [f for f, names in folders.items() if names and set(names) <= set(options)]
    return max(whole, key=lambda folder: (len(folders[folder]), folder), default="")


def with_packs(
    found: Catalog, before: Catalog, packs: Mapping[str, str], kept: Sequence[str]
) -> Catalog:
    """Leave the nodes of the named packs, and say their revisions; what is kept comes from the earlier recording, and it is said."""
    ours = {n: node for n, node in found.nodes.items() if node.pack in {"core", *packs}}
    theirs = {name: node for name, node in before.nodes.items() if node.pack in kept}
    named = {
        pack: told
        if "," in (told := before.packs[pack])
        else f"{told}, recorded with {before.comfyui}"
        for pack in kept
    }
    return msgspec.structs.replace(found, packs={**packs, **named}, nodes={**ours, **theirs})


def ask(url: str, path: str) -> Any:
    """Ask a running ComfyUI."""
    with urllib.request.urlopen(url.rstrip("/") + path, timeout=120) as answer:
        return json.load(answer)


def listed(url: str) -> dict[str, list[str]]:
    """Ask for the files of every model folder, and of the input folder by what a loading node takes."""
    folders = {name: ask(url, f"/models/{name}") for name in ask(url, "/models")}
    inputs: dict[str, list[str]] = {}
    for name in ask(url, "/internal/files/input"):
        plain = str(name).removesuffix(" [input]")
        kind = _INPUTS.get(Path(plain).suffix)
        if kind is not None:
            inputs.setdefault(f"input/{kind}", []).append(plain)
    return folders | inputs


def main(words: Sequence[str]) -> Iterator[str]:
    """Record, and say what was recorded."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", required=True)
    parser.add_argument("--before", required=True)
    parser.add_argument("--pack", action="append", default=[], metavar="NAME=REVISION")
    parser.add_argument("--keep", action="append", default=[], metavar="NAME")
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args(words)
    before = load(options.before)
    version = ask(options.engine, "/system_stats")["system"]["comfyui_version"]
    found = shipped(ask(options.engine, "/object_info"), version, listed(options.engine), before)
    packs = dict(pair.split("=", 1) for pair in options.pack)
    there = {node.pack for node in found.nodes.values()} - {"core"}
    yield from (f"left out: {name}, without a revision" for name in sorted(there - set(packs)))
    found = with_packs(found, before, packs, options.keep)
    there = {node.pack for node in found.nodes.values()}
    yield from (f"no node of {name}" for name in sorted(set(found.packs) - there))
    options.output.write_bytes(encode(found))
    yield f"{len(found.nodes)} nodes of ComfyUI {found.comfyui}"


if __name__ == "__main__":
    for line in main(sys.argv[1:]):
        print(line)
